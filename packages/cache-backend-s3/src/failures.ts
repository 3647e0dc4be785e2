import {
  CacheStoreError,
  codeOfStatus,
  translatingErrors,
  withoutAnswer,
  withoutCredentials,
} from "@fleetfoot/cache-backend";
import type { CacheStoreErrorCode, StoreCall } from "@fleetfoot/cache-backend";

/** Name of this kind of store. */
export const kind = "s3";

/** Turns what a client of the SDK throws into the contract's error; the reason of an abort passes through. */
export function withStoreErrors<Result>(call: StoreCall, action: () => Promise<Result>): Promise<Result> {
  return translatingErrors(call, asStoreError, action);
}

/** The status that the service answered with, when it did. */
export function statusOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("$metadata" in error)) return undefined;
  const { httpStatusCode } = error.$metadata as { readonly httpStatusCode?: number };
  return httpStatusCode;
}

/** How often the SDK has tried by itself. */
export function triesOf(error: unknown): number {
  return (error as { readonly $metadata?: { readonly attempts?: number } }).$metadata?.attempts ?? 1;
}

/** The contract's error for one of the SDK. */
export function asStoreError(call: StoreCall, error: Error): unknown {
  const status = statusOf(error);
  if (status !== undefined) {
    const { store, operation, object } = call;
    const serviceCode = isUnreadable(error) ? undefined : error.name;
    const reason = `status ${status}${wordsOf(error)}${regionAdvice(status, error)}`;
    const code = codeOf(status, serviceCode);
    return new CacheStoreError({ code, store, operation, object, reason, status, serviceCode }, { cause: error });
  }
  if (error.name === "CredentialsProviderError" || error.name === "TokenProviderError") {
    return withoutCredentials(call, error, error.message);
  }
  return withoutAnswer(call, error);
}

/** What went wrong, for a message. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return isUnreadable(error) ? "the answer is not from the service" : error.message || error.name;
}

/** The SDK could not read the answer, such as the page of a network where somebody has to sign in; what it says is for programmers. */
function isUnreadable({ message }: Error): boolean {
  return message.includes("Deserialization error:");
}

/** An answer to HEAD has no body to say it in. */
function wordsOf(error: Error): string {
  const { name, message } = error;
  if (isUnreadable(error)) return `, and ${reasonOf(error)}`;
  if (message === "UnknownError") return " without a reason";
  return `, ${name}${message === name ? "" : `: ${message}`}`;
}

/**
 * A bucket in another region is told in many ways, and in HEAD by a status alone.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/Redirects.html
 */
function regionAdvice(status: number, error: Error): string {
  const { Region, $response } = error as {
    readonly Region?: string;
    readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
  };
  const region = Region ?? $response?.headers?.["x-amz-bucket-region"];
  const isElsewhere = status === 301 || status === 307 || error.name === "AuthorizationHeaderMalformed";
  if (isElsewhere && region !== undefined) return `; the bucket is in the region ${region}: set that one, or none`;
  if (isElsewhere) return "; the bucket is in another region than the one that is set: set its own, or none";
  const mayBeElsewhere = status === 400 && error.message === "UnknownError";
  return mayBeElsewhere ? "; the bucket may be in another region than the one that is set" : "";
}

function codeOf(status: number, serviceCode: string | undefined): CacheStoreErrorCode {
  if (serviceCode === undefined) return status < 400 ? "unavailable" : codeOfStatus(status);
  // Somebody else writes the same name at this moment; the same request may succeed later.
  if (status === 409 && serviceCode === "ConditionalRequestConflict") return "unavailable";
  if (status === 507 || serviceCode === "XMinioStorageFull") return "no-space";
  return transientCodes.has(serviceCode) ? "unavailable" : codeOfStatus(status);
}

/** With a status of 400, though it is worth another try. */
const transientCodes: ReadonlySet<string> = new Set(["RequestTimeout", "RequestTimeTooSkewed", "SlowDown"]);
