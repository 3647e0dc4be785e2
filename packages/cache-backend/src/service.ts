import type { BodyFacts } from "./bodies.ts";
import { CacheStoreError } from "./errors.ts";
import type { CacheStoreErrorCode } from "./errors.ts";

/** What a service's status means for a caller; 404, 412 and 416 are for the store to judge before. */
export function codeOfStatus(status: number): CacheStoreErrorCode {
  if (status >= 500 || status === 408 || status === 429) return "unavailable";
  return status === 401 || status === 403 ? "access-denied" : "rejected";
}

/**
 * The version that stands in a good answer about an object. What answers without one is not the service but something on the way to it, such as a network where
 * somebody has to sign in first, and its page would pass for an object, or for the proof that one was stored.
 *
 * @param header - name of the header that has the version
 * @throws {CacheStoreError} `unavailable`
 */
export function versionInAnswer(
  { store, operation, object }: BodyFacts,
  version: string | undefined,
  header: string,
): string {
  if (version !== undefined && version !== "") return version;
  const reason = `the answer has no ${header}, so it is not from the service`;
  throw new CacheStoreError({ code: "unavailable", store, operation, object, reason });
}
