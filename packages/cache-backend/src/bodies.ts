import { CacheStoreError } from "./errors.ts";
import type { PutBody } from "./store.ts";

/** What the body belongs to, for messages. */
export interface BodyFacts {
  readonly store: string;
  readonly operation: string;
  readonly object: string;
}

/**
 * Opens a body and yields its chunks, as long as they fit its announced length exactly; the last one when the body has ended. The body is cancelled when the
 * consumer stops early, and when the signal aborts, even while a chunk is awaited.
 *
 * @throws {CacheStoreError} code `length-mismatch`, before the announced length is reached or at the early end
 */
export async function* readExactly(
  body: PutBody,
  facts: BodyFacts,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  let bytes = 0;
  // Whoever has got as many bytes as were announced may commit them, so the last chunk waits until it is known to be the last.
  let last: Uint8Array | undefined;
  for await (const chunk of readChunks(body.open(), signal)) {
    bytes += chunk.byteLength;
    if (bytes > body.bytes) throw mismatch(body, facts, "longer");
    if (chunk.byteLength === 0) continue;
    if (bytes === body.bytes) last = chunk;
    else yield chunk;
  }
  if (bytes < body.bytes) throw mismatch(body, facts, `only ${bytes} bytes long`);
  if (last !== undefined) yield last;
}

/** Yields the chunks of a stream; rejects with the signal's reason and cancels the stream as soon as the signal aborts. */
export async function* readChunks(
  stream: ReadableStream<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const reader = stream.getReader();
  // One for each read: a promise that lives as long as the stream, raced with each read, would keep all chunks until the end.
  let reading: PromiseWithResolvers<Awaited<ReturnType<typeof reader.read>>> | undefined;
  const onAbort = (): void => reading?.reject(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  let finished = false;
  try {
    while (true) {
      signal?.throwIfAborted();
      reading = Promise.withResolvers();
      reader.read().then(reading.resolve, reading.reject);
      const next = await reading.promise;
      if (next.done) break;
      yield next.value;
    }
    finished = true;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    // What the stream thinks of being cancelled must not replace the reason why.
    if (!finished) reader.cancel(signal?.reason).catch(() => {});
  }
}

/**
 * Makes a body from chunks that are produced on demand.
 *
 * @param onEnd - releases what the chunks come from; called when the body was read to its end, failed, was cancelled, or
 *   was ended by the signal, also when no chunk was ever asked for, in which case no `finally` of the chunks runs
 */
export function bodyFrom(
  chunks: AsyncGenerator<Uint8Array, void, void>,
  signal?: AbortSignal,
  onEnd: () => Promise<void> = async () => {},
): ReadableStream<Uint8Array> {
  let onAbort: (() => void) | undefined;
  const release = async (): Promise<void> => {
    if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
    await chunks.return();
    await onEnd();
  };
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        onAbort = () => {
          controller.error(signal?.reason);
          void release();
        };
        if (signal?.aborted === true) onAbort();
        else signal?.addEventListener("abort", onAbort, { once: true });
      },
      async pull(controller) {
        try {
          const next = await chunks.next();
          if (signal?.aborted === true) return;
          if (next.done !== true) return controller.enqueue(next.value);
          await release();
          controller.close();
        } catch (error) {
          await release();
          throw error;
        }
      },
      cancel: release,
    },
    // Without a chunk in advance nothing is read that nobody asked for.
    { highWaterMark: 0 },
  );
}

function mismatch(body: PutBody, facts: BodyFacts, how: string): CacheStoreError {
  return new CacheStoreError({
    code: "length-mismatch",
    ...facts,
    reason: `the body was announced with ${body.bytes} bytes, but is ${how}`,
  });
}
