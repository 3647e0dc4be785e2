import {
  chmodSync,
  constants,
  copyFileSync,
  lchownSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
} from "node:fs";
import type { Stats } from "node:fs";

import { pathFromBytes, toFileSystemPath } from "../path-bytes.ts";

/** Copies a file, a link, or a folder with everything below it, with owners, modes and times. */
export function copyTree(from: string, to: string): void {
  const [source, target] = [toFileSystemPath(from), toFileSystemPath(to)];
  const found = lstatSync(source);
  if (found.isDirectory()) {
    mkdirSync(target, 0o700);
    for (const bytes of readdirSync(source, { encoding: "buffer" })) {
      const name = pathFromBytes(bytes);
      copyTree(`${from}/${name}`, `${to}/${name}`);
    }
  } else if (found.isSymbolicLink()) {
    symlinkSync(readlinkSync(source, { encoding: "buffer" }), target);
  } else {
    copyFileSync(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  }
  keepMetadata(target, found);
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
