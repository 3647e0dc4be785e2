import { readSync } from "node:fs";

import { CacheArchiveError } from "./errors.ts";
import { printablePath } from "./path-bytes.ts";

/** An archive that is open for reading. Several threads may read it at once. */
export interface ArchiveFile {
  readonly path: string;
  readonly descriptor: number;
  /** Length in bytes when it was opened. */
  readonly size: number;
}

/** Exactly `length` bytes, in new memory. @throws {CacheArchiveError} `truncated`: the file ends before */
export function readArchive(file: ArchiveFile, position: number, length: number): Buffer {
  return readArchiveInto(file, position, Buffer.allocUnsafe(length));
}

/** Fills the target. @throws {CacheArchiveError} `truncated`: the file ends before */
export function readArchiveInto(file: ArchiveFile, position: number, target: Buffer): Buffer {
  for (let done = 0; done < target.length;) {
    const got = readSync(file.descriptor, target, done, target.length - done, position + done);
    if (got === 0) {
      const message = `${printablePath(file.path)} ends at byte ${position + done}, but goes on until ${position + target.length}`;
      throw new CacheArchiveError({ code: "truncated", message });
    }
    done += got;
  }
  return target;
}

/** Longer pieces gain nothing. */
const PIECE_BYTES = 256 * 1024;

/** The same in pieces. */
export function* readPieces(file: ArchiveFile, position: number, length: number): Generator<Buffer> {
  for (let done = 0; done < length; done += PIECE_BYTES) {
    yield readArchive(file, position + done, Math.min(PIECE_BYTES, length - done));
  }
}
