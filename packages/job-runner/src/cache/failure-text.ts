import { dirname } from "node:path";

import { CacheStoreError } from "@fleetfoot/cache-backend";

/**
 * What could not be done with a cache and why, to complete `Cache gems could not be …`. What failed in a store names the store
 * itself; anything else happened where the archive lies on this host.
 *
 * @param transfer - what was done with the store, for example `uploaded`
 * @param work - what was done on this host, for example `saved in`
 */
export function failureText(error: unknown, transfer: string, work: string, archivePath: string): string {
  if (CacheStoreError.isInstance(error)) return `${transfer}: ${error.message}`;
  return `${work} ${dirname(archivePath)}: ${error instanceof Error ? error.message : String(error)}`;
}
