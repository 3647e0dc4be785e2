import type { ArchivedEntry } from "../archived-entry.ts";
import { readArchive, readArchiveInto } from "../archive-file.ts";
import type { ArchiveFile } from "../archive-file.ts";
import { CacheArchiveError } from "../errors.ts";
import { pathFromPart, printablePath } from "../path-bytes.ts";
import { COLUMN, COLUMNS, DIRECTORY, FILE, OTHER, SYMLINK } from "../restore/restore-columns.ts";
import { RestoreRows } from "../restore/restore-rows.ts";
import type { ContentFacts, RestoreTable } from "../restore/restore-table.ts";
import {
  CENTRAL_HEADER_LENGTH,
  CENTRAL_HEADER_SIGNATURE,
  END_LENGTH,
  END_SIGNATURE,
  FLAG_ENCRYPTED,
  LOCAL_HEADER_LENGTH,
  MAX_16,
  MAX_32,
  METHOD_DEFLATE,
  TYPE_DIRECTORY,
  TYPE_FILE,
  TYPE_MASK,
  TYPE_SYMLINK,
  ZIP64_END_LENGTH,
  ZIP64_END_SIGNATURE,
  ZIP64_LOCATOR_LENGTH,
  ZIP64_LOCATOR_SIGNATURE,
} from "./constants.ts";
import { decodeBlockIndex } from "./block-index.ts";
import type { BlockIndex } from "./block-index.ts";
import { isKnownMethod } from "./codec.ts";
import { fromDosTime } from "./dos-time.ts";
import { ExtraFacts } from "./extra.ts";

/** One entry as the central directory describes it. */
export interface ZipEntry extends ArchivedEntry, ContentFacts {
  readonly rawName: Buffer;
}

/** What the central directory holds. */
export interface ZipDirectory {
  /** In the directory's order. The offset of an entry is that of its local header. */
  readonly rows: RestoreRows;
  /** By the index of a long entry where its blocks begin, when its writer said so. */
  readonly blocks: ReadonlyMap<number, BlockIndex>;
}

/** An object for an entry of the directory. */
export function zipEntryAt(table: RestoreTable, index: number): ZipEntry {
  return { ...table.entry(index), ...table.facts(index), rawName: table.rawName(index) };
}

/** After so many entries the caller may do something else. */
const ENTRIES_PER_STEP = 1000;
const BYTES_PER_STEP = 1024 ** 2;
/** A directory of this length would describe tens of millions of entries; it is read as a whole. */
const MAX_DIRECTORY_BYTES = 1024 ** 3;
/** What is done with all of them at once would keep the main thread too long for more. */
const MAX_INLINE_ENTRIES = 40_000;
/** They have names of usual lengths. */
const MAX_INLINE_DIRECTORY_BYTES = 6 * 1024 ** 2;

/** Whether the main thread can read the directory of an archive without keeping others waiting. @throws as {@link readDirectory} */
export function isShortDirectory(file: ArchiveFile): boolean {
  const { entries, directoryBytes } = findEnd(file);
  return entries <= MAX_INLINE_ENTRIES && directoryBytes <= MAX_INLINE_DIRECTORY_BYTES;
}

/**
 * Reads and checks the central directory, in steps of less than a few milliseconds.
 *
 * @throws {CacheArchiveError} `truncated`, `malformed`, `encrypted`, `unsupported-method`
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT 4.3.12, 4.3.14 - 4.3.16
 */
