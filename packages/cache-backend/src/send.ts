import { freeMemory } from "./given-memory.ts";

/**
 * Chunks as the body of a request of undici, which must get this very object. Their memory is used again as soon as they are sent.
 *
 * undici asks for a further chunk when the socket has room for it. After a chunk that is longer than what a socket holds back, that is when all
 * of the chunk is with the system; of a shorter one nobody knows. A stream in between would ask too early.
 *
 * It also takes a connection for silent until all of what it was given has gone, so a slow one gets little at a time: the first chunk, and what follows
 * a slow one.
 *
 * @param now - milliseconds of any clock. @default that of the process
 * @see https://nodejs.org/api/stream.html#event-drain
 */
export async function* chunksToSend(
  chunks: AsyncIterable<Uint8Array>,
  now: () => number = () => performance.now(),
): AsyncGenerator<Uint8Array, void, void> {
  let isSlow = true;
  for await (const chunk of chunks) {
    const startedAtMs = now();
    const isDivided = isSlow && chunk.byteLength > SLICE_BYTES;
    if (isDivided) yield* slicesOf(chunk);
    else yield chunk;
    isSlow = now() - startedAtMs >= SLOW_MS;
    if (!isDivided && chunk.byteLength >= LONGER_THAN_HELD_BACK) freeMemory(chunk);
  }
}

function* slicesOf(chunk: Uint8Array): Generator<Uint8Array, void, void> {
  for (let start = 0; start < chunk.byteLength; start += SLICE_BYTES) yield chunk.subarray(start, start + SLICE_BYTES);
}

/** Four times what sockets of Node hold back. */
const LONGER_THAN_HELD_BACK = 256 * 1024;
/** What sockets hold back: of less, nobody would ask for the next any later. */
const SLICE_BYTES = 64 * 1024;
/** A thirtieth of what a connection may be silent by default: one chunk after another can slow down that far before it is taken for silent. */
const SLOW_MS = 1000;
