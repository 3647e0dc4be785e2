import type { ArchiveFile } from "../archive-file.ts";
import { CacheArchiveError } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import { LONG_FILE_FRAME_BYTES } from "./frame-index.ts";
import type { Frame, FrameIndex, IndexedEntry } from "./frame-index.ts";
import { BLOCK_BYTES } from "./header.ts";
import { inSteps } from "../turn.ts";
import { paddingBytes } from "./read.ts";

/** Two empty blocks. */
const END_BYTES = 2 * BLOCK_BYTES;
const ENTRIES_PER_STEP = 500;

/**
 * Checks that the entries fill the frames, without gaps, and that the end of the archive is what remains of the last one. So no
 * byte belongs to two entries, and what is held in memory for a frame is what its entries need.
 *
 * @throws {CacheArchiveError} `malformed`
 */
export function* checkLayout(file: ArchiveFile, { frames, entries }: FrameIndex): Generator<void> {
  for (const [nth, frame] of frames.entries()) if (frame.packedBytes > longestPacked(frame)) throw tooLong(file, nth);
  let frame = 0;
  let offset = 0;
  yield* inSteps(entries.length, ENTRIES_PER_STEP, (nth) => {
    const entry = entries[nth];
    if (entry === undefined) return;
    if (entry.frame !== frame || entry.offset !== offset || (entry.kind !== "file" && entry.bytes > 0)) {
      throw misplaced(entry);
    }
    if (hasFramesAlone(entry, frames)) {
      frame = endOfFrames(entry, frames);
      return;
    }
    offset += wholeBytes(entry);
    if (offset !== frames[frame]?.bytes) return;
    frame += 1;
    offset = 0;
  });
  if (frame === frames.length - 1 && frames[frame]?.bytes === offset + END_BYTES) return;
  const message = `${printablePath(file.path)} is damaged: its frames hold something else than the index describes`;
  throw new CacheArchiveError({ code: "malformed", message });
}

/** Whether a file does not fit into one frame, so that several threads can restore it. One that has grown since it was listed may be long, and fit. */
export function hasFramesAlone(entry: IndexedEntry, frames: readonly Frame[]): boolean {
  return entry.kind === "file" && entry.offset + wholeBytes(entry) > (frames[entry.frame]?.bytes ?? 0);
}

/** Of a file that {@link hasFramesAlone}. */
export function framesOf({ bytes }: IndexedEntry): number {
  return Math.ceil(bytes / LONG_FILE_FRAME_BYTES);
}

/** @returns the frame behind those of a long file, each of which has exactly its part of the content */
function endOfFrames(entry: IndexedEntry, frames: readonly Frame[]): number {
  const { frame: first, headerBytes, bytes } = entry;
  const end = first + framesOf(entry);
  // Others lie in its first frame.
  if (entry.offset !== 0) throw misplaced(entry);
  for (let frame = first; frame < end; frame += 1) {
    const left = bytes - (frame - first) * LONG_FILE_FRAME_BYTES;
    const content = left > LONG_FILE_FRAME_BYTES ? LONG_FILE_FRAME_BYTES : left + paddingBytes(bytes);
    if (frames[frame]?.bytes !== content + (frame === first ? headerBytes : 0)) throw misplaced(entry);
  }
  return end;
}

function wholeBytes({ headerBytes, bytes }: IndexedEntry): number {
  return headerBytes + bytes + paddingBytes(bytes);
}

/** No encoder makes more of content that cannot be packed. */
function longestPacked({ bytes }: Frame): number {
  return bytes + Math.ceil(bytes / 256) + 1024;
}

function tooLong(file: ArchiveFile, frame: number): CacheArchiveError {
  const message = `${printablePath(file.path)} is damaged: its frame ${frame} is longer than its content can be when packed`;
  return new CacheArchiveError({ code: "malformed", message });
}

function misplaced(entry: IndexedEntry): CacheArchiveError {
  const entryName = printablePath(entry.name);
  const message = `entry "${entryName}" does not lie where the index says`;
  return new CacheArchiveError({ code: "malformed", message, entryName });
}
