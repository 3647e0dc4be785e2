import {
  chmodSync,
  closeSync,
  constants,
  lstatSync,
  openSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeSync,
} from "node:fs";
import type { Stats } from "node:fs";

import { toFileSystemPath } from "../path-bytes.ts";
import { openPlainFile } from "../plain-file.ts";

/*
 * Files in a staging folder. It may lie where scripts of a job can write, so what is in it is believed only where nobody else can have
 * made it, and links in it are not followed.
 */

/** The tree that becomes the root's content. */
export const TREE = "tree";
/** Holds what was replaced, until all moves are done. */
export const KEPT = "replaced";

/** Says that the tree is complete. */
export const JOURNAL = "complete.jsonl";

/** Tells who holds the folder. */
export const LOCK = "lock";

const GIVEN_UP = "given-up";
const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_TRUNC, O_WRONLY } = constants;

/** Whether nobody else may write into this staging folder, so that what lies in it is ours. */
export function isOurs(staging: string): boolean {
  const folder = lookAt(staging);
  return folder !== undefined && isOwnFolder(folder) && (folder.mode & 0o077) === 0;
}

/** A link is none, wherever it leads. */
export function isOwnFolder(found: Stats): boolean {
  return found.isDirectory() && found.uid === process.geteuid?.();
}

/**
 * Gives us back what a job of the same user may have taken from us with `chmod`: neither completing nor clearing away could go on otherwise, and so no
 * restore into the root. What others may do stays, since what they can have written is not believed.
 */
export function allowOurselves(staging: string): void {
  // Whom nothing keeps out needs nothing, and a link that takes the place of a folder just now must not have its target changed.
  if (process.geteuid?.() === 0) return;
  for (const path of [staging, ...[TREE, KEPT, JOURNAL].map((name) => `${staging}/${name}`)]) {
    const found = lookAt(path);
    const wanted = found?.isDirectory() === true ? 0o700 : 0o600;
    const isOwn = found !== undefined && found.uid === process.geteuid?.() && (found.isDirectory() || found.isFile());
    if (isOwn && (found.mode & wanted) !== wanted) chmodSync(toFileSystemPath(path), (found.mode & 0o777) | wanted);
  }
}

/** What is in a place, which is not followed if it is a link; `undefined` when nothing is. */
export function lookAt(path: string): Stats | undefined {
  return lstatSync(toFileSystemPath(path), { throwIfNoEntry: false });
}

/** Removes a staging folder that no lock can be taken in; who has just made it, and is about to take that, makes another one. */
export function removeIfEmpty(staging: string): void {
  try {
    rmdirSync(toFileSystemPath(staging));
  } catch {
    // What is left is in nobody's way, and takes no room.
  }
}

/**
 * Whether moves of this staging folder could neither be carried out nor taken back: it holds the only copy of what they replaced.
 * Nobody works with it any more, even if its process is alive.
 */
export function isGivenUp(staging: string): boolean {
  return lookAt(staging)?.isDirectory() === true && lookAt(`${staging}/${GIVEN_UP}`)?.isFile() === true;
}

export function markAsGivenUp(staging: string): void {
  closeSync(openToWrite(`${staging}/${GIVEN_UP}`));
}

export function unmarkAsGivenUp(staging: string): void {
  rmSync(toFileSystemPath(`${staging}/${GIVEN_UP}`), { force: true });
}

/** Writes a file that appears under its name when all of it is there. */
export function* writeWhole(path: string, lines: Iterable<unknown>): Generator<void, void> {
  yield* writePart(path, lines);
  completePart(path);
}

/** What a file is called until {@link completePart} gives it its name. */
export function partOf(path: string): string {
  return `${path}.part`;
}

export function completePart(path: string): void {
  renameSync(toFileSystemPath(partOf(path)), toFileSystemPath(path));
}

/** Writes such a file. */
export function* writePart(path: string, lines: Iterable<unknown>): Generator<void, void> {
  const descriptor = openToWrite(partOf(path));
  try {
    let text = "";
    for (const line of lines) {
      text += `${JSON.stringify(line)}\n`;
      if (text.length < CHUNK_BYTES) continue;
      writeAll(descriptor, text);
      text = "";
      yield;
    }
    writeAll(descriptor, text);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Opens a file of a staging folder to read it.
 *
 * @returns undefined when there is none, or one that is not ours, or something else
 */
export function openToRead(path: string): number | undefined {
  const file = openPlainFile(toFileSystemPath(path));
  if (file === undefined || file.facts.uid === process.geteuid?.()) return file?.descriptor;
  closeSync(file.descriptor);
  return undefined;
}

const CHUNK_BYTES = 64 * 1024;

function openToWrite(path: string): number {
  return openSync(toFileSystemPath(path), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0o600);
}

function writeAll(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done);
}