export function* readDirectory(file: ArchiveFile): Generator<void, ZipDirectory> {
  const end = findEnd(file);
  if (end.directoryBytes > MAX_DIRECTORY_BYTES) {
    throw new CacheArchiveError({
      code: "too-large",
      message: `${file.path}: its directory has ${end.directoryBytes} bytes, more than ${MAX_DIRECTORY_BYTES}`,
    });
  }
  const names = new SharedArrayBuffer(end.directoryBytes);
  const bytes = Buffer.from(names);
  for (let at = 0; at < bytes.length; at += BYTES_PER_STEP) {
    readArchiveInto(file, end.directoryOffset + at, bytes.subarray(at, at + BYTES_PER_STEP));
    yield;
  }
  const rows = new RestoreRows(names, Math.min(end.entries, Math.floor(bytes.length / CENTRAL_HEADER_LENGTH)));
  const reader = new EntryReader(rows, names, file.path);
  while (!reader.isAtEnd) {
    reader.readSome();
    if (rows.count > end.entries)
      throw malformed(file.path, `it lists more than the ${end.entries} entries that it announces`);
    yield;
  }
  if (rows.count !== end.entries) {
    throw malformed(file.path, `it announces ${end.entries} entries but lists ${rows.count}`);
  }
  yield;
  checkRanges(rows, end.directoryOffset);
  return { rows, blocks: reader.blocks };
}

interface End {
  readonly entries: number;
  readonly directoryBytes: number;
  readonly directoryOffset: number;
}

function findEnd(file: ArchiveFile): End {
  if (file.size === 0) throw new CacheArchiveError({ code: "truncated", message: `${file.path} is empty` });
  const tailLength = Math.min(file.size, END_LENGTH + MAX_16);
  const tail = readArchive(file, file.size - tailLength, tailLength);
  for (let at = tail.length - END_LENGTH; at >= 0; at -= 1) {
    // A comment may hold the signature, too: only a record that ends where the file ends is the real one.
    if (tail.readUInt32LE(at) !== END_SIGNATURE || at + END_LENGTH + tail.readUInt16LE(at + 20) !== tail.length)
      continue;
    return readEnd(file, tail.subarray(at, at + END_LENGTH), file.size - tailLength + at);
  }
  const start = readArchive(file, 0, Math.min(file.size, 2));
  const code = start.toString("latin1") === "PK" ? "truncated" : "malformed";
  const what = code === "truncated" ? "was cut off: its end record is missing" : "is not a zip file";
  throw new CacheArchiveError({ code, message: `${file.path} ${what}` });
}

function readEnd(file: ArchiveFile, record: Buffer, position: number): End {
  const short = {
    entries: record.readUInt16LE(10),
    directoryBytes: record.readUInt32LE(12),
    directoryOffset: record.readUInt32LE(16),
  };
  let end: End = short;
  let limit = position;
  if (short.entries === MAX_16 || short.directoryBytes === MAX_32 || short.directoryOffset === MAX_32) {
    const wide = readZip64End(file, position);
    if (wide !== undefined) ({ end, limit } = wide);
  } else if (record.readUInt16LE(4) !== 0 || record.readUInt16LE(8) !== short.entries) {
    throw malformed(file.path, "it is one of several parts");
  }
  if (end.directoryOffset + end.directoryBytes !== limit) {
    throw malformed(file.path, "its directory does not end where its end record begins");
  }
  return end;
}

function readZip64End(file: ArchiveFile, endPosition: number): { end: End; limit: number } | undefined {
  const locatorPosition = endPosition - ZIP64_LOCATOR_LENGTH;
  if (locatorPosition < 0) return undefined;
  const locator = readArchive(file, locatorPosition, ZIP64_LOCATOR_LENGTH);
  if (locator.readUInt32LE(0) !== ZIP64_LOCATOR_SIGNATURE) return undefined;
  const limit = safeNumber(locator, 8, file.path);
  if (limit + ZIP64_END_LENGTH > locatorPosition) throw malformed(file.path, "its zip64 end record is missing");
  const record = readArchive(file, limit, ZIP64_END_LENGTH);
  if (record.readUInt32LE(0) !== ZIP64_END_SIGNATURE) throw malformed(file.path, "its zip64 end record is missing");
  const end = {
    entries: safeNumber(record, 32, file.path),
    directoryBytes: safeNumber(record, 40, file.path),
    directoryOffset: safeNumber(record, 48, file.path),
  };
  return { end, limit };
}

