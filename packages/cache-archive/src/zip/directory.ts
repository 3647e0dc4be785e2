import type { ArchivedEntry } from "../archived-entry.ts";
import { readArchive, readArchiveInto } from "../archive-file.ts";
import type { ArchiveFile } from "../archive-file.ts";
import { CacheArchiveError } from "../errors.ts";
import { pathFromBytes, printablePath } from "../path-bytes.ts";
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
import { readExtra } from "./extra.ts";

/** One entry as the central directory describes it. */
export interface ZipEntry extends ArchivedEntry {
  readonly rawName: Buffer;
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  readonly compressedBytes: number;
  /** Of the local header. */
  readonly offset: number;
  /** Where the blocks of a long entry begin, when its writer said so. */
  readonly blocks?: BlockIndex | undefined;
}

/** After so many entries the caller may do something else. */
const ENTRIES_PER_STEP = 500;
const BYTES_PER_STEP = 1024 ** 2;
/** A directory of this length would describe tens of millions of entries; it is read as a whole. */
const MAX_DIRECTORY_BYTES = 1024 ** 3;
/** What is done with all of them at once would keep the main thread too long for more. */
const MAX_INLINE_ENTRIES = 80_000;
/** They have names of usual lengths. */
const MAX_INLINE_DIRECTORY_BYTES = 12 * 1024 ** 2;

/** Whether the main thread can read the directory of an archive without keeping others waiting. @throws as {@link readDirectory} */
export function isShortDirectory(file: ArchiveFile): boolean {
  const { entries, directoryBytes } = findEnd(file);
  return entries <= MAX_INLINE_ENTRIES && directoryBytes <= MAX_INLINE_DIRECTORY_BYTES;
}

/**
 * Reads and checks the central directory, in steps of less than a few milliseconds.
 *
 * @returns entries in the directory's order
 * @throws {CacheArchiveError} `truncated`, `malformed`, `encrypted`, `unsupported-method`
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT 4.3.12, 4.3.14 - 4.3.16
 */
