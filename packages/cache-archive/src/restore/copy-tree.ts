import {
  chmodSync,
  closeSync,
  constants,
  lchownSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readlinkSync,
  readSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import type { Stats } from "node:fs";

import { toFileSystemPath } from "../path-bytes.ts";
import { readFolder } from "./read-folder.ts";

/** Copies a file, a link, or a folder with everything below it, with owners, modes and times, in short steps. */
export function* copyTree(from: string, to: string): Generator<void, void> {
  const [source, target] = [toFileSystemPath(from), toFileSystemPath(to)];
  const found = lstatSync(source);
  if (found.isDirectory()) {
    mkdirSync(target, 0o700);
    for (const name of yield* readFolder(from)) yield* copyTree(`${from}/${name}`, `${to}/${name}`);
  } else if (found.isSymbolicLink()) {
    symlinkSync(readlinkSync(source, { encoding: "buffer" }), target);
  } else {
    yield* copyFile(source, target);
  }
  keepMetadata(target, found);
  yield;
}

/** Between file systems the system would have to copy, too, and would not stop on the way. */
function* copyFile(source: string | Buffer, target: string | Buffer): Generator<void, void> {
  const input = openSync(source, O_RDONLY | O_NOFOLLOW);
  try {
    const output = openSync(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, lstatSync(source).size + 1));
      for (let bytes = readSync(input, piece); bytes > 0; bytes = readSync(input, piece)) {
        for (let done = 0; done < bytes;) done += writeSync(output, piece, done, bytes - done);
        yield;
      }
    } finally {
      closeSync(output);
    }
  } finally {
    closeSync(input);
  }
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;
const PIECE_BYTES = 1024 * 1024;

function keepMetadata(target: string | Buffer, { uid, gid, mode, atimeMs, mtimeMs }: Stats): void {
  try {
    lchownSync(target, uid, gid);
  } catch {
    // Only root may give files away; for everybody else they are their own already.
  }
  if ((mode & constants.S_IFMT) !== constants.S_IFLNK) chmodSync(target, mode & 0o7777);
  lutimesSync(target, atimeMs / 1000, mtimeMs / 1000);
}
