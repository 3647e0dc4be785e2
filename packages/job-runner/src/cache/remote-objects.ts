import { CacheStoreError, retryTransfer } from "@fleetfoot/cache-backend";
import type { CacheStore, ObjectFacts } from "@fleetfoot/cache-backend";

import type { RemoteLocation } from "./location.ts";
import { recallStored } from "./stored-archive.ts";
import type { ArchiveFacts } from "./stored-archive.ts";
import { trySettings } from "./transfer-settings.ts";
import type { CacheStageOptions, RemoteCache } from "./types.ts";

/**
 * Asks whether the store has the archive of this host, or a newer one.
 *
 * @returns the error when that cannot be found out, for example with credentials that may only write
 */
export async function askIfStored(
  options: CacheStageOptions,
  remoteCache: RemoteCache,
  remote: RemoteLocation,
  archive: ArchiveFacts & { readonly path: string },
): Promise<"stored" | "missing" | CacheStoreError> {
  try {
    const object = await headArchive(options, remoteCache, remote);
    if (object === undefined) return "missing";
    const stored = await recallStored(archive.path, archive);
    if (stored?.objectName === remote.objectName && stored.version === object.version) return "stored";
    // The upload of this one has failed when what is there is from before it was made.
    return object.modifiedAtMs + STORES_TIME_UNIT_MS > archive.mtimeMs ? "stored" : "missing";
  } catch (error) {
    options.signal.throwIfAborted();
    if (CacheStoreError.isInstance(error)) return error;
    throw error;
  }
}

/** Most stores tell times in whole seconds. */
const STORES_TIME_UNIT_MS = 1000;

/**
 * What the store knows of the archive; `undefined` when it has none.
 *
 * @throws {CacheStoreError} when no try succeeds
 */
export async function headArchive(
  options: CacheStageOptions,
  { store }: RemoteCache,
  { objectName }: RemoteLocation,
): Promise<ObjectFacts | undefined> {
  return headObject(options, store, objectName);
}

/** What the store knows of an object; `undefined` when it has none. */
export async function headObject(
  options: CacheStageOptions,
  store: CacheStore,
  object: string,
): Promise<ObjectFacts | undefined> {
  const what = { store: store.kind, operation: "head", object };
  const { timeLimitMs, ...tries } = trySettings(options);
  return retryTransfer(what, (signal) => store.head(object, { signal, timeLimitMs }), tries);
}
