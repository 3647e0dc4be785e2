import type { Readable } from "node:stream";
import { readChunks } from "./bodies.ts";
import type { BodyFacts } from "./bodies.ts";
import { CacheStoreError } from "./errors.ts";
import { giveMemory } from "./given-memory.ts";

/** An answer that nobody has begun to read. */
interface UnreadAnswer {
  readonly answer: Readable;
  /** What must come. */
  readonly bytes: number;
  readonly call: BodyFacts;
  readonly signal: AbortSignal | undefined;
  /** Gives the answer up. */
  readonly release: () => void;
}

const unread = new WeakMap<ReadableStream<Uint8Array>, UnreadAnswer>();

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
  let chunks: AsyncIterator<Uint8Array, undefined> | undefined;
  let received = 0;
  let onAbort: (() => void) | undefined;
  const release = (): void => {
    if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
    answer.destroy();
  };
  // A destroyed answer may still tell of its end, which nobody waits for.
  answer.on("error", () => {});
  const body = new ReadableStream<Uint8Array>(
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
        chunks ??= answer[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, undefined>;
        try {
          const next = await chunks.next();
          if (next.done !== true) {
            received += next.value.byteLength;
            giveMemory(next.value);
            return controller.enqueue(next.value);
          }
        } catch (error) {
          release();
          throw brokenOff(call, received, bytes, error);
        }
        release();
        if (received < bytes) throw tooShort(call, received, bytes);
        controller.close();
      },
      cancel: release,
    },
    // Without a chunk in advance nothing is read that nobody asked for.
    { highWaterMark: 0 },
  );
  unread.set(body, { answer, bytes, call, signal, release });
  return body;
}

/**
 * Reads a body to its end, and gives it up when taking a chunk fails or the signal aborts. The chunks of an answer come as the socket has them, without
 * the promises of a stream for each: of a gigabyte there are sixteen thousand.
 *
 * @param take - gets one chunk after the other; no further one comes before what it returns resolves
 * @throws what `take` throws; the signal's reason; what the body fails with
 */
export async function readBody(
  body: ReadableStream<Uint8Array>,
  take: (chunk: Uint8Array) => Promise<void> | undefined,
  signal?: AbortSignal,
): Promise<void> {
  const source = unread.get(body);
  if (source === undefined || body.locked || isSpent(source.answer)) {
    for await (const chunk of readChunks(body, signal)) await take(chunk);
    return;
  }
  // Nobody else may read from it now.
  body.getReader();
  await readAnswer(source, take, signal);
}

/** Read from, ended or given up: the stream knows how that is told. */
function isSpent(answer: Readable): boolean {
  return answer.readableDidRead || answer.destroyed || answer.readableEnded;
}

function readAnswer(
  { answer, bytes, call, signal: openedUnder, release }: UnreadAnswer,
  take: (chunk: Uint8Array) => Promise<void> | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let received = 0;
  let taking: Promise<void> | undefined;
  const fail = (reason: unknown): void => {
    answer.off("data", onData);
    const settle = (): void => reject(reason);
    // What is being taken must not be lost: the caller may go on behind it. An abort may come while `take` has not returned yet.
    void Promise.resolve()
      .then(() => taking)
      .then(settle, settle);
  };
  const onAbort = (): void => fail(signal?.reason);
  const onData = (chunk: Uint8Array): void => {
    received += chunk.byteLength;
    giveMemory(chunk);
    try {
      taking = take(chunk);
    } catch (error) {
      return fail(error);
    }
    if (taking === undefined) return;
    answer.pause();
    taking.then(() => answer.resume(), fail);
  };
  const onClose = (error?: unknown): void => {
    fail(openedUnder?.aborted === true ? openedUnder.reason : brokenOff(call, received, bytes, error));
  };
  const onEnd = (): void => {
    if (received < bytes) fail(tooShort(call, received, bytes));
    // The last chunk may still be on its way.
    else if (taking === undefined) resolve();
    else taking.then(resolve, reject);
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  answer.on("error", onClose).on("close", () => (answer.readableEnded ? undefined : onClose()));
  answer.on("end", onEnd).on("data", onData);
  if (signal?.aborted === true) onAbort();
  return promise.finally(() => {
    signal?.removeEventListener("abort", onAbort);
    release();
  });
}

function brokenOff(call: BodyFacts, received: number, bytes: number, cause: unknown): CacheStoreError {
  return truncated(call, `the answer broke off after ${received} of ${bytes} bytes`, cause);
}

function tooShort(call: BodyFacts, received: number, bytes: number): CacheStoreError {
  return truncated(call, `only ${received} of ${bytes} bytes came`);
}

function truncated({ store, operation, object }: BodyFacts, reason: string, cause?: unknown): CacheStoreError {
  const failure = { code: "truncated", store, operation, object, reason } as const;
  return new CacheStoreError(failure, cause === undefined ? undefined : { cause });
}
