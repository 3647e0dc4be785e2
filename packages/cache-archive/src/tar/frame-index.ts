import { zstdDecompressSync } from "node:zlib";

import { readArchive } from "../archive-file.ts";
import type { ArchiveFile } from "../archive-file.ts";
import { combineCrc32 } from "../crc32-combine.ts";
import type { BlockTable } from "../engine/block-table.ts";
import type { EntryTable } from "../engine/entry-table.ts";
import type { UnitList } from "../engine/units.ts";
import { CacheArchiveError } from "../errors.ts";
import { pathFromPart, printablePath } from "../path-bytes.ts";
import { COLUMN, FILE, KINDS, OTHER } from "../restore/restore-columns.ts";
import { RestoreRows } from "../restore/restore-rows.ts";
import { inSteps } from "../turn.ts";
import { compressFrame, fastEncoder } from "./compress-frame.ts";

/*
 * What our own archives have behind their last frame: where frames and entries are, so that several threads can restore at
 * once, and so that everything can be checked before anything is written. It lies in a skippable frame, which other readers
 * pass over.
 *
 *   skippable frame: u32 magic, u32 length, index in Zstandard, u32 length of it, u32 length of the index, 8 bytes mark
 *   index:           u32 frames, u32 entries, then for each frame u32 packed and u32 unpacked length, then the entries
 *   entry:           u16 length of the name, name as in the tar header, u8 kind, u16 mode, f64 mtime in seconds, f64 length,
 *                    u32 uid, u32 gid, u32 CRC, u32 frame, u32 place in it, u32 length of the header
 *
 * @see RFC 8878 3.1.2
 */
const SKIPPABLE_MAGIC = 0x184d2a5e;
const MARK = Buffer.from("ffltidx1", "latin1");
const FOOTER_BYTES = 8 + MARK.length;
const FIXED_BYTES = 2 + 1 + 2 + 8 + 8 + 6 * 4;
/** It is read as a whole. An archive whose index is longer, with more than half a million entries, is read without it. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024;
/** Unpacking a longer one is too much for the main thread at once. */
const MAX_INLINE_INDEX_BYTES = 8 * 1024 * 1024;
/** A magic number, two bytes of header and the header of an empty block. */
const MIN_FRAME_BYTES = 9;

/** The frames and the entries of an archive. */
export interface FrameIndex {
  readonly frames: Frames;
  /** Of each entry the offset is that of its header in the frame's content, and the packed length that of the header. */
  readonly rows: RestoreRows;
}

/** Where the frames of an archive are, as rows of numbers in memory that other threads can read. */
export class Frames {
  /** What another thread makes the same rows of. */
  readonly shared: SharedArrayBuffer;
  readonly #numbers: Float64Array;

  /** Room for so many frames. */
  static share(count: number): SharedArrayBuffer {
    return new SharedArrayBuffer(count * FRAME_COLUMNS * Float64Array.BYTES_PER_ELEMENT);
  }

  constructor(shared: SharedArrayBuffer) {
    this.shared = shared;
    this.#numbers = new Float64Array(shared);
  }

  get count(): number {
    return this.#numbers.length / FRAME_COLUMNS;
  }

  set(frame: number, offset: number, packedBytes: number, bytes: number): void {
    this.#numbers[frame * FRAME_COLUMNS] = offset;
    this.#numbers[frame * FRAME_COLUMNS + 1] = packedBytes;
    this.#numbers[frame * FRAME_COLUMNS + 2] = bytes;
  }

  /** Place in the file. */
  offset(frame: number): number {
    return this.#numbers[frame * FRAME_COLUMNS] ?? 0;
  }

  packedBytes(frame: number): number {
    return this.#numbers[frame * FRAME_COLUMNS + 1] ?? 0;
  }

  /** Length of the content; 0 when there is no such frame. */
  bytes(frame: number): number {
    return this.#numbers[frame * FRAME_COLUMNS + 2] ?? 0;
  }
}

const FRAME_COLUMNS = 3;

