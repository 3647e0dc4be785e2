import { pathToBytes } from "../path-bytes.ts";
import type { ArchiveEntry } from "../types.ts";
import {
  CENTRAL_HEADER_LENGTH,
  CENTRAL_HEADER_SIGNATURE,
  DESCRIPTOR_SIGNATURE,
  END_LENGTH,
  END_SIGNATURE,
  EXTRA_OWNER,
  EXTRA_TIMESTAMP,
  EXTRA_ZIP64,
  FLAG_DESCRIPTOR,
  FLAG_UTF8,
  LOCAL_HEADER_LENGTH,
  LOCAL_HEADER_SIGNATURE,
  MAX_16,
  MAX_32,
  TYPE_DIRECTORY,
  TYPE_FILE,
  TYPE_SYMLINK,
  ZIP64_END_LENGTH,
  ZIP64_END_SIGNATURE,
  ZIP64_LOCATOR_LENGTH,
  ZIP64_LOCATOR_SIGNATURE,
} from "./constants.ts";
import { toDosTime } from "./dos-time.ts";

/** In which order the two extra fields stand; the reference's two ways of writing differ in it. */
export type ExtraOrder = "owner-first" | "time-first";

/** The fields that local and central header share. */
export interface EntryHeader {
  readonly name: Buffer;
  readonly flags: number;
  readonly method: number;
  readonly date: number;
  readonly time: number;
  readonly externalAttributes: number;
  readonly extra: Buffer;
}

/** What is known of an entry's data once it is written. */
export interface EntryData {
  readonly crc: number;
  readonly compressedBytes: number;
  readonly bytes: number;
}

const MADE_BY_UNIX_20 = 0x0314;
const VERSION_20 = 20;
const VERSION_ZIP64 = 45;
const DOS_DIRECTORY = 0x10;
const DOS_READ_ONLY = 0x01;

/**
 * The header of an entry with the fields that the reference writes.
 *
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (cache document 3.2)
 */
export function entryHeader(entry: ArchiveEntry, method: number, extraOrder: ExtraOrder): EntryHeader {
  const name = pathToBytes(entry.kind === "directory" ? `${entry.path}/` : entry.path);
  const descriptor = entry.kind === "file" ? FLAG_DESCRIPTOR : 0;
  return {
    name,
    flags: descriptor | (needsUtf8Flag(entry.path) ? FLAG_UTF8 : 0),
    method,
    ...toDosTime(entry.mtimeMs),
    externalAttributes: externalAttributes(entry),
    extra: extraFields(entry, extraOrder),
  };
}

/** @param data - absent when a descriptor follows the data */
export function localHeader(header: EntryHeader, data?: EntryData): Buffer {
  const record = Buffer.alloc(LOCAL_HEADER_LENGTH + header.name.length + header.extra.length);
  record.writeUInt32LE(LOCAL_HEADER_SIGNATURE, 0);
  record.writeUInt16LE(VERSION_20, 4);
  record.writeUInt16LE(header.flags, 6);
  record.writeUInt16LE(header.method, 8);
  record.writeUInt16LE(header.time, 10);
  record.writeUInt16LE(header.date, 12);
  if (data !== undefined) {
    record.writeUInt32LE(data.crc, 14);
    record.writeUInt32LE(data.compressedBytes, 18);
    record.writeUInt32LE(data.bytes, 22);
  }
  record.writeUInt16LE(header.name.length, 26);
  record.writeUInt16LE(header.extra.length, 28);
  header.name.copy(record, LOCAL_HEADER_LENGTH);
  header.extra.copy(record, LOCAL_HEADER_LENGTH + header.name.length);
  return record;
}

/** Follows the data of a regular file; longer when a size needs more than 32 bits. */
export function dataDescriptor(data: EntryData): Buffer {
  const wide = isWide(data);
  const record = Buffer.alloc(wide ? 24 : 16);
  record.writeUInt32LE(DESCRIPTOR_SIGNATURE, 0);
  record.writeUInt32LE(data.crc, 4);
  if (wide) {
    record.writeBigUInt64LE(BigInt(data.compressedBytes), 8);
    record.writeBigUInt64LE(BigInt(data.bytes), 16);
  } else {
    record.writeUInt32LE(data.compressedBytes, 8);
    record.writeUInt32LE(data.bytes, 12);
  }
  return record;
}

