import { canDelete, retryTransfer } from "@fleetfoot/cache-backend";
import type { CacheStore } from "@fleetfoot/cache-backend";

import type { StoredArchive } from "./stored-archive.ts";
import { trySettings } from "./transfer-settings.ts";
import type { CacheStageOptions } from "./types.ts";

/**
 * Removes an object that is no usable archive, so that the next job that saves it does not find it there. One that another runner has put in its
 * place meanwhile stays. A failure is told to the log.
 */
export async function removeUnusable(
  options: CacheStageOptions,
  store: CacheStore,
  { objectName: object, version: ifVersion }: StoredArchive,
): Promise<void> {
  if (!canDelete(store)) return;
  const what = { store: store.kind, operation: "delete", object };
  try {
    await retryTransfer(what, (signal) => store.delete(object, { signal, ifVersion }), trySettings(options));
  } catch (error) {
    options.signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    options.log.warning(`The archive that cannot be used stays in ${store.kind}: ${reason}`);
  }
}
