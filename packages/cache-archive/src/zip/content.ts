import { DeflateError } from "@fleetfoot/deflate";
import { CacheArchiveError, errnoOf } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import { FLAG_DESCRIPTOR, LOCAL_HEADER_LENGTH, LOCAL_HEADER_SIGNATURE, MAX_32 } from "./constants.ts";
import type { ZipEntry } from "./directory.ts";
import { ExtraFacts } from "./extra.ts";

/** Entries up to this length, packed and unpacked, are read with one call and held in memory. */
export const WHOLE_ENTRY_BYTES: number = 1024 * 1024;

/** What the central directory says of an entry's content. */
export type ZipContent = Pick<
  ZipEntry,
  "name" | "rawName" | "flags" | "method" | "crc" | "compressedBytes" | "bytes" | "offset"
>;

/** @throws {CacheArchiveError} `malformed`: the entry is a link whose target no system would take */
export function checkLinkTarget({
  name,
  bytes,
  compressedBytes,
}: Pick<ZipContent, "name" | "bytes" | "compressedBytes">): void {
  if (bytes <= MAX_LINK_BYTES && compressedBytes <= MAX_LINK_BYTES && bytes > 0) return;
  const entryName = printablePath(name);
  const message = `entry "${entryName}" is a link, but its target has ${bytes} bytes`;
  throw new CacheArchiveError({ code: "malformed", message, entryName });
}

/** Longer link targets do not exist on any system. */
const MAX_LINK_BYTES = 64 * 1024;

/**
 * Length of the local header with name and extra fields.
 *
 * The central directory decides, but a local header that says otherwise means that another reader would see another
 * archive.
 *
 * @param start - from the local header on, at least to the end of its extra fields if it is to be compared in full
 */
export function checkLocalHeader(start: Buffer, entry: ZipContent): number {
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
    const sizes = new ExtraFacts();
    sizes.begin(start.readUInt32LE(22), start.readUInt32LE(18), 0);
    if (sizes.bytes === MAX_32 || sizes.compressedBytes === MAX_32) {
      const header = new DataView(start.buffer, start.byteOffset, start.length);
      sizes.read(header, LOCAL_HEADER_LENGTH, nameEnd, Math.min(headerEnd, start.length));
    }
    const agrees = sizes.bytes === entry.bytes && sizes.compressedBytes === entry.compressedBytes;
    if (!agrees || start.readUInt32LE(14) !== entry.crc)
      throw mismatch(entry, "its local header has other sizes or another CRC");
  }
  return headerEnd;
}

/** Whether a local header leaves sizes and CRC to a descriptor, as almost all do, so that only method and name have to agree. */
export function isStreamedHeader(bytes: Buffer, at: number, method: number): boolean {
  return (
    bytes.readUInt32LE(at) === LOCAL_HEADER_SIGNATURE &&
    (bytes.readUInt16LE(at + 6) & FLAG_DESCRIPTOR) !== 0 &&
    bytes.readUInt16LE(at + 8) === method
  );
}

export function checkContent(entry: ZipContent, bytes: number, crc: number): void {
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

export function damage(error: unknown, entry: ZipContent): unknown {
  const errno = DeflateError.isInstance(error) ? error.code : errnoOf(error);
  if (CacheArchiveError.isInstance(error) || errno === undefined) return error;
  const entryName = printablePath(entry.name);
  if (errno === "ERR_BUFFER_TOO_LARGE" || errno === "too-long") {
    const message = `entry "${entryName}" should have ${entry.bytes} bytes but has more`;
    return new CacheArchiveError({ code: "size-mismatch", message, entryName, cause: error });
  }
  if (errno === "Z_BUF_ERROR" || errno === "truncated") {
    const message = `entry "${entryName}" ends too early`;
    return new CacheArchiveError({ code: "truncated", message, entryName, cause: error });
  }
  const isData = DeflateError.isInstance(error) || errno.startsWith("Z_") || errno.startsWith("ZSTD_");
  if (!isData) return error;
  const message = `entry "${entryName}" cannot be unpacked (${errno})`;
  return new CacheArchiveError({ code: "malformed", message, entryName, cause: error });
}

function mismatch(entry: ZipContent, what: string): CacheArchiveError {
  const entryName = printablePath(entry.name);
  return new CacheArchiveError({ code: "header-mismatch", message: `entry "${entryName}": ${what}`, entryName });
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}
