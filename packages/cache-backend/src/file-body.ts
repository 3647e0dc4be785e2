import type { FileHandle } from "node:fs/promises";
import { bodyFrom } from "./bodies.ts";
import { giveMemory } from "./given-memory.ts";
import type { PutBody } from "./store.ts";

/**
 * Makes a body of an open file, which stays open and may be read at several places at once.
 *
 * @param bytes - length of the file; what comes behind is not part of the body
 */
export function bodyOfFile(file: FileHandle, bytes: number): PutBody {
  // What has been sent is filled again, so there are as many as are on their way at once.
  const spare: Uint8Array[] = [];
  const openRange = (start: number, end: number): ReadableStream<Uint8Array> =>
    bodyFrom(readRange(file, start, end, spare));
  return { bytes, open: () => openRange(0, bytes), openRange };
}

/** Large enough for few calls, small enough for several at once. */
const CHUNK_BYTES = 512 * 1024;

async function* readRange(
  file: FileHandle,
  start: number,
  end: number,
  spare: Uint8Array[],
): AsyncGenerator<Uint8Array, void, void> {
  for (let position = start; position < end;) {
    const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
    const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK_BYTES, end - position), position);
    if (bytesRead === 0) return;
    position += bytesRead;
    const chunk = buffer.subarray(0, bytesRead);
    giveMemory(chunk, () => spare.push(buffer));
    yield chunk;
  }
}