/** Reads entries of the directory into rows, which have their names in its bytes. */
class EntryReader {
  readonly blocks: Map<number, BlockIndex> = new Map();
  readonly #rows: RestoreRows;
  readonly #directory: DataView;
  readonly #archive: string;
  readonly #extra = new ExtraFacts();
  #at = 0;

  constructor(rows: RestoreRows, directory: SharedArrayBuffer, archive: string) {
    this.#rows = rows;
    this.#directory = new DataView(directory);
    this.#archive = archive;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#directory.byteLength;
  }

  readSome(): void {
    for (let nth = 0; nth < ENTRIES_PER_STEP && !this.isAtEnd; nth += 1) this.#at = this.#read(this.#at);
  }

  /** @returns where the entry ends */
  #read(at: number): number {
    const directory = this.#directory;
    const nameStart = at + CENTRAL_HEADER_LENGTH;
    if (nameStart > directory.byteLength || directory.getUint32(at, true) !== CENTRAL_HEADER_SIGNATURE) {
      throw malformed(this.#archive, `there is no entry at byte ${at} of its directory`);
    }
    const nameEnd = nameStart + directory.getUint16(at + 28, true);
    const extraEnd = nameEnd + directory.getUint16(at + 30, true);
    const next = extraEnd + directory.getUint16(at + 32, true);
    if (next > directory.byteLength) throw malformed(this.#archive, "its last directory entry is cut off");

    const flags = directory.getUint16(at + 8, true);
    const method = directory.getUint16(at + 10, true);
    const isFolderName = nameEnd > nameStart && directory.getUint8(nameEnd - 1) === SLASH;
    const madeBy = directory.getUint8(at + 5);
    const attributes = directory.getUint32(at + 38, true);
    const kind = kindOf(madeBy, attributes, isFolderName);
    const isUnreadable = (flags & FLAG_ENCRYPTED) !== 0 || !isKnownMethod(method);
    if (isUnreadable && (kind === FILE || kind === SYMLINK)) {
      throw unreadable(flags, method, pathFromPart(this.#rows.names, nameStart, nameEnd));
    }
    const extra = this.#extra;
    extra.begin(
      directory.getUint32(at + 24, true),
      directory.getUint32(at + 20, true),
      directory.getUint32(at + 42, true),
    );
    extra.read(directory, nameStart, nameEnd, extraEnd);
    const row = this.#rows.add();
    const { numbers } = this.#rows;
    numbers[row + COLUMN.nameStart] = nameStart;
    numbers[row + COLUMN.nameLength] = nameEnd - nameStart;
    numbers[row + COLUMN.kind] = kind;
    numbers[row + COLUMN.mode] = modeOf(madeBy, attributes, kind);
    numbers[row + COLUMN.mtimeMs] =
      extra.mtimeMs ??
      fromDosTime({ time: directory.getUint16(at + 12, true), date: directory.getUint16(at + 14, true) });
    numbers[row + COLUMN.uid] = extra.uid;
    numbers[row + COLUMN.gid] = extra.gid;
    numbers[row + COLUMN.bytes] = extra.bytes;
    numbers[row + COLUMN.crc] = directory.getUint32(at + 16, true);
    numbers[row + COLUMN.compressedBytes] = extra.compressedBytes;
    numbers[row + COLUMN.offset] = extra.offset;
    numbers[row + COLUMN.method] = method;
    numbers[row + COLUMN.flags] = flags;
    if (method === METHOD_DEFLATE && extra.blocksStart > 0) this.#readBlocks();
    return next;
  }

  /** Of the last entry. */
  #readBlocks(): void {
    const { blocksStart, blocksEnd, bytes, compressedBytes } = this.#extra;
    const blocks = decodeBlockIndex(this.#rows.names.subarray(blocksStart, blocksEnd), bytes, compressedBytes);
    if (blocks !== undefined) this.blocks.set(this.#rows.count - 1, blocks);
  }
}

const SLASH = 0x2f;

function unreadable(flags: number, method: number, name: string): CacheArchiveError {
  const entryName = printablePath(name);
  if ((flags & FLAG_ENCRYPTED) !== 0) {
    return new CacheArchiveError({ code: "encrypted", message: `entry "${entryName}" is encrypted`, entryName });
  }
  const message = `entry "${entryName}" is compressed with method ${method}`;
  return new CacheArchiveError({ code: "unsupported-method", message, entryName });
}

const MADE_BY_UNIX = 3;
const MADE_BY_MACOS = 19;

function hasUnixMode(madeBy: number): boolean {
  return madeBy === MADE_BY_UNIX || madeBy === MADE_BY_MACOS;
}

function kindOf(madeBy: number, attributes: number, isFolderName: boolean): number {
  if (isFolderName) return DIRECTORY;
  if (!hasUnixMode(madeBy)) return (attributes & 0x10) === 0 ? FILE : DIRECTORY;
  switch ((attributes >>> 16) & TYPE_MASK) {
    case 0:
    case TYPE_FILE:
      return FILE;
    case TYPE_DIRECTORY:
      return DIRECTORY;
    case TYPE_SYMLINK:
      return SYMLINK;
    default:
      return OTHER;
  }
}

function modeOf(madeBy: number, attributes: number, kind: number): number {
  if (hasUnixMode(madeBy)) return (attributes >>> 16) & 0o7777;
  const writable = (attributes & 0x01) === 0 ? 0o222 : 0;
  return (kind === DIRECTORY ? 0o555 : 0o444) | writable;
}

/** Entries that share bytes are how a small archive unpacks to a huge tree; no honest writer makes them. */
function checkRanges(rows: RestoreRows, directoryOffset: number): void {
  const { numbers } = rows;
  const all = new Int32Array(rows.count);
  for (let index = 0; index < all.length; index += 1) all[index] = index;
  const byOffset = sortByOffset(rows, all);
  for (let nth = 0; nth < byOffset.length; nth += 1) {
    const index = byOffset[nth] ?? 0;
    const row = index * COLUMNS;
    const headerEnd =
      (numbers[row + COLUMN.offset] ?? 0) + LOCAL_HEADER_LENGTH + (numbers[row + COLUMN.nameLength] ?? 0);
    const following = byOffset[nth + 1];
    const limit = following === undefined ? directoryOffset : numbers[following * COLUMNS + COLUMN.offset];
    if (headerEnd + (numbers[row + COLUMN.compressedBytes] ?? 0) <= (limit ?? 0)) continue;
    const entryName = printablePath(rows.table.name(index));
    const message = `entry "${entryName}" overlaps what follows it in the archive`;
    throw new CacheArchiveError({ code: "malformed", message, entryName });
  }
}

/** Entries in the order in which they lie in the archive, which nearly always is the one that they have already. */
export function sortByOffset({ numbers }: RestoreRows, entries: Int32Array): Int32Array {
  let last = 0;
  for (let nth = 0; nth < entries.length; nth += 1) {
    const offset = offsetOf(numbers, entries[nth] ?? 0);
    if (offset < last) return entries.toSorted((a, b) => offsetOf(numbers, a) - offsetOf(numbers, b));
    last = offset;
  }
  return entries;
}

function offsetOf(numbers: Float64Array, index: number): number {
  return numbers[index * COLUMNS + COLUMN.offset] ?? 0;
}

function safeNumber(record: Buffer, at: number, archive: string): number {
  const value = record.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(archive, `its zip64 end record says ${value}`);
  return Number(value);
}

function malformed(archive: string, what: string): CacheArchiveError {
  return new CacheArchiveError({ code: "malformed", message: `${archive} is damaged: ${what}` });
}
