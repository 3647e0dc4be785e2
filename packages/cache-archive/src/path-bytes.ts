/*
 * File names are bytes, and not all of them are UTF-8. Paths are strings all the same, since callers print, compare and
 * join them: each byte that is not part of valid UTF-8 is held as one lone surrogate, U+DC00 plus the byte. Valid UTF-8
 * never decodes to a lone surrogate, so the way back is exact. (PEP 383 does the same in Python.)
 */

const ESCAPE_BASE = 0xdc00;
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The path that stands for these bytes.
 *
 * @see https://peps.python.org/pep-0383/
 */
export function pathFromBytes(bytes: Uint8Array): string {
  // Most names are ASCII, for which this takes a fraction of the time.
  const latin = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  if (!/[\u0080-\u00ff]/.test(latin)) return latin;
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return decodeWithEscapes(bytes);
  }
}

/** The same for a part of a longer buffer, which need not be cut out of it. */
export function pathFromPart(bytes: Buffer, start: number, end: number): string {
  const latin = bytes.toString("latin1", start, end);
  return /[\u0080-\u00ff]/.test(latin) ? pathFromBytes(bytes.subarray(start, end)) : latin;
}

/** The bytes that a path stands for; the inverse of {@link pathFromBytes}. */
export function pathToBytes(path: string): Buffer {
  if (path.isWellFormed()) return Buffer.from(path, "utf8");
  const parts: Buffer[] = [];
  let plain = "";
  for (const character of path) {
    const code = character.codePointAt(0) ?? 0;
    if (code < ESCAPE_BASE + 0x80 || code > ESCAPE_BASE + 0xff) {
      plain += character;
      continue;
    }
    parts.push(Buffer.from(plain, "utf8"), Buffer.of(code - ESCAPE_BASE));
    plain = "";
  }
  parts.push(Buffer.from(plain, "utf8"));
  return Buffer.concat(parts);
}

/** Whether a path is the root itself, or a slash path whose segments are neither empty, nor `.`, nor `..`. */
export function isCleanPath(path: string): boolean {
  return path === "." || (!path.includes("\0") && !/(?:^|\/)\.{0,2}(?:\/|$)/.test(path));
}

/** A path as people read it: bytes that are not UTF-8 and control characters become `\xNN`. */
export function printablePath(path: string): string {
  if (path.isWellFormed() && !/\p{Cc}/u.test(path)) return path;
  return Array.from(path, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code >= ESCAPE_BASE + 0x80 && code <= ESCAPE_BASE + 0xff) return hex(code - ESCAPE_BASE);
    return /\p{Cc}/u.test(character) ? hex(code) : character;
  }).join("");
}

/** What `node:fs` takes for a path: the string itself, or bytes when the string holds escapes. */
export function toFileSystemPath(path: string): string | Buffer {
  return path.isWellFormed() ? path : pathToBytes(path);
}

/** Compares the bytes of two paths. @returns below 0, 0 or above 0 */
export function comparePathBytes(a: string, b: string): number {
  if (hasOtherOrder(a) || hasOtherOrder(b)) return Buffer.compare(pathToBytes(a), pathToBytes(b));
  return compareStrings(a, b);
}

/** Whether text has characters by which the order of JavaScript strings is another one than that of their bytes. */
export function hasOtherOrder(text: string): boolean {
  return /[\ud800-\uffff]/.test(text);
}

/** Sorts by the bytes of the paths, which is not the order of JavaScript strings above U+D7FF. */
export function sortByPathBytes<T>(items: readonly T[], pathOf: (item: T) => string): T[] {
  if (!items.some((item) => hasOtherOrder(pathOf(item)))) {
    if (isAscending(items, pathOf)) return [...items];
    return [...items].sort((a, b) => compareStrings(pathOf(a), pathOf(b)));
  }
  return items
    .map((item) => ({ item, bytes: pathToBytes(pathOf(item)) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ item }) => item);
}

/** What was walked is in order already, and a sort would call back for each of tens of thousands. */
function isAscending<T>(items: readonly T[], pathOf: (item: T) => string): boolean {
  let before = "";
  for (const item of items) {
    const path = pathOf(item);
    if (path < before) return false;
    before = path;
  }
  return true;
}

function compareStrings(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function hex(code: number): string {
  return `\\x${code.toString(16).padStart(2, "0")}`;
}

function decodeWithEscapes(bytes: Uint8Array): string {
  let text = "";
  let at = 0;
  while (at < bytes.length) {
    const length = validSequenceLength(bytes, at);
    if (length === 0) {
      text += String.fromCharCode(ESCAPE_BASE + (bytes[at] ?? 0));
      at += 1;
    } else {
      text += strictDecoder.decode(bytes.subarray(at, at + length));
      at += length;
    }
  }
  return text;
}

/** Length of the valid UTF-8 sequence at this place, 0 when there is none. */
function validSequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  let length = 0;
  if (first >= 0xc2 && first <= 0xdf) length = 2;
  else if (first >= 0xe0 && first <= 0xef) length = 3;
  else if (first >= 0xf0 && first <= 0xf4) length = 4;
  if (length === 0 || at + length > bytes.length) return 0;
  try {
    strictDecoder.decode(bytes.subarray(at, at + length));
    return length;
  } catch {
    return 0;
  }
}
