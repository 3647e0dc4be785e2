import { lstatSync, readdirSync, statSync } from "node:fs";
import type { Stats } from "node:fs";

import { errnoOf } from "../errors.ts";
import { unlessMissing } from "../missing.ts";
import { pathFromBytes, toFileSystemPath } from "../path-bytes.ts";
import { RestoreFolders } from "../restore/folders.ts";
import { isStagingPath } from "../restore/staging-name.ts";
import { inSteps } from "../turn.ts";
import type { Manifest } from "./manifest-file.ts";
import type { ManifestRows } from "./manifest-rows.ts";
import { MetRows } from "./met-rows.ts";
import type { TreeDifference } from "./met-rows.ts";
import { RowTree } from "./row-tree.ts";

/** After so many entries the caller may do something else. */
const ENTRIES_PER_STEP = 500;
const QUIET = { throwIfNoEntry: false } as const;

/** Whether every entry of a manifest is there, as it was. What else may be there does not matter. */
export function* compareRows(root: string, manifest: Manifest): Generator<void, TreeDifference | undefined> {
  const folders = new RestoreFolders(root, root);
  const rows = new MetRows(manifest);
  for (const [index, path] of manifest.paths.entries()) {
    if (index % ENTRIES_PER_STEP === ENTRIES_PER_STEP - 1) yield;
    const place = folders.existing(path);
    const now = place === undefined ? undefined : lstatSync(place, QUIET);
    if (place === undefined || now === undefined) return { what: "removed", path };
    if (!rows.isUnchanged(index, place, now)) return { what: "changed", path };
  }
  return undefined;
}

/** Whether some paths, which stand for themselves and everything below them, hold what a manifest says, and nothing else. */
export function* compareWalk(
  root: string,
  paths: readonly string[],
  manifest: Manifest,
): Generator<void, TreeDifference | undefined> {
  const tree = yield* RowTree.open(manifest);
  const waiting: number[] = [];
  for (const path of paths) {
    yield;
    // A link that leads nowhere is not found by its name, as when files are selected.
    if (unlessMissing(() => statSync(placeOf(root, path), QUIET)) === undefined) continue;
    const row = manifest.paths.indexOf(path);
    if (row !== -1) waiting.push(row);
    else if (isArchivedNow(root, path)) return { what: "added", path };
  }
  const walk = new RowWalk(root, tree, new MetRows(manifest), waiting);
  while (!walk.isOver) {
    const difference = walk.step();
    if (difference !== undefined) return difference;
    yield;
  }
  return walk.rows.missing();
}

/** Goes from folders to what lies in them, first as the rows say. */
class RowWalk {
  readonly rows: MetRows;
  readonly #root: string;
  readonly #tree: RowTree;
  readonly #waiting: number[];

  constructor(root: string, tree: RowTree, rows: MetRows, waiting: number[]) {
    this.rows = rows;
    this.#root = root;
    this.#tree = tree;
    this.#waiting = waiting;
  }

  get isOver(): boolean {
    return this.#waiting.length === 0;
  }

  /** Some rows. Not in a generator, where loops are slow. */
  step(): TreeDifference | undefined {
    for (let nth = 0; nth < ENTRIES_PER_STEP; nth += 1) {
      const row = this.#waiting.pop();
      if (row === undefined) return undefined;
      const difference = this.rows.meet(row) ? this.#visit(row) : undefined;
      if (difference !== undefined) return difference;
    }
    return undefined;
  }

  #visit(row: number): TreeDifference | undefined {
    const path = this.#tree.pathOf(row);
    const place = placeOf(this.#root, path);
    const now = lstatSync(place, QUIET);
    if (now === undefined || !isArchived(now)) return { what: "removed", path };
    if (!this.rows.isUnchanged(row, place, now)) return { what: "changed", path };
    if (!now.isDirectory()) return undefined;
    const names = namesIn(this.#root, path);
    if (names === undefined) return { what: "changed", path };
    const added = this.#tree.othersIn(row, names).find((other) => isArchivedNow(this.#root, other));
    if (added !== undefined) return { what: "added", path: added };
    this.#tree.pushContent(row, this.#waiting);
    return undefined;
  }
}

/** The same for entries that somebody has listed already. */
export function* compareList(
  root: string,
  list: ManifestRows,
  manifest: Manifest,
): Generator<void, TreeDifference | undefined> {
  const rows = new MetRows(manifest);
  const indexes = yield* indexesOf(manifest.paths);
  for (let nth = 0; nth < list.count; nth += 1) {
    if (nth % ENTRIES_PER_STEP === ENTRIES_PER_STEP - 1) yield;
    const path = list.path(nth);
    const place = placeOf(root, path);
    const now = lstatSync(place, QUIET);
    if (now === undefined) continue;
    const index = indexes.get(path);
    if (index === undefined) return { what: "added", path };
    if (rows.meet(index) && !rows.isUnchanged(index, place, now)) return { what: "changed", path };
  }
  return rows.missing();
}

function* indexesOf(paths: readonly string[]): Generator<void, ReadonlyMap<string, number>> {
  const indexes = new Map<string, number>();
  yield* inSteps(paths.length, ENTRIES_PER_STEP, (index) => void indexes.set(paths[index] ?? "", index));
  return indexes;
}

function placeOf(root: string, path: string): string | Buffer {
  return toFileSystemPath(`${root}/${path}`);
}

function isArchivedNow(root: string, path: string): boolean {
  if (isStagingPath(path)) return false;
  const now = lstatSync(placeOf(root, path), QUIET);
  return now !== undefined && isArchived(now);
}

/** Others are left out of archives. */
function isArchived(found: Stats): boolean {
  return found.isFile() || found.isDirectory() || found.isSymbolicLink();
}

/** @returns undefined when the folder cannot be read */
function namesIn(root: string, path: string): readonly string[] | undefined {
  const place = placeOf(root, path);
  try {
    const names = readdirSync(place);
    // The replacement character may stand for bytes that are not UTF-8.
    if (!names.some((name) => name.includes("\ufffd"))) return names;
    return readdirSync(place, { encoding: "buffer" }).map((name) => pathFromBytes(name));
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}
