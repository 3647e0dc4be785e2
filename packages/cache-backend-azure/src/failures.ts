import {
  CacheStoreError,
  codeOfStatus,
  translatingErrors,
  withoutAnswer,
  withoutCredentials,
} from "@fleetfoot/cache-backend";
import type { CacheStoreErrorCode, StoreCall } from "@fleetfoot/cache-backend";

/** Name of this kind of store. */
export const kind = "azure";

/** Turns what a client of the SDK throws into the contract's error; the reason of an abort passes through. */
export function withStoreErrors<Result>(call: StoreCall, action: () => Promise<Result>): Promise<Result> {
  return translatingErrors(call, asStoreError, action);
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

/** The contract's error for one of the SDK. */
export function asStoreError(call: StoreCall, error: Error): unknown {
  const status = statusOf(error);
  if (credentialErrors.has(error.name)) return withoutCredentials(call, error, firstLine(error), status);
  if (status === undefined) return withoutAnswer(call, error, firstLine(error));
  const { store, operation, object } = call;
  const serviceCode = serviceCodeOf(error);
  const reason = [`status ${status}`, serviceCode, firstLine(error)].filter((part) => part !== undefined).join(", ");
  const code = codeOf(status, serviceCode);
  return new CacheStoreError({ code, store, operation, object, reason, status, serviceCode }, { cause: error });
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
