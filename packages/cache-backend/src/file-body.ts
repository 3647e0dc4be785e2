import type { FileHandle } from "node:fs/promises";
import { bodyFrom } from "./bodies.ts";
import type { PutBody } from "./store.ts";

/**
 * Makes a body of an open file, which stays open and may be read at several places at once.
 *
 * @param bytes - length of the file; what comes behind is not part of the body
 */
export function bodyOfFile(file: FileHandle, bytes: number): PutBody {
  const openRange = (start: number, end: number): ReadableStream<Uint8Array> => bodyFrom(readRange(file, start, end));
  return { bytes, open: () => openRange(0, bytes), openRange };
}

/** Large enough for few calls, small enough for several at once. */
const chunkBytes = 512 * 1024;

async function* readRange(
  file: FileHandle,
  start: number,
  end: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  for (let position = start; position < end;) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(chunkBytes, end - position));
    const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
