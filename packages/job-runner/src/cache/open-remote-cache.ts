import type { CacheStore } from "@fleetfoot/cache-backend";

import type { RemoteCache } from "./types.ts";

export interface OpenRemoteCacheOptions {
  /** The kind of store as the configuration names it, in any case; empty is none. */
  readonly type: string;
  /** The kinds that there are, in lower case, and what opens a store of each. */
  readonly kinds: Readonly<Record<string, () => CacheStore | Promise<CacheStore>>>;
  /** How this runner names its objects, and how long they may be. */
  readonly settings: Omit<RemoteCache, "store">;
  /** Takes one line for the log of the runner. */
  readonly logError: (message: string) => void;
}

/**
 * Opens the store that a configuration names. A kind that does not exist, or a store that cannot be opened, is an error in the
 * log, and caches stay on this host: jobs run without their caches rather than not at all.
 *
 * @see https://docs.gitlab.com/runner/configuration/advanced-configuration/#the-runnerscache-section
 */
export async function openRemoteCache(options: OpenRemoteCacheOptions): Promise<RemoteCache | undefined> {
  const { type, kinds, settings, logError } = options;
  if (type === "") return undefined;
  const open = Object.entries(kinds).find(([kind]) => kind === type.toLowerCase())?.[1];
  if (open === undefined) {
    const known = Object.keys(kinds).join(", ");
    logError(`cache type ${JSON.stringify(type)} is not one of ${known}; caches stay on this host`);
    return undefined;
  }
  try {
    return { ...settings, store: await open() };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    logError(`the cache store ${type} cannot be opened, caches stay on this host: ${reason}`);
    return undefined;
  }
}
