import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import { crc32 } from "node:zlib";

import type { ArchivedEntry } from "../archived-entry.ts";

const PIECE_BYTES = 256 * 1024;

/**
 * Whether a file is just as its entry says, so that it need not be unpacked: size, mode, owner, time to the second, and the
 * CRC of its content.
 *
 * @param place - undefined when there is nothing to look at
 */
export function isAlreadyThere(
  place: string | Buffer | undefined,
  entry: ArchivedEntry,
  crc: number,
  modeMask: number,
): boolean {
  if (place === undefined) return false;
  const found = lstatSync(place, { throwIfNoEntry: false });
  if (found === undefined || !found.isFile() || found.size !== entry.bytes) return false;
  if ((found.mode & 0o7777) !== (entry.mode & modeMask) || found.mtimeMs !== entry.mtimeMs) return false;
  if (entry.owner !== undefined && process.geteuid?.() === 0) {
    if (found.uid !== entry.owner.uid || found.gid !== entry.owner.gid) return false;
  }
  return crcOf(place, entry.bytes) === crc;
}

/** CRC of a file; undefined when it is not a file of this length any more. */
function crcOf(place: string | Buffer, bytes: number): number | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    // It cannot be read, for instance by its mode; then it is replaced.
    return undefined;
  }
  try {
    if (!fstatSync(descriptor).isFile()) return undefined;
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, bytes + 1));
    let crc = 0;
    let done = 0;
    for (let got = readSync(descriptor, piece); got > 0; got = readSync(descriptor, piece)) {
      crc = crc32(piece.subarray(0, got), crc);
      done += got;
    }
    return done === bytes ? crc : undefined;
  } finally {
    closeSync(descriptor);
  }
}
