import { type HostArchive, listHostArchives, removeHostArchive, removeHostLeftovers } from "@fleetfoot/job-runner";
import type { CacheShelf } from "./shelf.ts";

/** The caches that runners keep in a directory of this host. */
export function hostShelf(cacheDirectory: string): CacheShelf {
  const archives = new Map<string, HostArchive>();
  return {
    place: cacheDirectory,
    async *list(prefix, signal) {
      for await (const archive of listHostArchives(cacheDirectory)) {
        signal.throwIfAborted();
        if (!archive.name.startsWith(prefix)) continue;
        archives.set(archive.name, archive);
        yield archive;
      }
    },
    async remove({ name }) {
      const archive = archives.get(name);
      if (archive !== undefined) await removeHostArchive(cacheDirectory, archive);
    },
    removeLeftovers: (isDryRun) => removeHostLeftovers(cacheDirectory, isDryRun),
    async inspect(name, signal) {
      for await (const archive of listHostArchives(cacheDirectory)) {
        signal.throwIfAborted();
        if (archive.name === name) return archive;
      }
      return undefined;
    },
  };
}
