import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";

import { isAbsent } from "./system-errors.ts";

/** After so many entries other work gets its turn; they take about three milliseconds. */
const ENTRIES_PER_TURN = 500;

/**
 * A digest of everything below some paths that changes whenever a program changes anything there.
 *
 * It is made from inode, size, mode and the times, change time included, which no program can set. No content is read. It stays the same
 * when the folders that are asked for are moved as they are.
 *
 * @returns `undefined` when one of the paths does not exist
 */
export async function treeDigest(root: string, paths: readonly string[]): Promise<string | undefined> {
  const hash = createHash("sha256");
  const waiting = paths.toReversed().map((path) => path.replace(/\/+$/, ""));
  const tops = new Set(waiting);
  let entries = 0;
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (++entries % ENTRIES_PER_TURN === 0) await nextTurn();
    try {
      const names = addEntry(hash, root, path, tops.has(path));
      for (const name of names.toReversed()) waiting.push(`${path}/${name}`);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }
  return hash.digest("hex");
}

/** @returns names in the folder, sorted; none for anything else */
function addEntry(hash: Hash, root: string, path: string, isTop: boolean): readonly string[] {
  const absolute = join(root, path);
  const { ino, size, mode, mtimeNs, ctimeNs } = lstatSync(absolute, { bigint: true });
  const isFolder = (mode & 0o170000n) === 0o040000n;
  // The size of a folder is the file system's business, and a move changes the change time of what is moved.
  const changed = isFolder && isTop ? 0n : ctimeNs;
  hash.update(`${path}\0${ino}\0${isFolder ? 0n : size}\0${mode}\0${mtimeNs}\0${changed}\n`);
  return isFolder ? readdirSync(absolute).sort() : [];
}
