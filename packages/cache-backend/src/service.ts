import type { CacheStoreErrorCode } from "./errors.ts";

/** What a service's status means for a caller; 404, 412 and 416 are for the store to judge before. */
export function codeOfStatus(status: number): CacheStoreErrorCode {
  if (status >= 500 || status === 408 || status === 429) return "unavailable";
  return status === 401 || status === 403 ? "access-denied" : "rejected";
}
