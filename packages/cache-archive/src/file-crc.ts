import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { crc32 } from "node:zlib";

/** CRC of a file; undefined when it is not a file of this length any more. */
export function fileCrc(place: string | Buffer, bytes: number): number | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    // It cannot be read, for instance by its mode; then nothing is known of it.
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

const PIECE_BYTES = 256 * 1024;