export function* readDirectory(file: ArchiveFile): Generator<void, ZipEntry[]> {
  const end = findEnd(file);
  if (end.directoryBytes > MAX_DIRECTORY_BYTES) {
    throw new CacheArchiveError({
      code: "too-large",
      message: `${file.path}: its directory has ${end.directoryBytes} bytes, more than ${MAX_DIRECTORY_BYTES}`,
    });
  }
  const directory = Buffer.allocUnsafe(end.directoryBytes);
  for (let at = 0; at < directory.length; at += BYTES_PER_STEP) {
    readArchiveInto(file, end.directoryOffset + at, directory.subarray(at, at + BYTES_PER_STEP));
    yield;
  }
  const entries: ZipEntry[] = [];
  let at = 0;
  const readSome = (): void => {
    for (let nth = 0; nth < ENTRIES_PER_STEP && at < directory.length; nth += 1) {
      const { entry, next } = readEntry(directory, at, file.path);
      entries.push(entry);
      at = next;
    }
  };
  while (at < directory.length) {
    readSome();
    if (entries.length > end.entries)
      throw malformed(file.path, `it lists more than the ${end.entries} entries that it announces`);
    yield;
  }
  if (entries.length !== end.entries) {
    throw malformed(file.path, `it announces ${end.entries} entries but lists ${entries.length}`);
  }
  yield;
  checkRanges(entries, end.directoryOffset);
  return entries;
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

function readEntry(directory: Buffer, at: number, archive: string): { entry: ZipEntry; next: number } {
  const nameStart = at + CENTRAL_HEADER_LENGTH;
  if (nameStart > directory.length || directory.readUInt32LE(at) !== CENTRAL_HEADER_SIGNATURE) {
    throw malformed(archive, `there is no entry at byte ${at} of its directory`);
  }
  const nameEnd = nameStart + directory.readUInt16LE(at + 28);
  const extraEnd = nameEnd + directory.readUInt16LE(at + 30);
  const next = extraEnd + directory.readUInt16LE(at + 32);
  if (next > directory.length) throw malformed(archive, "its last directory entry is cut off");

  const rawName = directory.subarray(nameStart, nameEnd);
  const name = pathFromBytes(rawName);
  const flags = directory.readUInt16LE(at + 8);
  const method = directory.readUInt16LE(at + 10);
  const type = readType(directory.readUInt16LE(at + 4) >> 8, directory.readUInt32LE(at + 38), name);
  checkReadable(flags, method, type.kind, name);
  const extra = readExtra(
    directory.subarray(nameEnd, extraEnd),
    {
      bytes: directory.readUInt32LE(at + 24),
      compressedBytes: directory.readUInt32LE(at + 20),
      offset: directory.readUInt32LE(at + 42),
    },
    name,
  );
  const dosTime = { time: directory.readUInt16LE(at + 12), date: directory.readUInt16LE(at + 14) };
  const entry = {
    name,
    rawName,
    flags,
    method,
    crc: directory.readUInt32LE(at + 16),
    ...type,
    ...extra.sizes,
    owner: extra.owner,
    mtimeMs: extra.mtimeMs ?? fromDosTime(dosTime),
    blocks:
      method === METHOD_DEFLATE && extra.blocks !== undefined
        ? decodeBlockIndex(extra.blocks, extra.sizes.bytes, extra.sizes.compressedBytes)
        : undefined,
  };
  return { entry, next };
}

function checkReadable(flags: number, method: number, kind: ArchivedEntry["kind"], name: string): void {
  if (kind !== "file" && kind !== "symlink") return;
  if ((flags & FLAG_ENCRYPTED) === 0 && isKnownMethod(method)) return;
  const entryName = printablePath(name);
  if ((flags & FLAG_ENCRYPTED) !== 0) {
    throw new CacheArchiveError({ code: "encrypted", message: `entry "${entryName}" is encrypted`, entryName });
  }
  const message = `entry "${entryName}" is compressed with method ${method}`;
  throw new CacheArchiveError({ code: "unsupported-method", message, entryName });
}

const MADE_BY_UNIX = 3;
const MADE_BY_MACOS = 19;

function readType(madeBy: number, attributes: number, name: string): { kind: ArchivedEntry["kind"]; mode: number } {
  if (madeBy !== MADE_BY_UNIX && madeBy !== MADE_BY_MACOS) {
    const directory = name.endsWith("/") || (attributes & 0x10) !== 0;
    const writable = (attributes & 0x01) === 0 ? 0o222 : 0;
    return directory ? { kind: "directory", mode: 0o555 | writable } : { kind: "file", mode: 0o444 | writable };
  }
  const mode = (attributes >>> 16) & 0o7777;
  if (name.endsWith("/")) return { kind: "directory", mode };
  switch ((attributes >>> 16) & TYPE_MASK) {
    case 0:
    case TYPE_FILE:
      return { kind: "file", mode };
    case TYPE_DIRECTORY:
      return { kind: "directory", mode };
    case TYPE_SYMLINK:
      return { kind: "symlink", mode };
    default:
      return { kind: "other", mode };
  }
}

/** Entries that share bytes are how a small archive unpacks to a huge tree; no honest writer makes them. */
function checkRanges(entries: readonly ZipEntry[], directoryOffset: number): void {
  const byOffset = entries.toSorted((a, b) => a.offset - b.offset);
  for (const [index, entry] of byOffset.entries()) {
    const end = entry.offset + LOCAL_HEADER_LENGTH + entry.rawName.length + entry.compressedBytes;
    const limit = byOffset[index + 1]?.offset ?? directoryOffset;
    if (end <= limit) continue;
    const entryName = printablePath(entry.name);
    const message = `entry "${entryName}" overlaps what follows it in the archive`;
    throw new CacheArchiveError({ code: "malformed", message, entryName });
  }
}

function safeNumber(record: Buffer, at: number, archive: string): number {
  const value = record.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(archive, `its zip64 end record says ${value}`);
  return Number(value);
}

function malformed(archive: string, what: string): CacheArchiveError {
  return new CacheArchiveError({ code: "malformed", message: `${archive} is damaged: ${what}` });
}
