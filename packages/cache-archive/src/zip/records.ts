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
  const record = Buffer.allocUnsafe(localHeaderLength(header));
  putLocalHeader(record, 0, header, data);
  return record;
}

export function localHeaderLength({ name, extra }: EntryHeader): number {
  return LOCAL_HEADER_LENGTH + name.length + extra.length;
}

/**
 * Writes {@link localHeader} at a place of `target`: tens of thousands of short-lived buffers cost more than what is in them.
 *
 * @returns where it ends
 */
export function putLocalHeader(target: Buffer, at: number, header: EntryHeader, data: EntryData = UNKNOWN): number {
  const { name, extra } = header;
  target.writeUInt32LE(LOCAL_HEADER_SIGNATURE, at);
  target.writeUInt16LE(VERSION_20, at + 4);
  target.writeUInt16LE(header.flags, at + 6);
  target.writeUInt16LE(header.method, at + 8);
  target.writeUInt16LE(header.time, at + 10);
  target.writeUInt16LE(header.date, at + 12);
  target.writeUInt32LE(data.crc, at + 14);
  target.writeUInt32LE(data.compressedBytes, at + 18);
  target.writeUInt32LE(data.bytes, at + 22);
  target.writeUInt16LE(name.length, at + 26);
  target.writeUInt16LE(extra.length, at + 28);
  target.set(name, at + LOCAL_HEADER_LENGTH);
  target.set(extra, at + LOCAL_HEADER_LENGTH + name.length);
  return at + LOCAL_HEADER_LENGTH + name.length + extra.length;
}

const UNKNOWN: EntryData = { crc: 0, compressedBytes: 0, bytes: 0 };

/** Follows the data of a regular file; longer when a size needs more than 32 bits. */
export function dataDescriptor(data: EntryData): Buffer {
  const record = Buffer.allocUnsafe(isWide(data) ? 24 : SHORT_DESCRIPTOR_BYTES);
  if (!isWide(data)) {
    putShortDescriptor(record, 0, data);
    return record;
  }
  record.writeUInt32LE(DESCRIPTOR_SIGNATURE, 0);
  record.writeUInt32LE(data.crc, 4);
  record.writeBigUInt64LE(BigInt(data.compressedBytes), 8);
  record.writeBigUInt64LE(BigInt(data.bytes), 16);
  return record;
}

/** Length of the descriptor of a file whose sizes need no more than 32 bits. */
export const SHORT_DESCRIPTOR_BYTES: number = 16;

/** Writes the descriptor of such a file at a place of `target`. @returns where it ends */
export function putShortDescriptor(target: Buffer, at: number, data: EntryData): number {
  target.writeUInt32LE(DESCRIPTOR_SIGNATURE, at);
  target.writeUInt32LE(data.crc, at + 4);
  target.writeUInt32LE(data.compressedBytes, at + 8);
  target.writeUInt32LE(data.bytes, at + 12);
  return at + SHORT_DESCRIPTOR_BYTES;
}

/** @param offset - of the local header, from the start of the archive */
export function centralHeader(header: EntryHeader, data: EntryData, offset: number): Buffer {
  const record = Buffer.allocUnsafe(centralHeaderLength(header, data, offset));
  putCentralHeader(record, 0, header, data, offset);
  return record;
}

export function centralHeaderLength({ name, extra }: EntryHeader, data: EntryData, offset: number): number {
  const zip64Bytes = needsZip64(data, offset) ? ZIP64_EXTRA_BYTES : 0;
  return CENTRAL_HEADER_LENGTH + name.length + extra.length + zip64Bytes;
}

/** Writes {@link centralHeader} at a place of `target`. @returns where it ends */
export function putCentralHeader(
  target: Buffer,
  at: number,
  header: EntryHeader,
  data: EntryData,
  offset: number,
): number {
  const { name } = header;
  const zip64 = needsZip64(data, offset);
  const extra = zip64 ? Buffer.concat([header.extra, zip64Extra(data, offset)]) : header.extra;
  target.writeUInt32LE(CENTRAL_HEADER_SIGNATURE, at);
  target.writeUInt16LE(MADE_BY_UNIX_20, at + 4);
  target.writeUInt16LE(isWide(data) ? VERSION_ZIP64 : VERSION_20, at + 6);
  target.writeUInt16LE(header.flags, at + 8);
  target.writeUInt16LE(header.method, at + 10);
  target.writeUInt16LE(header.time, at + 12);
  target.writeUInt16LE(header.date, at + 14);
  target.writeUInt32LE(data.crc, at + 16);
  target.writeUInt32LE(zip64 ? MAX_32 : data.compressedBytes, at + 20);
  target.writeUInt32LE(zip64 ? MAX_32 : data.bytes, at + 24);
  target.writeUInt16LE(name.length, at + 28);
  target.writeUInt16LE(extra.length, at + 30);
  // No comment, no other disk, no internal attributes.
  target.fill(0, at + 32, at + 38);
  target.writeUInt32LE(header.externalAttributes, at + 38);
  target.writeUInt32LE(Math.min(offset, MAX_32), at + 42);
  target.set(name, at + CENTRAL_HEADER_LENGTH);
  target.set(extra, at + CENTRAL_HEADER_LENGTH + name.length);
  return at + CENTRAL_HEADER_LENGTH + name.length + extra.length;
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

function needsZip64(data: EntryData, offset: number): boolean {
  return isWide(data) || offset >= MAX_32;
}

const ZIP64_EXTRA_BYTES = 28;

/** Always all three values, as the reference writes them. */
function zip64Extra(data: EntryData, offset: number): Buffer {
  const field = Buffer.alloc(ZIP64_EXTRA_BYTES);
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
  const extra = Buffer.allocUnsafe(TIME_BYTES + OWNER_BYTES);
  putTime(extra, order === "owner-first" ? OWNER_BYTES : 0, entry);
  putOwner(extra, order === "owner-first" ? 0 : TIME_BYTES, entry);
  return extra;
}

const TIME_BYTES = 9;
const OWNER_BYTES = 15;

function putTime(extra: Buffer, at: number, { mtimeMs }: ArchiveEntry): void {
  extra.writeUInt16LE(EXTRA_TIMESTAMP, at);
  extra.writeUInt16LE(TIME_BYTES - 4, at + 2);
  extra.writeUInt8(1, at + 4);
  extra.writeUInt32LE(Math.floor(mtimeMs / 1000) >>> 0, at + 5);
}

function putOwner(extra: Buffer, at: number, { uid, gid }: ArchiveEntry): void {
  extra.writeUInt16LE(EXTRA_OWNER, at);
  extra.writeUInt16LE(OWNER_BYTES - 4, at + 2);
  extra.writeUInt8(1, at + 4);
  extra.writeUInt8(4, at + 5);
  extra.writeUInt32LE(uid, at + 6);
  extra.writeUInt8(4, at + 10);
  extra.writeUInt32LE(gid, at + 11);
}
