import type { ArchivedEntry } from "../archived-entry.ts";
import { CacheArchiveError } from "../errors.ts";
import { pathFromBytes, printablePath } from "../path-bytes.ts";
import { BLOCK_BYTES } from "./header.ts";
import type { PieceReader } from "./piece-reader.ts";

/** One entry of a tar archive. */
export interface TarEntry extends ArchivedEntry {
  /** Of a symlink; empty otherwise. */
  readonly linkTarget: Buffer;
}

/** All extended headers of an entry together hold a few names; longer ones are an attack. */
const MAX_EXTENDED_BYTES = 1024 * 1024;
/** Longer names do not exist on any system. */
const MAX_VALUE_BYTES = 64 * 1024;
/** Keys of sparse files, whose content stands in the archive without its holes, and often under another name. */
const SPARSE_KEYS = "GNU.sparse.";
/** What of extended headers matters here. */
const USED_KEYS: ReadonlySet<string> = new Set(["path", "linkpath", "size", "mtime", "uid", "gid"]);

/**
 * Reads the header of the next entry: USTAR, with the extended headers of PAX and the long names of GNU tar.
 *
 * @returns undefined at the end of the archive
 * @throws {CacheArchiveError} `malformed`, `truncated`, `checksum`; `unsupported-format`: a hard link or a sparse file
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13
 * @see https://www.gnu.org/software/tar/manual/html_node/Sparse-Formats.html
 */
export async function readTarEntry(reader: PieceReader): Promise<TarEntry | undefined> {
  const given = new Map<string, Buffer>();
  let extendedBytes = 0;
  for (;;) {
    const block = await reader.read(BLOCK_BYTES);
    if (block.every((byte) => byte === 0)) {
      if (given.size > 0) throw malformed("an extended header is followed by the end");
      return undefined;
    }
    checkSum(block);
    const flag = String.fromCharCode(block[156] ?? 0);
    if (flag !== "x" && flag !== "g" && flag !== "L" && flag !== "K") return toEntry(block, flag, given);
    const bytes = octal(block, 124, 12);
    // The headers themselves count, since there could be any number of empty ones.
    extendedBytes += BLOCK_BYTES + bytes;
    if (!(bytes >= 0 && extendedBytes <= MAX_EXTENDED_BYTES)) {
      throw malformed(`the extended headers of an entry have more than ${MAX_EXTENDED_BYTES} bytes`);
    }
    const content = await readExtended(reader, bytes);
    if (flag === "x") for (const [key, value] of records(content)) keep(given, key, value);
    if (flag === "L") keep(given, "path", beforeZero(content));
    if (flag === "K") keep(given, "linkpath", beforeZero(content));
  }
}

/** A copy of what is used, since entries outlive the headers that they came with. */
function keep(given: Map<string, Buffer>, key: string, value: Buffer): void {
  if (key.startsWith(SPARSE_KEYS)) given.set(SPARSE_KEYS, EMPTY);
  if (!USED_KEYS.has(key)) return;
  if (value.length > MAX_VALUE_BYTES) throw malformed(`${key} has ${value.length} bytes`);
  given.set(key, Buffer.from(value));
}

