import { chmodSync, lstatSync, rmdirSync, unlinkSync } from "node:fs";

import { errnoOf } from "../errors.ts";
import { toFileSystemPath } from "../path-bytes.ts";
import { readFolder } from "./read-folder.ts";

/**
 * Removes a file, a link, or a folder with everything below it, in short steps; that there is none is fine.
 *
 * @param last - name in the folder of what goes after everything else in it
 */
export function* removeTree(path: string, last?: string): Generator<void, void> {
  const found = lstatSync(toFileSystemPath(path), { throwIfNoEntry: false });
  if (found === undefined) return;
  if (found.isDirectory()) {
    // Archives hold folders that their owner may not write to.
    if ((found.mode & OWNER_MAY_CHANGE) !== OWNER_MAY_CHANGE) chmodSync(toFileSystemPath(path), 0o700);
    const names = yield* readFolder(path);
    for (const name of names) if (name !== last) yield* removeTree(`${path}/${name}`);
    if (last !== undefined) yield* removeTree(`${path}/${last}`);
  }
  try {
    if (found.isDirectory()) rmdirSync(toFileSystemPath(path));
    else unlinkSync(toFileSystemPath(path));
  } catch (error) {
    // Somebody else came first.
    if (errnoOf(error) !== "ENOENT") throw error;
  }
  yield;
}

const OWNER_MAY_CHANGE = 0o700;
