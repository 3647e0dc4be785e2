import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import type { Stats } from "node:fs";

import type { ArchivedEntry } from "../archived-entry.ts";
import { errnoOf } from "../errors.ts";
import { pathFromBytes, toFileSystemPath } from "../path-bytes.ts";
import { finishFolder } from "./finish-folder.ts";
import { conflict, followInside, isInside } from "./inside.ts";

/** The metadata of a folder. */
export interface FolderFacts {
  /** Clean slash path relative to the root. */
  readonly target: string;
  readonly entry: ArchivedEntry;
}

/** One move from the staging folder into the root; paths are absolute. */
interface Move {
  readonly from: string;
  readonly to: string;
  /** What is in the way; it is kept until all moves are done. */
  readonly replaces: "nothing" | "empty folder" | "something";
}

/**
 * Moves the content of a complete tree into the root: a folder that the root lacks with one rename, others entry by entry.
 *
 * All conflicts are found before the first move. When a move fails, those before it are taken back. A mark that is written
 * before the first one lets {@link finishPlacing} go on when this process dies between two of them.
 *
 * @param staging - the staging folder, with the tree in it
 * @param folders - whose metadata is set after the moves, by the caller; the mark needs them, too
 * @throws {CacheArchiveError} `outside-root`: a link in the root leads outside; `io`: a file is in the place of a folder, or
 *   the other way round, or the system refused
 */
export function placeTree(root: string, staging: string, folders: readonly FolderFacts[]): void {
  const moves = collectMoves(root, staging);
  const mark = toFileSystemPath(`${staging}/${MARK}.part`);
  writeFileSync(mark, JSON.stringify(folders), { mode: 0o600 });
  renameSync(mark, toFileSystemPath(`${staging}/${MARK}`));
  try {
    carryOut(moves, staging);
  } catch (error) {
    // All moves were taken back, and the folder is removed piece by piece: nobody may complete what is left of it.
    unlinkSync(toFileSystemPath(`${staging}/${MARK}`));
    throw error;
  }
}

/**
 * Completes the moves of a process that died; does nothing when it had not begun with them. What is left in the tree is what
 * was not moved.
 *
 * The staging folder may lie where scripts of a job can write, so nothing that it says leads out of the root.
 *
 * @returns whether it had begun
 */
export function finishPlacing(root: string, staging: string): boolean {
  const folders = readMark(staging);
  if (folders === undefined) return false;
  // Without the tree it was all done, and died while it cleaned up.
  if (existsSync(toFileSystemPath(`${staging}/tree`))) carryOut(collectMoves(root, staging), staging);
  for (const { target, entry } of folders) {
    if (isInside(root, target)) finishFolder(root, target, entry, PLAIN_MODE_BITS);
  }
  return true;
}

const MARK = "complete.json";
const PLAIN_MODE_BITS = 0o777;

function readMark(staging: string): readonly FolderFacts[] | undefined {
  const folder = lstatSync(toFileSystemPath(staging));
  const isOurs = folder.isDirectory() && folder.uid === process.geteuid?.() && (folder.mode & 0o077) === 0;
  if (!isOurs) return undefined;
  try {
    const folders: unknown = JSON.parse(readFileSync(toFileSystemPath(`${staging}/${MARK}`), "utf8"));
    return Array.isArray(folders) ? folders : undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function carryOut(moves: readonly Move[], staging: string): void {
  const kept = `${staging}/replaced`;
  mkdirSync(toFileSystemPath(kept), { recursive: true, mode: 0o700 });
  const undo: (() => void)[] = [];
  const rename = (from: string, to: string): void => {
    renameSync(toFileSystemPath(from), toFileSystemPath(to));
    undo.push(() => renameSync(toFileSystemPath(to), toFileSystemPath(from)));
  };
  try {
    for (const [nth, { from, to, replaces }] of moves.entries()) {
      if (replaces === "empty folder") {
        rmdirSync(toFileSystemPath(to));
        undo.push(() => mkdirSync(toFileSystemPath(to)));
      }
      if (replaces === "something") rename(to, `${kept}/${process.pid}-${nth}`);
      rename(from, to);
    }
  } catch (error) {
    for (const step of undo.toReversed()) step();
    throw error;
  }
}

function collectMoves(root: string, staging: string): Move[] {
  const moves: Move[] = [];
  collect(`${staging}/tree`, root, "", root, moves);
  return moves;
}

/** @param path - of the folder, relative to the root, as the archive has it */
function collect(from: string, to: string, path: string, root: string, moves: Move[]): void {
  for (const bytes of readdirSync(toFileSystemPath(from), { encoding: "buffer" })) {
    const name = pathFromBytes(bytes);
    const source = `${from}/${name}`;
    const target = `${to}/${name}`;
    const shown = path === "" ? name : `${path}/${name}`;
    const found = lstatSync(toFileSystemPath(target), { throwIfNoEntry: false });
    if (found === undefined) {
      moves.push({ from: source, to: target, replaces: "nothing" });
    } else if (lstatSync(toFileSystemPath(source)).isDirectory()) {
      const folder = existingFolder(source, target, found, shown, root);
      if (folder !== undefined) collect(source, folder, shown, root, moves);
    } else {
      if (found.isDirectory() && readdirSync(toFileSystemPath(target)).length > 0) {
        throw conflict("ENOTEMPTY", shown, "a folder with content is in its place");
      }
      moves.push({ from: source, to: target, replaces: found.isDirectory() ? "empty folder" : "something" });
    }
  }
}

/** The folder that takes the content of `source`; undefined when a file is in its place and there is no content. */
function existingFolder(source: string, target: string, found: Stats, shown: string, root: string): string | undefined {
  if (found.isDirectory()) return target;
  if (found.isSymbolicLink()) return followInside(target, shown, root);
  if (readdirSync(toFileSystemPath(source)).length === 0) return undefined;
  throw conflict("ENOTDIR", shown, "a file is in the place of a folder");
}
