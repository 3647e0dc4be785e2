import { pathToBytes } from "../path-bytes.ts";

/*
 * POSIX tar headers.
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13
 */

export const BLOCK_BYTES = 512;

type TarType = "file" | "directory" | "symlink" | "extended";

/** What a header holds. */
export interface TarHeader {
  readonly name: Buffer;
  readonly type: TarType;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly bytes: number;
  /** Whole seconds. */
  readonly mtime: number;
  readonly linkTarget: Buffer;
}

/** The characters `0`, `2`, `5` and `x`. */
const TYPE_FLAGS: Readonly<Record<TarType, number>> = { file: 0x30, symlink: 0x32, directory: 0x35, extended: 0x78 };
const USTAR = Buffer.from("ustar\x0000", "latin1");

/** Octal digits that fit before the terminator. */
export const MAX_OCTAL_7 = 0o7777777;
export const MAX_OCTAL_11 = 0o77777777777;

/**
 * The header of an entry: a USTAR block, and before it an extended header when a value does not fit into one, or when a
 * name is not ASCII.
 */
export function encodeHeader(header: TarHeader): Buffer {
  const records = extendedRecords(header);
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  putBlock(block, header, splitName(header.name) ?? { prefix: EMPTY, name: header.name.subarray(0, 100) });
  return records.length === 0 ? block : Buffer.concat([encodeExtended(records, header), block]);
}

/**
 * Writes the header into a block that is there already: tens of thousands of short-lived ones cost more than what is in them.
 *
 * @returns false when one block is not enough, as {@link encodeHeader} then shows
 */
export function putHeader(block: Buffer, header: TarHeader): boolean {
  const name = splitName(header.name);
  if (name === undefined || !fitsOneBlock(header)) return false;
  putBlock(block, header, name);
  return true;
}

/** Whether nothing but perhaps the length of the name asks for {@link extendedRecords}, which takes longer to find out. */
function fitsOneBlock({ name, linkTarget, uid, gid, bytes, mtime }: TarHeader): boolean {
  const isPlain =
    uid <= MAX_OCTAL_7 && gid <= MAX_OCTAL_7 && bytes <= MAX_OCTAL_11 && mtime >= 0 && mtime <= MAX_OCTAL_11;
  return isPlain && linkTarget.length <= 100 && isAscii(name) && isAscii(linkTarget);
}

function extendedRecords(header: TarHeader): [key: string, value: Buffer][] {
  const records: [key: string, value: Buffer][] = [];
  if (splitName(header.name) === undefined || !isAscii(header.name)) records.push(["path", header.name]);
  if (header.linkTarget.length > 100 || !isAscii(header.linkTarget)) records.push(["linkpath", header.linkTarget]);
  for (const key of ["uid", "gid"] as const) {
    if (header[key] > MAX_OCTAL_7) records.push([key, Buffer.from(`${header[key]}`)]);
  }
  if (header.bytes > MAX_OCTAL_11) records.push(["size", Buffer.from(`${header.bytes}`)]);
  if (header.mtime < 0 || header.mtime > MAX_OCTAL_11) records.push(["mtime", Buffer.from(`${header.mtime}`)]);
  return records;
}

/** Zeros that fill the last block of a content of this length. */
export function padding(bytes: number): Buffer {
  return Buffer.alloc(paddingLength(bytes));
}

export function paddingLength(bytes: number): number {
  return (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES;
}

const EMPTY = Buffer.alloc(0);

function encodeExtended(records: readonly (readonly [string, Buffer])[], header: TarHeader): Buffer {
  const content = Buffer.concat(records.map(([key, value]) => encodeRecord(key, value)));
  const base = header.name.subarray(header.name.lastIndexOf(0x2f, -2) + 1);
  const name = Buffer.concat([Buffer.from("PaxHeaders.0/"), base]).subarray(0, 100);
  const facts = {
    ...header,
    type: "extended" as const,
    mode: 0o644,
    bytes: content.length,
    mtime: 0,
    linkTarget: EMPTY,
  };
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  putBlock(block, facts, { prefix: EMPTY, name });
  return Buffer.concat([block, content, padding(content.length)]);
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function encodeRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length;
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
  return Buffer.concat([Buffer.from(`${length}`), rest]);
}

function putBlock(block: Buffer, header: TarHeader, { prefix, name }: SplitName): void {
  block.fill(0);
  block.set(name, 0);
  octal(block, 100, 7, header.mode & 0o7777);
  octal(block, 108, 7, header.uid > MAX_OCTAL_7 ? 0 : header.uid);
  octal(block, 116, 7, header.gid > MAX_OCTAL_7 ? 0 : header.gid);
  octal(block, 124, 11, header.bytes > MAX_OCTAL_11 ? 0 : header.bytes);
  octal(block, 136, 11, Math.min(Math.max(header.mtime, 0), MAX_OCTAL_11));
  for (let at = 148; at < 156; at += 1) block[at] = SPACE;
  block[156] = TYPE_FLAGS[header.type];
  header.linkTarget.copy(block, 157, 0, 100);
  block.set(USTAR, 257);
  octal(block, 329, 7, 0);
  octal(block, 337, 7, 0);
  block.set(prefix, 345);
  // Of all bytes, but most are zero.
  const sum =
    sumOf(block, 0, name.length) +
    sumOf(block, 100, 157 + Math.min(header.linkTarget.length, 100)) +
    sumOf(block, 257, 265) +
    sumOf(block, 329, 345 + prefix.length);
  octal(block, 148, 6, sum);
  block[154] = 0;
}

function octal(block: Buffer, at: number, digits: number, value: number): void {
  let left = value;
  for (let place = at + digits - 1; place >= at; place -= 1) {
    block[place] = ZERO + (left % 8);
    left = Math.floor(left / 8);
  }
}

export const ZERO = 0x30;
const SPACE = 0x20;

function sumOf(block: Buffer, from: number, to: number): number {
  let sum = 0;
  for (let at = from; at < to; at += 1) sum += block[at] ?? 0;
  return sum;
}

interface SplitName {
  readonly prefix: Buffer;
  readonly name: Buffer;
}

/** Name in up to 100 bytes, or cut at a slash with up to 155 bytes before it; undefined when neither fits. */
function splitName(name: Buffer): SplitName | undefined {
  if (name.length <= 100) return { prefix: EMPTY, name };
  for (let slash = name.indexOf(0x2f); slash !== -1 && slash <= 155; slash = name.indexOf(0x2f, slash + 1)) {
    const rest = name.subarray(slash + 1);
    if (slash > 0 && rest.length > 0 && rest.length <= 100) return { prefix: name.subarray(0, slash), name: rest };
  }
  return undefined;
}

function isAscii(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += 1) if ((bytes[at] ?? 0) >= 0x80) return false;
  return true;
}

/** Bytes of a path as tar has it: folders end in a slash, the root is `./`. */
export function tarName(path: string, isDirectory: boolean): Buffer {
  return pathToBytes(isDirectory ? `${path}/` : path);
}
