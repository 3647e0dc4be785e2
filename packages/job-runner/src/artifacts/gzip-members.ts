import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { crc32, createDeflateRaw } from "node:zlib";

import { pathToBytes, printablePath, toFileSystemPath } from "@fleetfoot/cache-archive";
import type { ArchiveEntry } from "@fleetfoot/cache-archive";

import { openPlainFile } from "../plain-files.ts";

export interface GzipMembersOptions {
  /** Must not exist yet. */
  readonly target: string;
  readonly root: string;
  /** Regular files, in the order of the members. */
  readonly entries: readonly ArchiveEntry[];
  readonly warn: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Writes one gzip member per file, one after the other. A file that vanished is a warning.
 *
 * @returns bytes written
 * @see RFC 1952 2.2, 2.3 (cache document 6.1)
 */
export async function writeGzipMembers(options: GzipMembersOptions): Promise<number> {
  const target = await open(options.target, "wx", 0o600);
  try {
    let bytes = 0;
    for (const entry of options.entries) {
      options.signal.throwIfAborted();
      bytes += await writeMember(target, entry, options);
    }
    return bytes;
  } finally {
    await target.close();
  }
}

const FLAG_NAME = 0x08;
const FLAG_COMMENT = 0x10;
const METHOD_DEFLATE = 8;
const SYSTEM_UNKNOWN = 255;

async function writeMember(
  target: FileHandle,
  entry: ArchiveEntry,
  { root, warn, signal }: GzipMembersOptions,
): Promise<number> {
  const source = await openPlainFile(toFileSystemPath(`${root}/${entry.path}`));
  if (source === undefined) {
    warn(`"${printablePath(entry.path)}" vanished before it could be packed; it is left out.`);
    return 0;
  }
  try {
    return await appendMember(target, source, entry, signal);
  } finally {
    await source.close();
  }
}

async function appendMember(
  target: FileHandle,
  source: FileHandle,
  entry: ArchiveEntry,
  signal: AbortSignal,
): Promise<number> {
  let written = await append(target, memberHeader(entry));
  let crc = 0;
  let bytes = 0;
  async function* measured(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of pieces) {
      crc = crc32(piece, crc);
      bytes += piece.length;
      yield piece;
    }
  }
  await pipeline(
    createReadStream("", { fd: source }),
    measured,
    createDeflateRaw(),
    async (packed: AsyncIterable<Buffer>) => {
      for await (const piece of packed) written += await append(target, piece);
    },
    { signal },
  );
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  // The length modulo 2^32, as the format has it.
  trailer.writeUInt32LE(bytes % 2 ** 32, 4);
  return written + (await append(target, trailer));
}

async function append(target: FileHandle, bytes: Uint8Array): Promise<number> {
  await target.writeFile(bytes);
  return bytes.length;
}

function memberHeader(entry: ArchiveEntry): Buffer {
  const start = Buffer.alloc(10);
  start.writeUInt16BE(0x1f8b, 0);
  start.writeUInt8(METHOD_DEFLATE, 2);
  start.writeUInt8(FLAG_NAME | FLAG_COMMENT, 3);
  start.writeUInt32LE(Math.floor(entry.mtimeMs / 1000) >>> 0, 4);
  start.writeUInt8(SYSTEM_UNKNOWN, 9);
  const name = entry.path.slice(entry.path.lastIndexOf("/") + 1);
  return Buffer.concat([start, headerText(name), headerText(entry.path)]);
}

/** Zero-terminated. What the header cannot hold as it is becomes `e:` and percent-encoding of the whole text. */
function headerText(text: string): Buffer {
  const bytes = pathToBytes(text);
  const isPlain = bytes.every((byte) => byte < 0x80 && byte !== 0x25);
  return Buffer.from(`${isPlain ? text : `e:${percentEncode(bytes)}`}\0`, "latin1");
}

function percentEncode(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => {
    const character = String.fromCharCode(byte);
    if (/[A-Za-z0-9\-_.~$&+:=@]/.test(character)) return character;
    return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }).join("");
}
