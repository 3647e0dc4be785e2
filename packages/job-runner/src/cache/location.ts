import { CacheKeyError, localCachePath, objectName } from "@fleetfoot/cache-key";
import type { CacheName } from "@fleetfoot/cache-key";

import type { CacheStageOptions } from "./types.ts";

/** Where the cache of one name lies. */
export interface CacheLocation {
  readonly name: CacheName;
  /** Absolute path of `cache.zip`. */
  readonly localPath: string;
  /** Where it would lie if the flag for hashed names stood the other way. */
  readonly alternateLocalPath: string | undefined;
  /** Undefined: the cache stays on this host. */
  readonly remote: RemoteLocation | undefined;
}

export interface RemoteLocation {
  readonly objectName: string;
  readonly alternateObjectName: string | undefined;
}

/** Finds the places of a name; one that the store must not have is told to the log, and the cache stays on this host. */
export function locate(options: CacheStageOptions, name: CacheName): CacheLocation {
  const { cacheDirectory } = options;
  const { alternate } = name;
  return {
    name,
    localPath: localCachePath(cacheDirectory, name.key),
    alternateLocalPath: alternate && localCachePath(cacheDirectory, alternate.key),
    remote: remoteLocation(options, name),
  };
}

function remoteLocation({ store, job, log }: CacheStageOptions, name: CacheName): RemoteLocation | undefined {
  if (store === undefined) return undefined;
  const { path, shared, runnerShortToken } = store;
  const { projectId } = job;
  const objectOf = ({ key, hashed }: { readonly key: string; readonly hashed: boolean }): string =>
    // Names in a store are relative, however the prefix was written.
    objectName({ path, shared, runnerShortToken, projectId, key, hashed }).replace(/^\/+/, "");
  try {
    return { objectName: objectOf(name), alternateObjectName: name.alternate && objectOf(name.alternate) };
  } catch (error) {
    if (!CacheKeyError.isInstance(error)) throw error;
    log.error(`Cache ${name.readable} stays on this host: ${error.message}`);
    return undefined;
  }
}
