import { CacheStoreError } from "@fleetfoot/cache-backend";
import type { CacheStoreErrorCode } from "@fleetfoot/cache-backend";

/** Name of this kind of store. */
export const kind = "local";

/** What is attempted, for messages. */
export interface LocalCall {
  readonly store: string;
  readonly operation: string;
  readonly object: string;
  readonly signal?: AbortSignal | undefined;
}

/** Turns errors of the file system into the contract's; others, and the reason of an abort, pass through. */
export async function withStoreErrors<Result>(call: LocalCall, action: () => Promise<Result>): Promise<Result> {
  try {
    call.signal?.throwIfAborted();
    return await action();
  } catch (error) {
    throw asStoreError(call, error);
  }
}

/** See {@link withStoreErrors}. */
export function asStoreError(call: LocalCall, error: unknown): unknown {
  const systemCode = systemCodeOf(error);
  if (systemCode === undefined || CacheStoreError.isInstance(error) || error === call.signal?.reason) return error;
  const { store, operation, object } = call;
  const code = meanings[systemCode] ?? "unavailable";
  const reason = error instanceof Error ? error.message : systemCode;
  return new CacheStoreError({ code, store, operation, object, reason, serviceCode: systemCode }, { cause: error });
}

/** The code of an error of the operating system, for example `ENOENT`. */
export function systemCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("syscall" in error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

const meanings: Readonly<Record<string, CacheStoreErrorCode>> = {
  EACCES: "access-denied",
  EPERM: "access-denied",
  EROFS: "access-denied",
  ENOSPC: "no-space",
  EDQUOT: "no-space",
  EFBIG: "no-space",
  ENAMETOOLONG: "invalid-name",
  EEXIST: "rejected",
  ENOTDIR: "rejected",
  EISDIR: "rejected",
};
