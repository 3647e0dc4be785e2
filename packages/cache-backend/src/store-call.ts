import type { BodyFacts } from "./bodies.ts";
import { CacheStoreError } from "./errors.ts";
import { checkObjectName } from "./object-name.ts";
import type { OperationOptions } from "./store.ts";

/** What is attempted, for messages, and what ends it. */
export interface StoreCall extends BodyFacts {
  readonly signal: AbortSignal | undefined;
  /** How long all of the transfer may take at most, in milliseconds. */
  readonly timeLimitMs?: number | undefined;
}

/** Makes the contract's error of what a client of a service throws; what is no failure of the service comes back as it is. */
export type TranslateError = (call: StoreCall, error: Error) => unknown;

/** Acts for a call. What is thrown becomes the contract's error; the reason of an abort passes through. */
export async function translatingErrors<Result>(
  call: StoreCall,
  translate: TranslateError,
  action: () => Promise<Result>,
): Promise<Result> {
  try {
    call.signal?.throwIfAborted();
    return await action();
  } catch (error) {
    call.signal?.throwIfAborted();
    throw CacheStoreError.isInstance(error) || !(error instanceof Error) ? error : translate(call, error);
  }
}

/** Begins an operation on an object. */
export type OnObject = <Result>(
  operation: string,
  name: string,
  options: OperationOptions,
  action: (call: StoreCall) => Promise<Result>,
) => Promise<Result>;

/** The way from a name to a request, for a store whose only one it is to be: checks the name, acts, and translates what is thrown. */
export function operationsOf(store: string, translate: TranslateError): OnObject {
  return (operation, object, { signal, timeLimitMs }, action) => {
    const call = { store, operation, object, signal, timeLimitMs };
    return translatingErrors(call, translate, async () => {
      checkObjectName(object, call);
      return action(call);
    });
  };
}

/**
 * The error for a request without an answer: errors of sockets and of undici have a code; those of programs, such as a `TypeError`, have none. Neither has the one
 * for an answer that is no HTTP.
 */
export function withoutAnswer(
  { store, operation, object }: StoreCall,
  error: Error,
  reason: string = error.message,
): unknown {
  const hasCode = "code" in error && typeof error.code === "string" && !error.code.startsWith("ERR_");
  if (!hasCode && error.name !== "HTTPParserError") return error;
  const failure = { code: "unavailable", store, operation, object, reason: `no answer: ${reason}` } as const;
  return new CacheStoreError(failure, { cause: error });
}

/** The error for credentials that cannot be had. @param status - of the service, where it refused them */
export function withoutCredentials(
  { store, operation, object }: StoreCall,
  error: unknown,
  reason: string,
  status?: number,
): CacheStoreError {
  const failure = {
    code: "access-denied",
    store,
    operation,
    object,
    reason: `no credentials: ${reason}`,
    status,
  } as const;
  return new CacheStoreError(failure, { cause: error });
}

/** Sees an empty body to its end: there is no stream to send, but it must be seen to be empty. */
export async function seeEmpty(chunks: AsyncGenerator<Uint8Array, void, void>): Promise<void> {
  for await (const _ of chunks);
}
