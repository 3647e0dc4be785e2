import { randomUUID } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs";

import { errnoOf } from "../errors.ts";
import { toFileSystemPath } from "../path-bytes.ts";
import { settleStaging } from "./settle.ts";
import { removeIfEmpty, TREE } from "./staging-files.ts";
import { takeFolder } from "./staging-lock.ts";
import type { FolderLock } from "./staging-lock.ts";
import { realPathOf, stagingPlaces, stagingPrefix } from "./staging-places.ts";

/*
 * A restore happens in a folder beside the root, on the same file system, and is moved into its place when it is complete. So
 * a restore that dies half-way leaves nothing in the root that anybody could trust.
 */

/** Where a restore happens before it is complete. */
export interface Staging {
  /** Absolute path of the root, without links. */
  readonly root: string;
  /** Absolute path of the folder; `tree` in it becomes the root's content. */
  readonly folder: string;
  /** Bits that the system takes from the mode of a new file there. */
  readonly umask: number;
  /** Keeps others from completing or removing the folder; to be released by who made it. */
  readonly lock: FolderLock;
}

/** Makes the root when it is missing, and a staging folder for it. What dead processes left for this root is cleaned up first. */
export async function openStaging(root: string, signal?: AbortSignal): Promise<Staging> {
  mkdirSync(root, { recursive: true });
  const real = realPathOf(root);
  await settleStaging(real, { signal });
  for (;;) {
    signal?.throwIfAborted();
    const folder = makeFolder(real);
    const lock = await takeNew(folder, signal);
    // As long as it has no lock, it looks like one whose process is dead.
    if (lock === undefined) continue;
    try {
      const tree = `${folder}/${TREE}`;
      mkdirSync(toFileSystemPath(tree));
      return { root: real, folder, umask: 0o777 & ~lstatSync(toFileSystemPath(tree)).mode, lock };
    } catch (error) {
      await lock.release();
      throw error;
    }
  }
}

/** @returns `undefined` when somebody else has come first; what has no lock is gone */
async function takeNew(folder: string, signal: AbortSignal | undefined): Promise<FolderLock | undefined> {
  try {
    return await takeFolder(folder, { signal });
  } catch (error) {
    removeIfEmpty(folder);
    throw error;
  }
}

function makeFolder(root: string): string {
  const name = `${stagingPrefix(root)}${randomUUID()}`;
  for (const place of stagingPlaces(root)) {
    const folder = `${place}/${name}`;
    if (isMade(folder, root)) return folder;
  }
  throw Object.assign(new Error(`EACCES: no folder can be made in ${root}`), { code: "EACCES" });
}

/** @returns false for a place that is not writable, or on another file system than the root */
function isMade(folder: string, root: string): boolean {
  const place = toFileSystemPath(folder);
  try {
    mkdirSync(place, 0o700);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EACCES" || errno === "EPERM" || errno === "EROFS") return false;
    throw error;
  }
  if (lstatSync(place).dev === lstatSync(toFileSystemPath(root)).dev) {
    // Without a group that its parent may hand down.
    chmodSync(place, 0o700);
    return true;
  }
  rmSync(place, { recursive: true });
  return false;
}
