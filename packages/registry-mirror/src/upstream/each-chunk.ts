import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";

export interface EachChunkOptions {
  /** Whether nobody else has the memory of the chunks, so that it can be given back at once. */
  readonly ownsMemory: boolean;
}

/**
 * Calls for each chunk of a stream in order, and waits where a call returns a promise. Not by the stream's iterator, which
 * takes several turns for each chunk and joins what has gathered into new memory.
 *
 * @param take - must not keep a chunk after its call
 * @returns a promise that settles at the end, with the stream's error, or with what the call throws
 */
export async function eachChunk(
  stream: Readable,
  take: (chunk: Uint8Array) => Promise<void> | undefined,
  { ownsMemory }: EachChunkOptions,
): Promise<void> {
  const spent = new SpentMemory();
  const failed = Promise.withResolvers<never>();
  let pause: Promise<void> | undefined;
  const onData = (chunk: Uint8Array): void => {
    try {
      pause = take(chunk);
      if (pause === undefined) return;
      stream.pause();
      pause.then(() => stream.resume(), failed.reject);
    } catch (error) {
      failed.reject(error);
      stream.pause();
    } finally {
      if (ownsMemory) spent.giveBack(chunk);
    }
  };
  stream.on("data", onData);
  try {
    await Promise.race([finished(stream, { writable: false }), failed.promise]);
  } finally {
    stream.off("data", onData);
    stream.pause();
    // What was taken last is still being looked after.
    await pause;
  }
}

/** Memory of chunks that is given back at once: left to the collector it gathers by the hundred megabytes. */
class SpentMemory {
  #spent: ArrayBuffer[] = [];

  giveBack({ buffer, byteLength, byteOffset }: Uint8Array): void {
    // What else lies in the same memory may still be wanted.
    if (!(buffer instanceof ArrayBuffer) || byteOffset > 0 || byteLength !== buffer.byteLength) return;
    this.#spent.push(buffer);
    if (this.#spent.length > 1) return;
    // The parser is done with it then.
    setImmediate(() => {
      for (const memory of this.#spent.splice(0)) memory.transfer(0);
    });
  }
}
