import { type CacheStore, canDelete, canList } from "@fleetfoot/cache-backend";
import type { RemoteCache } from "@fleetfoot/job-runner";
import { UsageError } from "../errors.ts";
import type { CacheShelf } from "./shelf.ts";

/** The caches of one runner in a store: those whose names start as the runner's own do. */
export function storeShelf(remote: RemoteCache, projectId?: number): CacheShelf {
  const { store } = remote;
  const base = storePrefix(remote, projectId);
  return {
    place: `${store.kind}, ${base}`,
    async *list(prefix, signal) {
      if (!canList(store)) throw cannot(store, "list");
      for await (const { name, bytes, modifiedAtMs } of store.list(base, { signal })) {
        const own = name.slice(base.length);
        if (own.startsWith(prefix)) yield { name: own, bytes, modifiedAtMs, usedAtMs: modifiedAtMs };
      }
    },
    async remove({ name }, signal) {
      if (!canDelete(store)) throw cannot(store, "delete");
      await store.delete(`${base}${name}`, { signal });
    },
    async inspect(name, signal) {
      // A store takes clean names alone; anything else is none of its objects.
      if (name.split("/").some((segment) => ["", ".", ".."].includes(segment))) return undefined;
      return await store.head(`${base}${name}`, { signal });
    },
  };
}

/** What the names of a runner's caches, or of those of one project, begin with. @see cache 2.1 */
export function storePrefix({ path, shared, runnerShortToken }: RemoteCache, projectId?: number): string {
  const namespace = [path.replace(/^\/+|\/+$/g, ""), shared ? "" : `runner/${runnerShortToken}`, "project"];
  const parts = [...namespace, projectId === undefined ? "" : String(projectId)];
  return `${parts.filter((part) => part !== "").join("/")}/`;
}

function cannot({ kind }: CacheStore, what: string): UsageError {
  return new UsageError(`The store ${kind} cannot ${what} objects with these credentials.`, {
    cure: `Use credentials that may ${what}, or the tools of the cloud.`,
  });
}
