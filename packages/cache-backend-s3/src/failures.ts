import { CacheStoreError, codeOfStatus } from "@fleetfoot/cache-backend";
import type { CacheStoreErrorCode } from "@fleetfoot/cache-backend";

/** Name of this kind of store. */
export const kind = "s3";

/** What is attempted, for messages. */
export interface S3Call {
  readonly store: string;
  readonly operation: string;
  readonly object: string;
  readonly signal: AbortSignal | undefined;
}

/** Turns what a client of the SDK throws into the contract's error; the reason of an abort passes through. */
export async function withStoreErrors<Result>(call: S3Call, action: () => Promise<Result>): Promise<Result> {
  try {
    call.signal?.throwIfAborted();
    return await action();
  } catch (error) {
    call.signal?.throwIfAborted();
    throw asStoreError(call, error);
  }
}

/** The status that the service answered with, when it did. */
export function statusOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("$metadata" in error)) return undefined;
  const { httpStatusCode } = error.$metadata as { readonly httpStatusCode?: number };
  return httpStatusCode;
}

function asStoreError(call: S3Call, error: unknown): unknown {
  if (CacheStoreError.isInstance(error) || !(error instanceof Error)) return error;
  const status = statusOf(error);
  const { store, operation, object } = call;
  const failure = { store, operation, object };
  if (status !== undefined) {
    const serviceCode = error.name;
    const reason = `status ${status}, ${serviceCode}${error.message === serviceCode ? "" : `: ${error.message}`}`;
    return new CacheStoreError(
      { code: codeOf(status, serviceCode), ...failure, reason, status, serviceCode },
      { cause: error },
    );
  }
  if (error.name === "CredentialsProviderError" || error.name === "TokenProviderError") {
    const reason = `no credentials: ${error.message}`;
    return new CacheStoreError({ code: "access-denied", ...failure, reason }, { cause: error });
  }
  if (!isOfTransport(error)) return error;
  const reason = `no answer: ${error.message}`;
  return new CacheStoreError({ code: "unavailable", ...failure, reason }, { cause: error });
}

function codeOf(status: number, serviceCode: string): CacheStoreErrorCode {
  // Somebody else writes the same name at this moment; the same request may succeed later.
  if (status === 409 && serviceCode === "ConditionalRequestConflict") return "unavailable";
  if (status === 507 || serviceCode === "XMinioStorageFull") return "no-space";
  return transientCodes.has(serviceCode) ? "unavailable" : codeOfStatus(status);
}

/** With a status of 400, though it is worth another try. */
const transientCodes: ReadonlySet<string> = new Set(["RequestTimeout", "RequestTimeTooSkewed", "SlowDown"]);

/** Errors of sockets and of undici have a code; errors of programs, such as a `TypeError`, have none. */
function isOfTransport(error: Error): boolean {
  return "code" in error && typeof error.code === "string" && !error.code.startsWith("ERR_");
}