/** Bytes that follow an entry's content until the next header. */
export function paddingBytes(bytes: number): number {
  return (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES;
}

async function readExtended(reader: PieceReader, bytes: number): Promise<Buffer> {
  const content = await reader.read(bytes);
  await reader.read(paddingBytes(bytes));
  return content;
}

function toEntry(block: Buffer, flag: string, given: ReadonlyMap<string, Buffer>): TarEntry {
  const rawName = given.get("path") ?? headerName(block);
  const name = pathFromBytes(rawName);
  const kind = kindOf(flag, name);
  if (given.has(SPARSE_KEYS)) throw unsupported(name, "a sparse file in the format of GNU tar");
  const number = (key: string, at: number, length: number): number => {
    const value = given.get(key);
    return value === undefined ? octal(block, at, length) : decimal(key, value);
  };
  const bytes = number("size", 124, 12);
  if (!Number.isSafeInteger(bytes) || bytes < 0) throw malformed(`"${printablePath(name)}" has ${bytes} bytes`);
  return {
    name,
    kind,
    mode: octal(block, 100, 8) & 0o7777,
    mtimeMs: number("mtime", 136, 12) * 1000,
    owner: { uid: number("uid", 108, 8), gid: number("gid", 116, 8) },
    bytes,
    linkTarget: kind === "symlink" ? (given.get("linkpath") ?? beforeZero(block.subarray(157, 257))) : Buffer.alloc(0),
  };
}

function kindOf(flag: string, name: string): ArchivedEntry["kind"] {
  switch (flag) {
    case "0":
    case "7":
    case "\0":
      // Before USTAR, a slash at the end was how a folder was marked.
      return name.endsWith("/") ? "directory" : "file";
    case "2":
      return "symlink";
    case "5":
      return "directory";
    case "1":
      throw unsupported(name, "a hard link");
    case "3":
    case "4":
    case "6":
      return "other";
    default:
      throw malformed(`"${printablePath(name)}" is of the unknown type "${printablePath(flag)}"`);
  }
}

function headerName(block: Buffer): Buffer {
  const name = beforeZero(block.subarray(0, 100));
  const isUstar = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isUstar ? beforeZero(block.subarray(345, 500)) : Buffer.alloc(0);
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from("/"), name]);
}

/** What stands before the first zero byte. */
export function beforeZero(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end === -1 ? bytes : bytes.subarray(0, end);
}

/** Octal text, or GNU's binary form for large numbers, marked by the first bit. */
function octal(block: Buffer, at: number, length: number): number {
  if (((block[at] ?? 0) & 0x80) !== 0) {
    const value = BigInt.asIntN(length * 8 - 1, BigInt(`0x${block.toString("hex", at, at + length)}`));
    return Number(value);
  }
  const text = block
    .toString("latin1", at, at + length)
    .replaceAll("\0", " ")
    .trim();
  if (text === "") return 0;
  if (!/^[0-7]+$/.test(text)) throw malformed(`"${printablePath(text)}" is not an octal number`);
  return Number.parseInt(text, 8);
}

function decimal(key: string, value: Buffer): number {
  const text = value.toString("latin1");
  if (!/^-?\d+(?:\.\d+)?$/.test(text)) throw malformed(`${key} "${printablePath(text)}" is not a number`);
  return Number(text);
}

/** The records of an extended header. @throws {CacheArchiveError} `malformed` */
export function* records(content: Buffer): Generator<[key: string, value: Buffer]> {
  for (let at = 0; at < content.length;) {
    const space = content.indexOf(0x20, at);
    const length = Number(content.toString("latin1", at, space));
    const end = at + length;
    const equals = content.indexOf(0x3d, space);
    if (space === -1 || !(length > 0) || end > content.length || equals === -1 || equals >= end) {
      throw malformed("an extended header is damaged");
    }
    yield [content.toString("utf8", space + 1, equals), content.subarray(equals + 1, end - 1)];
    at = end;
  }
}

function checkSum(block: Buffer): void {
  const stated = octal(block, 148, 8);
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  if (stated !== sum) {
    throw new CacheArchiveError({
      code: "checksum",
      message: `a tar header is damaged: its sum is ${sum}, not ${stated}`,
    });
  }
}

function unsupported(name: string, what: string): CacheArchiveError {
  const entryName = printablePath(name);
  const message = `"${entryName}" is ${what}, which this package neither writes nor restores`;
  return new CacheArchiveError({ code: "unsupported-format", message, entryName });
}

const EMPTY = Buffer.alloc(0);

function malformed(what: string): CacheArchiveError {
  return new CacheArchiveError({ code: "malformed", message: `the tar archive is damaged: ${what}` });
}
