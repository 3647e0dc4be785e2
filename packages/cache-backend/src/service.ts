import type { Readable } from "node:stream";
import type { BodyFacts } from "./bodies.ts";
import { CacheStoreError } from "./errors.ts";
import type { CacheStoreErrorCode } from "./errors.ts";
import { giveMemory } from "./given-memory.ts";

/** What a service's status means for a caller; 404, 412 and 416 are for the store to judge before. */
export function codeOfStatus(status: number): CacheStoreErrorCode {
  if (status >= 500 || status === 408 || status === 429) return "unavailable";
  return status === 401 || status === 403 ? "access-denied" : "rejected";
}

/**
 * Makes the body of an object from the answer of a service: one that ends early or breaks off fails as the contract says,
 * and the answer is given up when the reader stops or the signal aborts, even while a chunk is awaited.
 *
 * @param bytes - what must come
 */
export function bodyFromAnswer(
  answer: Readable,
  bytes: number,
  call: BodyFacts,
  signal?: AbortSignal,
): ReadableStream<Uint8Array> {
  const chunks = answer[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, undefined>;
  let received = 0;
  let onAbort: (() => void) | undefined;
  const release = (): void => {
    if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
    answer.destroy();
  };
  // A destroyed answer may still tell of its end, which nobody waits for.
  answer.on("error", () => {});
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        onAbort = () => {
          controller.error(signal?.reason);
          release();
        };
        if (signal?.aborted === true) onAbort();
        else signal?.addEventListener("abort", onAbort, { once: true });
      },
      async pull(controller) {
        try {
          const next = await chunks.next();
          if (next.done !== true) {
            received += next.value.byteLength;
            giveMemory(next.value);
            return controller.enqueue(next.value);
          }
        } catch (error) {
          release();
          throw truncated(call, `the answer broke off after ${received} of ${bytes} bytes`, error);
        }
        release();
        if (received < bytes) throw truncated(call, `only ${received} of ${bytes} bytes came`);
        controller.close();
      },
      cancel: release,
    },
    // Without a chunk in advance nothing is read that nobody asked for.
    { highWaterMark: 0 },
  );
}

function truncated(call: BodyFacts, reason: string, cause?: unknown): CacheStoreError {
  const { store, operation, object } = call;
  const failure = { code: "truncated", store, operation, object, reason } as const;
  return new CacheStoreError(failure, cause === undefined ? undefined : { cause });
}
