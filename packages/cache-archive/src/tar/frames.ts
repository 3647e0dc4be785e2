import { pipeline } from "node:stream/promises";

import { readArchive, readPieces } from "../archive-file.ts";
import type { ArchiveFile } from "../archive-file.ts";
import { CacheArchiveError } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import { Turn } from "../turn.ts";
import { createFrameDecoder } from "../zip/codec.ts";

const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const SKIPPABLE_MASK = 0xfffffff0;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;
const BLOCK_TYPE_RLE = 1;
const BLOCK_TYPE_RESERVED = 3;

/** Where a frame lies in a file. */
interface FramePlace {
  readonly start: number;
  readonly length: number;
  /** Whether it holds data for somebody else. */
  readonly isSkippable: boolean;
}

/**
 * The content of all frames of a Zstandard file, one after the other.
 *
 * Node's decoder stops after the first frame without a word, and some versions take a frame that was cut off for a whole one. So
 * the file is cut into frames here, and each gets a decoder of its own.
 *
 * @param signal - looked at however little content the frames have
 * @throws {CacheArchiveError} `truncated`, `malformed`
 * @throws what the decoder throws; the signal's reason
 */
export async function* readFrames(file: ArchiveFile, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  const turn = new Turn();
  for (const frame of findFrames(file)) {
    signal?.throwIfAborted();
    if (turn.isOver) await turn.next();
    if (frame === undefined || frame.isSkippable) continue;
    const decoder = createFrameDecoder();
    const pumped = pipeline(watched(readPieces(file, frame.start, frame.length), signal), decoder);
    // A failure reaches the reader through the decoder.
    pumped.catch(() => undefined);
    for await (const piece of decoder) yield piece as Buffer;
    await pumped;
  }
}

/** A frame may hold nothing for megabytes. */
function* watched(pieces: Iterable<Buffer>, signal: AbortSignal | undefined): Generator<Buffer> {
  for (const piece of pieces) {
    signal?.throwIfAborted();
    yield piece;
  }
}

/** In steps of less than a few milliseconds. @see RFC 8878 3.1 */
function* findFrames(file: ArchiveFile): Generator<FramePlace | undefined> {
  for (let start = 0; start < file.size;) {
    const magic = readArchive(file, start, 4).readUInt32LE(0);
    const isSkippable = (magic & SKIPPABLE_MASK) >>> 0 === SKIPPABLE_MAGIC;
    if (!isSkippable && magic !== FRAME_MAGIC) throw malformed(file, `there is no frame at byte ${start}`);
    const length = isSkippable ? 8 + readArchive(file, start + 4, 4).readUInt32LE(0) : yield* frameLength(file, start);
    if (start + length > file.size) {
      const message = `${printablePath(file.path)} was cut off: it ends in the middle of a frame`;
      throw new CacheArchiveError({ code: "truncated", message });
    }
    yield { start, length, isSkippable };
    start += length;
  }
}

const BLOCKS_PER_STEP = 1000;

/** @see RFC 8878 3.1.1 */
function* frameLength(file: ArchiveFile, start: number): Generator<undefined, number> {
  const descriptor = readArchive(file, start + 4, 1).readUInt8(0);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const windowBytes = isSingleSegment ? 0 : 1;
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 && isSingleSegment ? 1 : (CONTENT_SIZE_BYTES[sizeFlag] ?? 0);
  let at = start + 5 + windowBytes + (DICTIONARY_ID_BYTES[descriptor & 3] ?? 0) + sizeBytes;
  for (let blocks = 1, isLast = false; !isLast; blocks += 1) {
    if (blocks % BLOCKS_PER_STEP === 0) yield undefined;
    const header = readArchive(file, at, 3).readUIntLE(0, 3);
    const type = (header >> 1) & 3;
    if (type === BLOCK_TYPE_RESERVED) throw malformed(file, `there is no block at byte ${at}`);
    isLast = (header & 1) !== 0;
    at += 3 + (type === BLOCK_TYPE_RLE ? 1 : header >> 3);
  }
  const checksumBytes = (descriptor & 0x04) === 0 ? 0 : 4;
  return at + checksumBytes - start;
}

function malformed(file: ArchiveFile, what: string): CacheArchiveError {
  return new CacheArchiveError({ code: "malformed", message: `${printablePath(file.path)} is damaged: ${what}` });
}
