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

import { CacheArchiveError } from "../errors.ts";
import { printablePath, toFileSystemPath } from "../path-bytes.ts";
import { openPlainFile } from "../plain-file.ts";
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
  const file = openPlainFile(source);
  if (file === undefined) throw notCopied(source);
  const { descriptor: input, facts } = file;
  try {
    const output = openSync(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, facts.size + 1));
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

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
const PIECE_BYTES = 1024 * 1024;

/** No archive brings such an entry, so somebody else has made it. */
function notCopied(source: string | Buffer): CacheArchiveError {
  const message = `"${printablePath(String(source))}" cannot be copied: it is neither a file, a folder nor a link`;
  return new CacheArchiveError({ code: "io", message });
}

function keepMetadata(target: string | Buffer, { uid, gid, mode, atimeMs, mtimeMs }: Stats): void {
  try {
    lchownSync(target, uid, gid);
  } catch {
    // Only root may give files away; for everybody else they are their own already.
  }
  if ((mode & constants.S_IFMT) !== constants.S_IFLNK) chmodSync(target, mode & 0o7777);
  lutimesSync(target, atimeMs / 1000, mtimeMs / 1000);
}
