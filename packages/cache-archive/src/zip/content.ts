import { pipeline } from "node:stream/promises";
import { crc32 } from "node:zlib";
import { CacheArchiveError, errnoOf } from "../errors.ts";
import type { InputFile } from "../input-file.ts";
import { printablePath } from "../path-bytes.ts";
import { decompress, decompressStream } from "./codec.ts";
import { FLAG_DESCRIPTOR, LOCAL_HEADER_LENGTH, LOCAL_HEADER_SIGNATURE, MAX_32 } from "./constants.ts";
import type { ZipEntry } from "./directory.ts";
import { readExtra } from "./extra.ts";

/** Entries up to this length, packed and unpacked, are read with one call and held in memory. */
export const WHOLE_ENTRY_BYTES: number = 1024 * 1024;

/** Local extra fields are often a little longer than central ones. */
const LOCAL_EXTRA_SLACK = 64;

/**
 * The checked content of an entry that is at most {@link WHOLE_ENTRY_BYTES} long.
 *
 * @throws {CacheArchiveError} `header-mismatch`, `size-mismatch`, `checksum`, `truncated`, `malformed`; each names the entry
 */
export async function readContent(file: InputFile, entry: ZipEntry): Promise<Buffer> {
  const guess = LOCAL_HEADER_LENGTH + entry.rawName.length + entry.compressedBytes + LOCAL_EXTRA_SLACK;
  const start = await file.read(entry.offset, Math.min(guess, file.size - entry.offset));
  const headerLength = checkLocalHeader(start, entry);
  const end = headerLength + entry.compressedBytes;
  const packed =
    end <= start.length
      ? start.subarray(headerLength, end)
      : await file.read(entry.offset + headerLength, entry.compressedBytes);
  const content = await unpack(packed, entry);
  checkContent(entry, content.length, crc32(content));
  return content;
}

/** Passes an entry of any length to `write` in pieces, and rejects at the end when they were not what they should be. */
export async function streamContent(
  file: InputFile,
  entry: ZipEntry,
  write: (piece: Buffer) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const start = await file.read(
    entry.offset,
    Math.min(LOCAL_HEADER_LENGTH + entry.rawName.length + MAX_LOCAL_EXTRA, file.size - entry.offset),
  );
  const headerLength = checkLocalHeader(start, entry);
  let crc = 0;
  let bytes = 0;
  const take = async (pieces: AsyncIterable<Buffer>): Promise<void> => {
    for await (const piece of pieces) {
      bytes += piece.length;
      if (bytes > entry.bytes) checkContent(entry, bytes, crc);
      crc = crc32(piece, crc);
      await write(piece);
    }
  };
  const source = file.readPieces(entry.offset + headerLength, entry.compressedBytes);
  const transform = decompressStream(entry.method);
  const stop = signal === undefined ? {} : { signal };
  try {
    await (transform === undefined ? pipeline(source, take, stop) : pipeline(source, transform, take, stop));
  } catch (error) {
    throw damage(error, entry);
  }
  checkContent(entry, bytes, crc);
}

const MAX_LOCAL_EXTRA = 0xffff;

async function unpack(packed: Buffer, entry: ZipEntry): Promise<Buffer> {
  try {
    const content = await decompress(entry.method, packed, entry.bytes);
    return content ?? packed;
  } catch (error) {
    throw damage(error, entry);
  }
}

/**
 * The central directory decides, but a local header that says otherwise means that another reader would see another
 * archive.
 *
 * @returns length of the local header with name and extra fields
 */
function checkLocalHeader(start: Buffer, entry: ZipEntry): number {
  if (start.length < LOCAL_HEADER_LENGTH || start.readUInt32LE(0) !== LOCAL_HEADER_SIGNATURE) {
    throw mismatch(entry, "there is no local header at its place");
  }
  const nameEnd = LOCAL_HEADER_LENGTH + start.readUInt16LE(26);
  const headerEnd = nameEnd + start.readUInt16LE(28);
  if (!start.subarray(LOCAL_HEADER_LENGTH, nameEnd).equals(entry.rawName)) {
    throw mismatch(entry, "its local header has another name");
  }
  const method = start.readUInt16LE(8);
  if (method !== entry.method) throw mismatch(entry, `its local header says method ${method}, not ${entry.method}`);
  if ((start.readUInt16LE(6) & FLAG_DESCRIPTOR) === 0) {
    const extra = start.subarray(nameEnd, Math.min(headerEnd, start.length));
    const short = { bytes: start.readUInt32LE(22), compressedBytes: start.readUInt32LE(18), offset: 0 };
    const isWide = short.bytes === MAX_32 || short.compressedBytes === MAX_32;
    const sizes = isWide ? readExtra(extra, short, printablePath(entry.name)).sizes : short;
    const agrees = sizes.bytes === entry.bytes && sizes.compressedBytes === entry.compressedBytes;
    if (!agrees || start.readUInt32LE(14) !== entry.crc)
      throw mismatch(entry, "its local header has other sizes or another CRC");
  }
  return headerEnd;
}

function checkContent(entry: ZipEntry, bytes: number, crc: number): void {
  const entryName = printablePath(entry.name);
  if (bytes !== entry.bytes) {
    const found = bytes > entry.bytes ? "more" : `only ${bytes}`;
    const message = `entry "${entryName}" should have ${entry.bytes} bytes but has ${found}`;
    throw new CacheArchiveError({ code: "size-mismatch", message, entryName });
  }
  if (crc !== entry.crc) {
    const message = `entry "${entryName}" is damaged: its CRC is ${hex(crc)}, not ${hex(entry.crc)}`;
    throw new CacheArchiveError({ code: "checksum", message, entryName });
  }
}

function damage(error: unknown, entry: ZipEntry): unknown {
  const errno = errnoOf(error);
  if (CacheArchiveError.isInstance(error) || errno === undefined) return error;
  const entryName = printablePath(entry.name);
  if (errno === "ERR_BUFFER_TOO_LARGE") {
    const message = `entry "${entryName}" should have ${entry.bytes} bytes but has more`;
    return new CacheArchiveError({ code: "size-mismatch", message, entryName, cause: error });
  }
  if (errno === "Z_BUF_ERROR") {
    const message = `entry "${entryName}" ends too early`;
    return new CacheArchiveError({ code: "truncated", message, entryName, cause: error });
  }
  if (!errno.startsWith("Z_") && !errno.startsWith("ZSTD_")) return error;
  const message = `entry "${entryName}" cannot be unpacked (${errno})`;
  return new CacheArchiveError({ code: "malformed", message, entryName, cause: error });
}

function mismatch(entry: ZipEntry, what: string): CacheArchiveError {
  const entryName = printablePath(entry.name);
  return new CacheArchiveError({ code: "header-mismatch", message: `entry "${entryName}": ${what}`, entryName });
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}
