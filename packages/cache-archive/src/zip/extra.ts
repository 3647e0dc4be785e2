import { CacheArchiveError } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import { EXTRA_BLOCKS, EXTRA_OWNER, EXTRA_TIMESTAMP, EXTRA_ZIP64, MAX_32 } from "./constants.ts";

/** What the extra fields of a central header say. */
export interface ExtraFacts {
  readonly mtimeMs: number | undefined;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly sizes: Sizes;
  /** Content of our own field about blocks, not yet checked. */
  readonly blocks: Buffer | undefined;
}

export interface Sizes {
  readonly bytes: number;
  readonly compressedBytes: number;
  readonly offset: number;
}

/**
 * Reads the extra fields that matter; others are passed over.
 *
 * @param sizes - the 32-bit values; those that are all ones are replaced by what the zip64 field says
 * @throws {CacheArchiveError} `malformed`
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT 4.5, and Info-ZIP's extrafld.txt for 0x5455 and 0x7875
 */
export function readExtra(extra: Buffer, sizes: Sizes, entryName: string): ExtraFacts {
  let mtimeMs: number | undefined;
  let owner: ExtraFacts["owner"];
  let wide = sizes;
  let blocks: Buffer | undefined;
  for (let at = 0; at + 4 <= extra.length;) {
    const id = extra.readUInt16LE(at);
    const end = at + 4 + extra.readUInt16LE(at + 2);
    if (end > extra.length) throw malformed("an extra field goes beyond its header", entryName);
    const data = extra.subarray(at + 4, end);
    at = end;
    if (id === EXTRA_ZIP64) wide = readZip64(data, sizes, entryName);
    else if (id === EXTRA_OWNER) owner = readOwner(data, entryName);
    else if (id === EXTRA_BLOCKS) blocks = data;
    else if (id === EXTRA_TIMESTAMP && data.length >= 5 && ((data[0] ?? 0) & 1) === 1) {
      mtimeMs = data.readUInt32LE(1) * 1000;
    }
  }
  return { mtimeMs, owner, sizes: wide, blocks };
}

function readZip64(data: Buffer, sizes: Sizes, entryName: string): Sizes {
  let at = 0;
  // Only what did not fit is there by the standard; writers that always put all three in keep the same order.
  const next = (value: number): number => {
    if (value !== MAX_32) return value;
    if (at + 8 > data.length) throw malformed("its zip64 field is too short", entryName);
    const wide = data.readBigUInt64LE(at);
    at += 8;
    if (wide > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(`its zip64 field says ${wide}`, entryName);
    return Number(wide);
  };
  const bytes = next(sizes.bytes);
  const compressedBytes = next(sizes.compressedBytes);
  return { bytes, compressedBytes, offset: next(sizes.offset) };
}

function readOwner(data: Buffer, entryName: string): { uid: number; gid: number } {
  const uidLength = data[1] ?? 0;
  const gidLength = data[2 + uidLength] ?? 0;
  const fits = data.length >= 3 + uidLength + gidLength && data[0] === 1;
  const known = (length: number): boolean => length >= 1 && length <= 8;
  if (!fits || !known(uidLength) || !known(gidLength)) throw malformed("its owner field is damaged", entryName);
  return { uid: readNumber(data, 2, uidLength), gid: readNumber(data, 3 + uidLength, gidLength) };
}

/** Owners beyond 48 bits do not exist; their upper bytes are dropped. */
function readNumber(data: Buffer, at: number, length: number): number {
  return data.readUIntLE(at, Math.min(length, 6));
}

function malformed(what: string, name: string): CacheArchiveError {
  const entryName = printablePath(name);
  return new CacheArchiveError({ code: "malformed", message: `entry "${entryName}": ${what}`, entryName });
}
