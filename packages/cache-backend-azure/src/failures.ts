import { CacheStoreError, codeOfStatus } from "@fleetfoot/cache-backend";
import type { CacheStoreErrorCode } from "@fleetfoot/cache-backend";

/** Name of this kind of store. */
export const kind = "azure";

/** What is attempted, for messages. */
export interface AzureCall {
  readonly store: string;
  readonly operation: string;
  readonly object: string;
  readonly signal: AbortSignal | undefined;
}

/** Turns what a client of the SDK throws into the contract's error; the reason of an abort passes through. */
export async function withStoreErrors<Result>(call: AzureCall, action: () => Promise<Result>): Promise<Result> {
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
  if (typeof error !== "object" || error === null || !("statusCode" in error)) return undefined;
  return typeof error.statusCode === "number" ? error.statusCode : undefined;
}

/** The service's word for the failure, also when an answer to HEAD has no body to say it in. */
export function serviceCodeOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { details, code } = error as { readonly details?: { readonly errorCode?: string }; readonly code?: string };
  return details?.errorCode ?? code;
}

function asStoreError(call: AzureCall, error: unknown): unknown {
  if (CacheStoreError.isInstance(error) || !(error instanceof Error)) return error;
  const { store, operation, object } = call;
  const failure = { store, operation, object };
  const status = statusOf(error);
  if (credentialErrors.has(error.name)) {
    const reason = `no credentials: ${firstLine(error)}`;
    return new CacheStoreError({ code: "access-denied", ...failure, reason, status }, { cause: error });
  }
  if (status !== undefined) {
    const serviceCode = serviceCodeOf(error);
    const reason = [`status ${status}`, serviceCode, firstLine(error)].filter((part) => part !== undefined).join(", ");
    const code = codeOf(status, serviceCode);
    return new CacheStoreError({ code, ...failure, reason, status, serviceCode }, { cause: error });
  }
  if (!("code" in error) || typeof error.code !== "string" || error.code.startsWith("ERR_")) return error;
  const reason = `no answer: ${firstLine(error)}`;
  return new CacheStoreError({ code: "unavailable", ...failure, reason }, { cause: error });
}

function codeOf(status: number, serviceCode: string | undefined): CacheStoreErrorCode {
  return serviceCode === "AccountBeingCreated" ? "unavailable" : codeOfStatus(status);
}

/** Further lines hold ids and times, and sometimes the whole answer. */
function firstLine(error: Error): string {
  return (error.message.split("\n")[0] ?? "").slice(0, 300);
}

const credentialErrors: ReadonlySet<string> = new Set([
  "AggregateAuthenticationError",
  "AuthenticationError",
  "AuthenticationRequiredError",
  "CredentialUnavailableError",
]);
