import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import type { Stats } from "node:fs";

import type { ArchivedEntry } from "../archived-entry.ts";
import { errnoOf } from "../errors.ts";
import { pathFromBytes, toFileSystemPath } from "../path-bytes.ts";
import { copyTree } from "./copy-tree.ts";
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
  /** A folder on the same file system as `to`, for what is in the way. */
  readonly kept: string;
}

/** The moves of a tree, and folders on other file systems that were made for them. */
interface Moves {
  readonly moves: readonly Move[];
  readonly foreign: readonly string[];
}

/**
 * Moves the content of a complete tree into the root: a folder that the root lacks with one rename, others entry by entry.
 *
 * All conflicts are found before the first move. When a move fails, those before it are taken back. A mark that is written
 * before the first one lets {@link finishPlacing} go on when this process dies between two of them.
 *
 * No rename leads from one file system to another. What belongs into a mount below the root is copied to a folder there first.
 *
 * @param staging - the staging folder, with the tree in it
 * @param folders - whose metadata is set after the moves, by the caller; the mark needs them, too
 * @throws {CacheArchiveError} `outside-root`: a link in the root leads outside; `io`: a file is in the place of a folder, or
 *   the other way round, or the system refused
 */
export function placeTree(root: string, staging: string, folders: readonly FolderFacts[]): void {
  const collected = collectMoves(root, staging);
  try {
    writeWhole(`${staging}/${MARK}`, folders);
    try {
      carryOut(collected.moves);
    } catch (error) {
      // All moves were taken back, and the folder is removed piece by piece: nobody may complete what is left of it.
      rmSync(toFileSystemPath(`${staging}/${MARK}`), { force: true });
      throw error;
    }
  } finally {
    for (const folder of collected.foreign) removeTree(folder);
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
  if (!isOurs(staging)) return false;
  const folders = readList(`${staging}/${MARK}`) as readonly FolderFacts[] | undefined;
  removeForeign(root, staging);
  if (folders === undefined) return false;
  // Without the tree it was all done, and died while it cleaned up.
  if (existsSync(toFileSystemPath(`${staging}/tree`))) {
    const { moves, foreign } = collectMoves(root, staging);
    try {
      carryOut(moves);
    } finally {
      for (const folder of foreign) removeTree(folder);
    }
  }
  for (const { target, entry } of folders) {
    if (isInside(root, target)) finishFolder(root, target, entry, PLAIN_MODE_BITS);
  }
  return true;
}

/** Nobody completes the moves of this staging folder any more. */
export function forgetPlacing(staging: string): void {
  try {
    if (isOurs(staging)) rmSync(toFileSystemPath(`${staging}/${MARK}`), { force: true });
  } catch (error) {
    // It was cleared away meanwhile.
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** What was copied to other file systems is still in the tree. */
function removeForeign(root: string, staging: string): void {
  for (const folder of readList(`${staging}/${FOREIGN}`) ?? []) {
    if (isInside(root, folder) && nameOf(folder) === nameOf(staging)) removeTree(`${root}/${folder}`);
  }
}

const MARK = "complete.json";
/** Folders on other file systems, relative to the root. */
const FOREIGN = "foreign.json";
const PLAIN_MODE_BITS = 0o777;

/** Nobody else may write there, so what lies in it is ours. */
function isOurs(staging: string): boolean {
  const folder = lstatSync(toFileSystemPath(staging));
  return folder.isDirectory() && folder.uid === process.geteuid?.() && (folder.mode & 0o077) === 0;
}

function readList(path: string): readonly unknown[] | undefined {
  try {
    const list: unknown = JSON.parse(readFileSync(toFileSystemPath(path), "utf8"));
    return Array.isArray(list) ? list : undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function writeWhole(path: string, list: readonly unknown[]): void {
  const part = toFileSystemPath(`${path}.part`);
  writeFileSync(part, JSON.stringify(list), { mode: 0o600 });
  renameSync(part, toFileSystemPath(path));
}

function carryOut(moves: readonly Move[]): void {
  const undo: (() => void)[] = [];
  const rename = (from: string, to: string): void => {
    renameSync(toFileSystemPath(from), toFileSystemPath(to));
    undo.push(() => renameSync(toFileSystemPath(to), toFileSystemPath(from)));
  };
  try {
    for (const [nth, { from, to, replaces, kept }] of moves.entries()) {
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

function collectMoves(root: string, staging: string): Moves {
  const collector = new MoveCollector(root, staging);
  try {
    collector.collect(`${staging}/tree`, root, "");
  } catch (error) {
    for (const folder of collector.foreign) removeTree(folder);
    throw error;
  }
  return collector;
}

class MoveCollector implements Moves {
  readonly moves: Move[] = [];
  readonly foreign: string[] = [];
  readonly #root: string;
  readonly #staging: string;
  readonly #kept: Map<number, string>;

  constructor(root: string, staging: string) {
    this.#root = root;
    this.#staging = staging;
    const kept = `${staging}/replaced`;
    mkdirSync(toFileSystemPath(kept), { recursive: true, mode: 0o700 });
    this.#kept = new Map([[deviceOf(staging), kept]]);
  }

  /** @param path - of the folder, relative to the root, as the archive has it */
  collect(from: string, to: string, path: string): void {
    const device = deviceOf(to);
    for (const bytes of readdirSync(toFileSystemPath(from), { encoding: "buffer" })) {
      const name = pathFromBytes(bytes);
      const source = `${from}/${name}`;
      const target = `${to}/${name}`;
      const shown = path === "" ? name : `${path}/${name}`;
      const found = lstatSync(toFileSystemPath(target), { throwIfNoEntry: false });
      if (found === undefined) {
        this.#add(source, to, name, device, "nothing");
      } else if (lstatSync(toFileSystemPath(source)).isDirectory()) {
        const folder = existingFolder(source, target, found, shown, this.#root);
        if (folder !== undefined) this.collect(source, folder, shown);
      } else {
        if (found.isDirectory() && readdirSync(toFileSystemPath(target)).length > 0) {
          throw conflict("ENOTEMPTY", shown, "a folder with content is in its place");
        }
        this.#add(source, to, name, device, found.isDirectory() ? "empty folder" : "something");
      }
    }
  }

  #add(source: string, folder: string, name: string, device: number, replaces: Move["replaces"]): void {
    const to = `${folder}/${name}`;
    const kept = this.#kept.get(device) ?? this.#makeForeign(folder, device);
    if (kept.startsWith(`${this.#staging}/`)) {
      this.moves.push({ from: source, to, replaces, kept });
      return;
    }
    const from = `${kept}/${this.moves.length}-new`;
    copyTree(source, from);
    this.moves.push({ from, to, replaces, kept });
  }

  /** A folder on another file system, named like the staging folder. */
  #makeForeign(folder: string, device: number): string {
    const kept = `${folder}/${nameOf(this.#staging)}`;
    this.#kept.set(device, kept);
    this.foreign.push(kept);
    const relative = this.foreign.map((place) => place.slice(this.#root.length).replace(/^\/+/, ""));
    writeWhole(`${this.#staging}/${FOREIGN}`, relative);
    mkdirSync(toFileSystemPath(kept), 0o700);
    return kept;
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function deviceOf(folder: string): number {
  return statSync(toFileSystemPath(folder)).dev;
}

function removeTree(folder: string): void {
  rmSync(toFileSystemPath(folder), { recursive: true, force: true });
}

/** The folder that takes the content of `source`; undefined when a file is in its place and there is no content. */
function existingFolder(source: string, target: string, found: Stats, shown: string, root: string): string | undefined {
  if (found.isDirectory()) return target;
  if (found.isSymbolicLink()) return followInside(target, shown, root);
  if (readdirSync(toFileSystemPath(source)).length === 0) return undefined;
  throw conflict("ENOTDIR", shown, "a file is in the place of a folder");
}
