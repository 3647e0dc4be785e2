import type { FileHandle } from "node:fs/promises";
import type { ObjectFacts } from "@fleetfoot/cache-backend";

/** What stands behind the body in an object's file. */
export interface Trailer {
  readonly name: string;
  readonly version: string;
  /** Epoch milliseconds of the put. */
  readonly modifiedAtMs: number;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Lays a trailer out: JSON, its length in four bytes, and the mark of a whole file. */
export function encodeTrailer(trailer: Trailer): Uint8Array {
  const text = Buffer.from(JSON.stringify(trailer));
  const end = Buffer.alloc(endBytes);
  end.writeUInt32LE(text.byteLength);
  end.write(mark, 4, "latin1");
  return Buffer.concat([text, end]);
}

/**
 * Reads the trailer of an open file.
 *
 * @returns `undefined` when the file is not whole, or holds an object of another name
 */
export async function readTrailer(file: FileHandle, name: string | undefined): Promise<NamedFacts | undefined> {
  const { size, mtimeMs: usedAtMs } = await file.stat();
  if (size < endBytes) return undefined;
  const tail = await readAt(file, Math.max(0, size - likelyBytes), Math.min(size, likelyBytes));
  const end = tail.subarray(-endBytes);
  if (end.toString("latin1", 4) !== mark) return undefined;
  const textBytes = end.readUInt32LE();
  const bytes = size - endBytes - textBytes;
  if (bytes < 0) return undefined;
  const text =
    textBytes + endBytes <= tail.byteLength
      ? tail.subarray(-endBytes - textBytes, -endBytes)
      : await readAt(file, bytes, textBytes);
  const trailer = parse(text);
  if (trailer === undefined || (name !== undefined && trailer.name !== name)) return undefined;
  const { version, modifiedAtMs, metadata } = trailer;
  return { name: trailer.name, usedAtMs, facts: { bytes, modifiedAtMs, version, metadata } };
}

export interface NamedFacts {
  readonly name: string;
  readonly usedAtMs: number;
  readonly facts: ObjectFacts;
}

const mark = "FLEETOBJ";
const endBytes = 4 + mark.length;
/** Nearly every trailer fits into this, so that one read is enough. */
const likelyBytes = 2048;

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

function parse(text: Buffer): Trailer | undefined {
  try {
    return JSON.parse(text.toString()) as Trailer;
  } catch {
    // The mark is there but the text is not: the file system lost blocks in a crash, so there is no whole object.
    return undefined;
  }
}
