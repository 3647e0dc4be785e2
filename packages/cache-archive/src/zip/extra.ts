import { CacheArchiveError } from "../errors.ts";
import { pathFromBytes, printablePath } from "../path-bytes.ts";
import { EXTRA_BLOCKS, EXTRA_OWNER, EXTRA_TIMESTAMP, EXTRA_ZIP64, MAX_32 } from "./constants.ts";

/**
 * What a header and its extra fields say. One is used for all entries of an archive: tens of thousands of short-lived objects cost more than what is
 * read into them.
 */
export class ExtraFacts {
  /** Undefined when there is no such field. */
  mtimeMs: number | undefined;
  /** Less than nothing when there is no such field. */
  uid: number = -1;
  gid: number = -1;
  bytes: number = 0;
  compressedBytes: number = 0;
  offset: number = 0;
  /** Where the content of our own field about blocks is, which is not yet checked; 0 when there is none. */
  blocksStart: number = 0;
  blocksEnd: number = 0;

  /** Forgets what was read. @param bytes - like the others the 32-bit value; those that are all ones are replaced by what the zip64 field says */
  begin(bytes: number, compressedBytes: number, offset: number): void {
    this.mtimeMs = undefined;
    this.uid = -1;
    this.gid = -1;
    this.bytes = bytes;
    this.compressedBytes = compressedBytes;
    this.offset = offset;
    this.blocksStart = 0;
    this.blocksEnd = 0;
  }

  /**
   * Reads the extra fields that matter; others are passed over.
   *
   * @param header - what the name and, right behind it, the extra fields are in
   * @throws {CacheArchiveError} `malformed`
   * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT 4.5, and Info-ZIP's extrafld.txt for 0x5455 and 0x7875
   */
  read(header: DataView, nameStart: number, nameEnd: number, extraEnd: number): void {
    for (let at = nameEnd; at + 4 <= extraEnd;) {
      const id = header.getUint16(at, true);
      const start = at + 4;
      const end = start + header.getUint16(at + 2, true);
      const fault = end > extraEnd ? "an extra field goes beyond its header" : this.#readField(header, id, start, end);
      if (fault !== undefined) throw malformed(fault, header, nameStart, nameEnd);
      at = end;
    }
  }

  /** @returns what is wrong with it */
  #readField(header: DataView, id: number, start: number, end: number): string | undefined {
    if (id === EXTRA_ZIP64) return this.#readZip64(header, start, end);
    if (id === EXTRA_OWNER) return this.#readOwner(header, start, end);
    if (id === EXTRA_BLOCKS) {
      this.blocksStart = start;
      this.blocksEnd = end;
    } else if (id === EXTRA_TIMESTAMP && end - start >= 5 && (header.getUint8(start) & 1) === 1) {
      this.mtimeMs = header.getUint32(start + 1, true) * 1000;
    }
    return undefined;
  }

  /** Only what did not fit is there by the standard; writers that always put all three in keep the same order. */
  #readZip64(header: DataView, start: number, end: number): string | undefined {
    let at = start;
    for (const size of ["bytes", "compressedBytes", "offset"] as const) {
      if (this[size] !== MAX_32) continue;
      if (at + 8 > end) return "its zip64 field is too short";
      const wide = header.getBigUint64(at, true);
      at += 8;
      if (wide > BigInt(Number.MAX_SAFE_INTEGER)) return `its zip64 field says ${wide}`;
      this[size] = Number(wide);
    }
    return undefined;
  }

  #readOwner(header: DataView, start: number, end: number): string | undefined {
    const uidLength = start + 1 < end ? header.getUint8(start + 1) : 0;
    const gidStart = start + 2 + uidLength;
    const gidLength = gidStart < end ? header.getUint8(gidStart) : 0;
    const fits = gidStart + 1 + gidLength <= end && header.getUint8(start) === 1;
    if (!fits || !isKnownLength(uidLength) || !isKnownLength(gidLength)) return "its owner field is damaged";
    this.uid = readNumber(header, start + 2, uidLength);
    this.gid = readNumber(header, gidStart + 1, gidLength);
    return undefined;
  }
}

function isKnownLength(length: number): boolean {
  return length >= 1 && length <= 8;
}

/** Owners beyond 48 bits do not exist; their upper bytes are dropped. */
function readNumber(header: DataView, at: number, length: number): number {
  if (length === 4) return header.getUint32(at, true);
  let value = 0;
  for (let byte = Math.min(length, 6) - 1; byte >= 0; byte -= 1) value = value * 256 + header.getUint8(at + byte);
  return value;
}

function malformed(what: string, header: DataView, nameStart: number, nameEnd: number): CacheArchiveError {
  const name = new Uint8Array(header.buffer, header.byteOffset + nameStart, nameEnd - nameStart);
  const entryName = printablePath(pathFromBytes(name));
  return new CacheArchiveError({ code: "malformed", message: `entry "${entryName}": ${what}`, entryName });
}