/** The skippable frame for an archive whose frames are all known. */
export function encodeFrameIndex(entries: EntryTable, units: UnitList, frames: BlockTable): Buffer {
  // Names of folders get a slash.
  const most = 8 + units.length * 8 + entries.count * (FIXED_BYTES + 1) + entries.nameBytes;
  const index = Buffer.allocUnsafeSlow(most);
  let end = index.writeUInt32LE(entries.count, index.writeUInt32LE(units.length, 0));
  for (let unit = 0; unit < units.length; unit += 1) {
    end = index.writeUInt32LE(frames.bytes(unit), index.writeUInt32LE(frames.compressedBytes(unit), end));
  }
  setCrcsOfLongFiles(units, frames, entries);
  for (let nth = 0; nth < entries.count; nth += 1) end = putEntry(index, end, entries, nth);
  // Rows of numbers repeat in short pieces.
  const packed = compressFrame(index.subarray(0, end), fastEncoder(MIN_MATCH));
  return Buffer.concat([
    numbers(SKIPPABLE_MAGIC, packed.length + FOOTER_BYTES),
    packed,
    numbers(packed.length, end),
    MARK,
  ]);
}

const MIN_MATCH = 5;

/** Whether the main thread can read the index of an archive without keeping others waiting; so it is when there is none. */
export function isShortFrameIndex(file: ArchiveFile): boolean {
  const lengths = readFooter(file);
  return lengths === undefined || lengths.bytes <= MAX_INLINE_INDEX_BYTES;
}

/**
 * Reads and checks the index, in steps of less than a few milliseconds when it {@link isShortFrameIndex}.
 *
 * @returns undefined for an archive without one, or with one that is too long to be read
 * @throws {CacheArchiveError} `malformed`
 */
export function* readFrameIndex(file: ArchiveFile): Generator<void, FrameIndex | undefined> {
  const lengths = readFooter(file);
  if (lengths === undefined) return undefined;
  const { packedBytes, bytes } = lengths;
  const start = file.size - FOOTER_BYTES - packedBytes - 8;
  if (start < 0) throw malformed(file, "its index cannot be that long");
  const frame = readArchive(file, start, 8 + packedBytes);
  if (frame.readUInt32LE(0) !== SKIPPABLE_MAGIC || frame.readUInt32LE(4) !== packedBytes + FOOTER_BYTES) {
    throw malformed(file, "its index is not in a frame of its own");
  }
  yield;
  const index = unpackIndex(file, frame.subarray(8), bytes);
  yield;
  return yield* decode(file, index, start);
}

/** @returns undefined when the archive has no index that is read */
function readFooter(file: ArchiveFile): { packedBytes: number; bytes: number } | undefined {
  if (file.size < FOOTER_BYTES + 8) return undefined;
  const footer = readArchive(file, file.size - FOOTER_BYTES, FOOTER_BYTES);
  if (!footer.subarray(8).equals(MARK)) return undefined;
  const packedBytes = footer.readUInt32LE(0);
  const bytes = footer.readUInt32LE(4);
  return Math.max(packedBytes, bytes) > MAX_INDEX_BYTES ? undefined : { packedBytes, bytes };
}

function* decode(file: ArchiveFile, index: Buffer, end: number): Generator<void, FrameIndex> {
  if (index.length < 8) throw malformed(file, "its index is too short");
  const frameCount = index.readUInt32LE(0);
  const entryCount = index.readUInt32LE(4);
  if (8 + frameCount * 8 + entryCount * FIXED_BYTES > index.length) throw malformed(file, "its index is too short");
  if (frameCount * MIN_FRAME_BYTES > end) throw malformed(file, "its index describes more frames than fit into it");
  const frames = new Frames(Frames.share(frameCount));
  let offset = 0;
  yield* inSteps(frameCount, FRAMES_PER_STEP, (nth) => {
    const packedBytes = index.readUInt32LE(8 + nth * 8);
    frames.set(nth, offset, packedBytes, index.readUInt32LE(12 + nth * 8));
    offset += packedBytes;
  });
  if (offset !== end) throw malformed(file, "its frames do not end where its index begins");
  const names = new SharedArrayBuffer(index.length);
  index.copy(Buffer.from(names));
  const rows = new RestoreRows(names, entryCount);
  const view = new DataView(names);
  let at = 8 + frameCount * 8;
  yield* inSteps(entryCount, ENTRIES_PER_STEP, () => {
    const nameBytes = at + 2 <= view.byteLength ? view.getUint16(at, true) : 0;
    const next = at + FIXED_BYTES + nameBytes;
    if (next > view.byteLength) throw malformed(file, "its index is too short");
    addEntry(file, rows, view, at, nameBytes);
    at = next;
  });
  if (at !== index.length) throw malformed(file, "its index is too long");
  return { frames, rows };
}

const ENTRIES_PER_STEP = 1000;
const FRAMES_PER_STEP = 5000;

