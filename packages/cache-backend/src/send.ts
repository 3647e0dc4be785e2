import { freeMemory } from "./given-memory.ts";

/**
 * Chunks as the body of a request of undici, which must get this very object. Their memory is used again as soon as they are sent.
 *
 * undici asks for a further chunk when the socket has room for it. After a chunk that is longer than what a socket holds back, that is when all
 * of the chunk is with the system; of a shorter one nobody knows. A stream in between would ask too early.
 *
 * @see https://nodejs.org/api/stream.html#event-drain
 */
export async function* chunksToSend(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of chunks) {
    yield chunk;
    if (chunk.byteLength >= LONGER_THAN_HELD_BACK) freeMemory(chunk);
  }
}

/** Four times what sockets of Node hold back. */
const LONGER_THAN_HELD_BACK = 256 * 1024;
