import { randomUUID } from "node:crypto";
import {
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
import { CacheArchiveError, errnoOf } from "../errors.ts";
import { pathFromBytes, printablePath, toFileSystemPath } from "../path-bytes.ts";
import { copyTree } from "./copy-tree.ts";
import { finishFolder } from "./finish-folder.ts";
import { conflict, followInside, isInside } from "./inside.ts";
import { STAGING_PREFIX } from "./staging-name.ts";

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
 * All conflicts are found before the first move. When a move fails, those before it are taken back; when one of these cannot be
 * taken back, everything is kept ({@link isGivenUp}) and is completed later. A mark that is written
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
    carryOut(collected.moves, staging);
  } catch (error) {
    // All moves were taken back, and the folder is removed piece by piece: nobody may complete what is left of it.
    if (!isGivenUp(staging)) rmSync(toFileSystemPath(`${staging}/${MARK}`), { force: true });
    throw error;
  } finally {
    if (!isGivenUp(staging)) for (const folder of collected.foreign) removeTree(folder);
  }
}

/**
 * Completes the moves of a process that died; does nothing when it had not begun with them. What is left in the tree is what
 * was not moved.
 *
 * The staging folder may lie where scripts of a job can write, so nothing that it says leads out of the root, and one with a link in
 * the place of a folder is not ours.
 *
 * @returns whether it had begun
 */
export function finishPlacing(root: string, staging: string): boolean {
  if (!isOurs(staging)) return false;
  const [tree, kept] = [`${staging}/tree`, `${staging}/${KEPT}`].map((folder) => lookAt(folder));
  if ((tree !== undefined && !isOwnFolder(tree)) || (kept !== undefined && !isOwnFolder(kept))) return false;
  const folders = readList(`${staging}/${MARK}`) as readonly FolderFacts[] | undefined;
  removeForeign(root, staging);
  if (folders === undefined) return false;
  // Without the tree it was all done, and died while it cleaned up.
  if (tree !== undefined) {
    const { moves, foreign } = collectMoves(root, staging);
    try {
      carryOut(moves, staging);
      rmSync(toFileSystemPath(`${staging}/${GIVEN_UP}`), { force: true });
    } finally {
      if (!isGivenUp(staging)) for (const folder of foreign) removeTree(folder);
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
    if (isOurs(staging)) removeTree(`${staging}/${MARK}`);
  } catch (error) {
    // It was cleared away meanwhile.
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/**
 * Whether moves of this staging folder could neither be carried out nor taken back: it holds the only copy of what they replaced.
 * Nobody works with it any more, even if its process is alive.
 */
export function isGivenUp(staging: string): boolean {
  return lookAt(staging)?.isDirectory() === true && lookAt(`${staging}/${GIVEN_UP}`)?.isFile() === true;
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
const GIVEN_UP = "given-up";
/** Holds what was replaced. */
const KEPT = "replaced";
const PLAIN_MODE_BITS = 0o777;

/** Nobody else may write there, so what lies in it is ours. */
function isOurs(staging: string): boolean {
  const folder = lstatSync(toFileSystemPath(staging));
  return isOwnFolder(folder) && (folder.mode & 0o077) === 0;
}

/** A link is none, wherever it leads. */
function isOwnFolder(found: Stats): boolean {
  return found.isDirectory() && found.uid === process.geteuid?.();
}

function lookAt(path: string): Stats | undefined {
  return lstatSync(toFileSystemPath(path), { throwIfNoEntry: false });
}

function readList(path: string): readonly unknown[] | undefined {
  // A link may lead anywhere, and a pipe be read for ever.
  if (lookAt(path)?.isFile() !== true) return undefined;
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

function carryOut(moves: readonly Move[], staging: string): void {
  // What an earlier attempt has kept is not replaced.
  const attempt = randomUUID();
  const undo: (() => void)[][] = [];
  try {
    for (const [nth, { from, to, replaces, kept }] of moves.entries()) {
      const steps: (() => void)[] = [];
      undo.push(steps);
      const rename = (source: string, target: string): void => {
        renameSync(toFileSystemPath(source), toFileSystemPath(target));
        steps.push(() => renameSync(toFileSystemPath(target), toFileSystemPath(source)));
      };
      if (replaces === "empty folder") {
        rmdirSync(toFileSystemPath(to));
        steps.push(() => mkdirSync(toFileSystemPath(to)));
      }
      if (replaces === "something") rename(to, `${kept}/${attempt}-${nth}`);
      rename(from, to);
    }
  } catch (error) {
    const failures = undo.toReversed().flatMap((steps) => takeBack(steps));
    if (failures.length === 0) throw error;
    throw giveUp(staging, error, failures);
  }
}

/** @returns why this move could not be taken back: what it moved is then still in its place, and is not overwritten */
function takeBack(steps: readonly (() => void)[]): unknown[] {
  try {
    for (const step of steps.toReversed()) step();
    return [];
  } catch (error) {
    return [error];
  }
}

/** @returns the first error, with the others as its cause */
function giveUp(staging: string, first: unknown, failures: unknown[]): Error {
  try {
    writeFileSync(toFileSystemPath(`${staging}/${GIVEN_UP}`), "", { mode: 0o600 });
  } catch (error) {
    failures.push(error);
  }
  const reason = first instanceof Error ? first.message : String(first);
  const kept = `what they replaced is kept in ${printablePath(staging)}`;
  const cause = new AggregateError(failures, `${failures.length} moves could not be taken back; ${kept}`);
  return Object.assign(new Error(`${reason}; ${cause.message}`, { cause }), { code: errnoOf(first) });
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
    const kept = `${staging}/${KEPT}`;
    makeOwnFolder(kept);
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
      if (to === this.#root && name.startsWith(STAGING_PREFIX)) throw reserved(shown);
      const found = lookAt(target);
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

/** A dead process may have made it already. */
function makeOwnFolder(folder: string): void {
  try {
    mkdirSync(toFileSystemPath(folder), 0o700);
  } catch (error) {
    const found = lookAt(folder);
    if (found === undefined || !isOwnFolder(found)) throw error;
  }
}

/** Such an entry comes into the root by way of a link that leads to it. */
function reserved(shown: string): CacheArchiveError {
  const entryName = printablePath(shown);
  const message = `entry "${entryName}": names that begin with ${STAGING_PREFIX} are kept for unfinished restores`;
  return new CacheArchiveError({ code: "outside-root", message, entryName });
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