/** @returns where the entry ends */
function putEntry(record: Buffer, start: number, entries: EntryTable, index: number): number {
  const { kind, mode, mtimeMs, uid, gid } = entries.metadata(index);
  const { crc, bytes, compressedBytes: headerBytes, form: frame } = entries.packed(index);
  const nameStart = start + 2;
  let at = nameStart + entries.copyName(index, record, nameStart);
  if (kind === "directory") at = record.writeUInt8(SLASH, at);
  record.writeUInt16LE(at - nameStart, start);
  at = record.writeUInt8(KINDS.indexOf(kind), at);
  at = record.writeUInt16LE(mode, at);
  at = record.writeDoubleLE(Math.round(mtimeMs / 1000), at);
  at = record.writeDoubleLE(bytes, at);
  at = record.writeUInt32LE(uid, at);
  at = record.writeUInt32LE(gid, at);
  at = record.writeUInt32LE(crc, at);
  at = record.writeUInt32LE(frame, at);
  at = record.writeUInt32LE(entries.offset(index), at);
  return record.writeUInt32LE(headerBytes, at);
}

const SLASH = 0x2f;

function addEntry(file: ArchiveFile, rows: RestoreRows, index: DataView, start: number, nameBytes: number): void {
  const nameStart = start + 2;
  const at = nameStart + nameBytes;
  const kind = index.getUint8(at);
  const mtime = index.getFloat64(at + 3, true);
  const bytes = index.getFloat64(at + 11, true);
  // Whoever reads the archive without this index takes what has such a name for a folder.
  const isFolderName = nameBytes > 0 && index.getUint8(at - 1) === SLASH;
  if (
    kind >= OTHER ||
    (kind === FILE && isFolderName) ||
    !Number.isSafeInteger(bytes) ||
    bytes < 0 ||
    !Number.isSafeInteger(mtime)
  ) {
    const name = pathFromPart(rows.names, nameStart, at);
    throw malformed(file, `its index describes "${printablePath(name)}" with impossible values`);
  }
  const row = rows.add();
  const { numbers } = rows;
  numbers[row + COLUMN.nameStart] = nameStart;
  numbers[row + COLUMN.nameLength] = nameBytes;
  numbers[row + COLUMN.kind] = kind;
  numbers[row + COLUMN.mode] = index.getUint16(at + 1, true) & 0o7777;
  numbers[row + COLUMN.mtimeMs] = mtime * 1000;
  numbers[row + COLUMN.bytes] = bytes;
  numbers[row + COLUMN.uid] = index.getUint32(at + 19, true);
  numbers[row + COLUMN.gid] = index.getUint32(at + 23, true);
  numbers[row + COLUMN.crc] = index.getUint32(at + 27, true);
  numbers[row + COLUMN.frame] = index.getUint32(at + 31, true);
  numbers[row + COLUMN.offset] = index.getUint32(at + 35, true);
  numbers[row + COLUMN.compressedBytes] = index.getUint32(at + 39, true);
}

/** The content of a long file is in several frames, and the CRC of each is known. */
function setCrcsOfLongFiles(units: UnitList, frames: BlockTable, entries: EntryTable): void {
  for (let unit = 0; unit < units.length; unit += 1) {
    const { first, block, count } = units.at(unit);
    if (block < 0 || count === 0) continue;
    const { bytes, crc } = entries.packed(first);
    const content = Math.min(LONG_FILE_FRAME_BYTES, bytes - block * LONG_FILE_FRAME_BYTES);
    entries.setCrc(first, combineCrc32(block === 0 ? 0 : crc, frames.crc(unit), content));
  }
}

/** Content of each frame of a long file but the last. */
export const LONG_FILE_FRAME_BYTES: number = 4 * 1024 * 1024;

function unpackIndex(file: ArchiveFile, packed: Buffer, bytes: number): Buffer {
  try {
    const index = zstdDecompressSync(packed, { maxOutputLength: bytes + 1, chunkSize: Math.max(bytes + 1, 64) });
    if (index.length === bytes) return index;
  } catch (error) {
    throw malformed(file, "its index cannot be unpacked", error);
  }
  throw malformed(file, "its index has another length than it says");
}

function numbers(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(4 * values.length);
  for (const [nth, value] of values.entries()) bytes.writeUInt32LE(value, 4 * nth);
  return bytes;
}

function malformed(file: ArchiveFile, what: string, cause?: unknown): CacheArchiveError {
  const message = `${printablePath(file.path)} is damaged: ${what}`;
  return new CacheArchiveError({ code: "malformed", message, cause });
}
