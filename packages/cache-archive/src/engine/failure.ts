import { CacheArchiveError, errnoOf } from "../errors.ts";
import type { CacheArchiveErrorFacts } from "../errors.ts";

/** An error on its way between threads, which would lose its class and its fields. */
export interface EncodedFailure {
  readonly facts?: Omit<CacheArchiveErrorFacts, "cause">;
  readonly message: string;
  readonly code: string | undefined;
}

export function encodeFailure(error: unknown): EncodedFailure {
  const message = error instanceof Error ? error.message : String(error);
  if (!CacheArchiveError.isInstance(error)) return { message, code: errnoOf(error) };
  const { code, entryName, cause } = error;
  const reason = cause instanceof Error ? cause.message : "";
  return { facts: { code, message, entryName }, message: reason, code: errnoOf(cause) };
}

export function decodeFailure({ facts, message, code }: EncodedFailure): Error {
  const plain = Object.assign(new Error(message), code === undefined ? {} : { code });
  if (facts === undefined) return plain;
  return new CacheArchiveError({ ...facts, cause: message === "" ? undefined : plain });
}
