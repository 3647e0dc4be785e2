import { readArchive } from "../archive-file.ts";
import type { ArchiveFile } from "../archive-file.ts";
import { CacheArchiveError } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import { COLUMN, COLUMNS, FILE } from "../restore/restore-columns.ts";
import type { RestoreRows } from "../restore/restore-rows.ts";
import { LONG_FILE_FRAME_BYTES } from "./frame-index.ts";
import type { FrameIndex, Frames } from "./frame-index.ts";
import { BLOCK_BYTES } from "./header.ts";
import { inSteps } from "../turn.ts";
import { paddingBytes } from "./read.ts";
import { unpackFrame } from "./unpacker.ts";

/** Two empty blocks. */
const END = Buffer.alloc(2 * BLOCK_BYTES);
const ENTRIES_PER_STEP = 1000;
const FRAMES_PER_STEP = 5000;

/**
 * Checks that the entries fill the frames, without gaps, and that the last frame is the end of the archive and nothing else. So no
 * byte belongs to two entries, and what is held in memory for a frame is what its entries need.
 *
 * @throws {CacheArchiveError} `malformed`
 */
export function* checkLayout(file: ArchiveFile, { frames, rows }: FrameIndex): Generator<void> {
  yield* inSteps(frames.count, FRAMES_PER_STEP, (nth) => {
    if (frames.packedBytes(nth) > longestPacked(frames.bytes(nth))) throw tooLong(file, nth);
  });
  const { numbers } = rows;
  let frame = 0;
  let offset = 0;
  yield* inSteps(rows.count, ENTRIES_PER_STEP, (index) => {
    const row = index * COLUMNS;
    const bytes = numbers[row + COLUMN.bytes] ?? 0;
    const headerBytes = numbers[row + COLUMN.compressedBytes] ?? 0;
    const isPlaced = numbers[row + COLUMN.frame] === frame && numbers[row + COLUMN.offset] === offset;
    const hasHeader = headerBytes > 0 && headerBytes % BLOCK_BYTES === 0;
    if (!isPlaced || !hasHeader || (numbers[row + COLUMN.kind] !== FILE && bytes > 0)) throw misplaced(rows, index);
    if (hasFramesAlone(rows, index, frames)) {
      frame = endOfFrames(rows, index, frames);
      return;
    }
    offset += wholeBytes(headerBytes, bytes);
    if (frame >= frames.count || offset !== frames.bytes(frame)) return;
    frame += 1;
    offset = 0;
  });
  if (frame === frames.count - 1 && offset === 0 && isEnd(file, frames, frame)) return;
  const message = `${printablePath(file.path)} is damaged: its frames hold something else than the index describes`;
  throw new CacheArchiveError({ code: "malformed", message });
}

/** Whoever reads the frames without their index finds more entries where something else stands. */
function isEnd(file: ArchiveFile, frames: Frames, frame: number): boolean {
  if (frames.bytes(frame) !== END.length) return false;
  const packed = readArchive(file, frames.offset(frame), frames.packedBytes(frame));
  return unpackFrame(file, packed, END.length).equals(END);
}

/** Whether a file does not fit into one frame, so that several threads can restore it. One that has grown since it was listed may be long, and fit. */
export function hasFramesAlone({ numbers }: RestoreRows, index: number, frames: Frames): boolean {
  const row = index * COLUMNS;
  if (numbers[row + COLUMN.kind] !== FILE) return false;
  const whole = wholeBytes(numbers[row + COLUMN.compressedBytes] ?? 0, numbers[row + COLUMN.bytes] ?? 0);
  return (numbers[row + COLUMN.offset] ?? 0) + whole > frames.bytes(numbers[row + COLUMN.frame] ?? 0);
}

/** Of a file that {@link hasFramesAlone}. */
export function framesOf(bytes: number): number {
  return Math.ceil(bytes / LONG_FILE_FRAME_BYTES);
}

/** @returns the frame behind those of a long file, each of which has exactly its part of the content */
function endOfFrames(rows: RestoreRows, index: number, frames: Frames): number {
  const { offset, frame: first, compressedBytes: headerBytes } = rows.table.facts(index);
  const bytes = rows.table.bytes(index);
  const end = first + framesOf(bytes);
  // Others lie in its first frame, or it has no frame at all.
  if (offset !== 0 || end === first) throw misplaced(rows, index);
  for (let frame = first; frame < end; frame += 1) {
    const left = bytes - (frame - first) * LONG_FILE_FRAME_BYTES;
    const content = left > LONG_FILE_FRAME_BYTES ? LONG_FILE_FRAME_BYTES : left + paddingBytes(bytes);
    if (frame >= frames.count || frames.bytes(frame) !== content + (frame === first ? headerBytes : 0)) {
      throw misplaced(rows, index);
    }
  }
  return end;
}

function wholeBytes(headerBytes: number, bytes: number): number {
  return headerBytes + bytes + paddingBytes(bytes);
}

/** No encoder makes more of content that cannot be packed. */
function longestPacked(bytes: number): number {
  return bytes + Math.ceil(bytes / 256) + 1024;
}

function tooLong(file: ArchiveFile, frame: number): CacheArchiveError {
  const message = `${printablePath(file.path)} is damaged: its frame ${frame} is longer than its content can be when packed`;
  return new CacheArchiveError({ code: "malformed", message });
}

function misplaced(rows: RestoreRows, index: number): CacheArchiveError {
  const entryName = printablePath(rows.table.name(index));
  const message = `entry "${entryName}" does not lie where the index says`;
  return new CacheArchiveError({ code: "malformed", message, entryName });
}