/** @param offset - of the local header, from the start of the archive */
export function centralHeader(header: EntryHeader, data: EntryData, offset: number): Buffer {
  const zip64 = isWide(data) || offset >= MAX_32;
  const extra = zip64 ? Buffer.concat([header.extra, zip64Extra(data, offset)]) : header.extra;
  const record = Buffer.alloc(CENTRAL_HEADER_LENGTH + header.name.length + extra.length);
  record.writeUInt32LE(CENTRAL_HEADER_SIGNATURE, 0);
  record.writeUInt16LE(MADE_BY_UNIX_20, 4);
  record.writeUInt16LE(isWide(data) ? VERSION_ZIP64 : VERSION_20, 6);
  record.writeUInt16LE(header.flags, 8);
  record.writeUInt16LE(header.method, 10);
  record.writeUInt16LE(header.time, 12);
  record.writeUInt16LE(header.date, 14);
  record.writeUInt32LE(data.crc, 16);
  record.writeUInt32LE(zip64 ? MAX_32 : data.compressedBytes, 20);
  record.writeUInt32LE(zip64 ? MAX_32 : data.bytes, 24);
  record.writeUInt16LE(header.name.length, 28);
  record.writeUInt16LE(extra.length, 30);
  record.writeUInt32LE(header.externalAttributes, 38);
  record.writeUInt32LE(Math.min(offset, MAX_32), 42);
  header.name.copy(record, CENTRAL_HEADER_LENGTH);
  extra.copy(record, CENTRAL_HEADER_LENGTH + header.name.length);
  return record;
}

/** The end of the archive, with the zip64 record and locator when a number does not fit without. */
export function endRecords(entries: number, directoryBytes: number, directoryOffset: number): Buffer {
  const end = Buffer.alloc(END_LENGTH);
  end.writeUInt32LE(END_SIGNATURE, 0);
  end.writeUInt16LE(Math.min(entries, MAX_16), 8);
  end.writeUInt16LE(Math.min(entries, MAX_16), 10);
  end.writeUInt32LE(Math.min(directoryBytes, MAX_32), 12);
  end.writeUInt32LE(Math.min(directoryOffset, MAX_32), 16);
  if (entries < MAX_16 && directoryBytes < MAX_32 && directoryOffset < MAX_32) return end;

  const zip64End = Buffer.alloc(ZIP64_END_LENGTH);
  zip64End.writeUInt32LE(ZIP64_END_SIGNATURE, 0);
  // The record's length without its first twelve bytes.
  zip64End.writeBigUInt64LE(BigInt(ZIP64_END_LENGTH - 12), 4);
  zip64End.writeUInt16LE(VERSION_ZIP64, 12);
  zip64End.writeUInt16LE(VERSION_ZIP64, 14);
  zip64End.writeBigUInt64LE(BigInt(entries), 24);
  zip64End.writeBigUInt64LE(BigInt(entries), 32);
  zip64End.writeBigUInt64LE(BigInt(directoryBytes), 40);
  zip64End.writeBigUInt64LE(BigInt(directoryOffset), 48);

  const locator = Buffer.alloc(ZIP64_LOCATOR_LENGTH);
  locator.writeUInt32LE(ZIP64_LOCATOR_SIGNATURE, 0);
  locator.writeBigUInt64LE(BigInt(directoryOffset + directoryBytes), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([zip64End, locator, end]);
}

function isWide(data: EntryData): boolean {
  return data.bytes >= MAX_32 || data.compressedBytes >= MAX_32;
}

/** Always all three values, as the reference writes them. */
function zip64Extra(data: EntryData, offset: number): Buffer {
  const field = Buffer.alloc(28);
  field.writeUInt16LE(EXTRA_ZIP64, 0);
  field.writeUInt16LE(24, 2);
  field.writeBigUInt64LE(BigInt(data.bytes), 4);
  field.writeBigUInt64LE(BigInt(data.compressedBytes), 12);
  field.writeBigUInt64LE(BigInt(offset), 20);
  return field;
}

/** The reference sets the flag for these characters only, and never for names that are not UTF-8. */
function needsUtf8Flag(path: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what the rule is about
  return path.isWellFormed() && /[^\u0020-\u007d]|\\/u.test(path);
}

function externalAttributes(entry: ArchiveEntry): number {
  const type = { file: TYPE_FILE, directory: TYPE_DIRECTORY, symlink: TYPE_SYMLINK }[entry.kind];
  const dos = (entry.kind === "directory" ? DOS_DIRECTORY : 0) | ((entry.mode & 0o200) === 0 ? DOS_READ_ONLY : 0);
  return (((type | (entry.mode & 0o7777)) << 16) | dos) >>> 0;
}

function extraFields(entry: ArchiveEntry, order: ExtraOrder): Buffer {
  const time = Buffer.alloc(9);
  time.writeUInt16LE(EXTRA_TIMESTAMP, 0);
  time.writeUInt16LE(5, 2);
  time.writeUInt8(1, 4);
  time.writeUInt32LE(Math.floor(entry.mtimeMs / 1000) >>> 0, 5);

  const owner = Buffer.alloc(15);
  owner.writeUInt16LE(EXTRA_OWNER, 0);
  owner.writeUInt16LE(11, 2);
  owner.writeUInt8(1, 4);
  owner.writeUInt8(4, 5);
  owner.writeUInt32LE(entry.uid, 6);
  owner.writeUInt8(4, 10);
  owner.writeUInt32LE(entry.gid, 11);

  return Buffer.concat(order === "owner-first" ? [owner, time] : [time, owner]);
}
