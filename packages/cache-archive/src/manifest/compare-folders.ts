import { constants, lstatSync, statSync } from "node:fs";
import type { Stats } from "node:fs";

import { isArchived, namesIn, placeOf } from "./compare-tree.ts";
import type { TreeDifference } from "./compare-tree.ts";
import { isUnchanged } from "./look.ts";
import type { Manifest } from "./manifest-file.ts";
import type { ManifestRows } from "./manifest-rows.ts";

/** After so many entries the caller may do something else. */
const ENTRIES_PER_STEP = 500;
const QUIET = { throwIfNoEntry: false } as const;
const NONE = -1;

/** Which entries of a manifest lie in which. */
interface TreeShape {
  readonly paths: readonly string[];
  /** Rows of folders. */
  readonly folders: readonly number[];
  /** For each row the folder that it lies in, the first row that lies in it, and the next one in the same folder. */
  readonly parent: Int32Array;
  readonly first: Int32Array;
  readonly next: Int32Array;
  /** Rows of paths that somebody named. */
  readonly named: ReadonlyMap<string, number>;
}

/**
 * Compares some paths, which stand for themselves and everything below them, with a manifest: one folder after the other, in any order,
 * so that several threads can share them. When the paths and all folders hold what the manifest says, and nothing else, so does the tree.
 */
export class FolderComparison {
  readonly #root: string;
  readonly #takenAtMs: number;
  readonly #rows: ManifestRows;
  readonly #shape: TreeShape;
  /** Of each row what is known: whether it is a folder that is reached through folders only. */
  readonly #plain: Uint8Array;

  /** @returns undefined when something lies neither in a folder of the manifest nor is named itself */
  static *open(
    root: string,
    paths: readonly string[],
    manifest: Manifest,
  ): Generator<void, FolderComparison | undefined> {
    const shape = yield* shapeOf(manifest, paths);
    return shape === undefined ? undefined : new FolderComparison(root, manifest, shape);
  }

  private constructor(root: string, { facts, rows }: Manifest, shape: TreeShape) {
    this.#root = root;
    this.#takenAtMs = facts.takenAtMs;
    this.#rows = rows;
    this.#shape = shape;
    this.#plain = new Uint8Array(rows.count);
  }

  get folders(): number {
    return this.#shape.folders.length;
  }

  /** Of the paths themselves, without what lies below them. */
  comparePaths(paths: readonly string[]): TreeDifference | undefined {
    for (const path of paths) {
      const index = this.#shape.named.get(path);
      // A link that leads nowhere is not found by its name, as when files are selected.
      const now = statSync(placeOf(this.#root, path), QUIET) && lstatSync(placeOf(this.#root, path), QUIET);
      if (now === undefined || !isArchived(now)) {
        if (index !== undefined && this.#shape.parent[index] === NONE) return { what: "removed", path };
        continue;
      }
      const difference = index === undefined ? { what: "added" as const, path } : this.#compareRow(index, now);
      if (difference !== undefined) return difference;
    }
    return undefined;
  }

  /** What lies in some folders, from one number to before another. */
  *compareFolders(from: number, to: number): Generator<void, TreeDifference | undefined> {
    let looked = 0;
    for (let nth = from; nth < to; nth += 1) {
      const folder = this.#shape.folders[nth] ?? NONE;
      const path = this.#pathOf(folder);
      const names = this.#isPlain(folder) ? namesIn(this.#root, path)?.toSorted() : undefined;
      if (names === undefined) return { what: "changed", path };
      const prefix = path === "." ? "" : `${path}/`;
      const rows = this.#rowsIn(folder);
      let met = 0;
      for (const name of names) {
        if (++looked % ENTRIES_PER_STEP === 0) yield;
        const place = prefix + name;
        const now = lstatSync(placeOf(this.#root, place), QUIET);
        if (now === undefined || !isArchived(now)) continue;
        const index = rows[met];
        if (index === undefined || this.#pathOf(index) !== place) return this.#mismatch(index, place);
        const difference = this.#compareRow(index, now);
        if (difference !== undefined) return difference;
        met += 1;
      }
      const missing = rows[met];
      if (missing !== undefined) return { what: "removed", path: this.#pathOf(missing) };
    }
    return undefined;
  }

  /** @param index - the next row of a folder, in the order of names; the next name is another one */
  #mismatch(index: number | undefined, found: string): TreeDifference {
    const expected = index === undefined ? undefined : this.#pathOf(index);
    return expected === undefined || found < expected
      ? { what: "added", path: found }
      : { what: "removed", path: expected };
  }

  #compareRow(index: number, now: Stats): TreeDifference | undefined {
    const path = this.#pathOf(index);
    const was = this.#rows.found(index);
    if (was !== undefined && isUnchanged(placeOf(this.#root, path), now, was, this.#takenAtMs)) return undefined;
    return { what: "changed", path };
  }

  /** Nothing is read behind a link that took the place of a folder. */
  #isPlain(folder: number): boolean {
    if (this.#plain[folder] === UNKNOWN) {
      const parent = this.#shape.parent[folder] ?? NONE;
      const isReached = parent === NONE || this.#isPlain(parent);
      const isPlain = isReached && lstatSync(placeOf(this.#root, this.#pathOf(folder)), QUIET)?.isDirectory() === true;
      this.#plain[folder] = isPlain ? YES : NO;
    }
    return this.#plain[folder] === YES;
  }

  /** In the order of their names. */
  #rowsIn(folder: number): number[] {
    const { first, next } = this.#shape;
    const rows: number[] = [];
    for (let row = first[folder] ?? NONE; row !== NONE; row = next[row] ?? NONE) rows.push(row);
    // They were linked from the last one on, which is nearly always the order of the names.
    rows.reverse();
    const isSorted = rows.every((row, nth) => nth === 0 || this.#pathOf(rows[nth - 1] ?? NONE) < this.#pathOf(row));
    return isSorted ? rows : rows.sort((a, b) => (this.#pathOf(a) < this.#pathOf(b) ? -1 : 1));
  }

  #pathOf(row: number): string {
    return this.#shape.paths[row] ?? "";
  }
}

const UNKNOWN = 0;
const YES = 1;
const NO = 2;

/** @returns undefined when an entry lies neither in a folder of the manifest nor is named itself */
function* shapeOf({ rows, paths }: Manifest, wanted: readonly string[]): Generator<void, TreeShape | undefined> {
  const names = new Set(wanted);
  const named = new Map<string, number>();
  const folders = new Map<string, number>();
  for (const [index, path] of paths.entries()) {
    if (index % ENTRIES_PER_STEP === ENTRIES_PER_STEP - 1) yield;
    if (isFolder(rows.mode(index))) folders.set(path, index);
    if (names.has(path)) named.set(path, index);
  }
  const [parent, first, next] = [noRows(rows.count), noRows(rows.count), noRows(rows.count)];
  for (const [index, path] of paths.entries()) {
    if (index % ENTRIES_PER_STEP === ENTRIES_PER_STEP - 1) yield;
    const folder = path === "." ? undefined : folders.get(folderOf(path));
    if (folder === undefined) {
      if (named.get(path) !== index) return undefined;
      continue;
    }
    parent[index] = folder;
    next[index] = first[folder] ?? NONE;
    first[folder] = index;
  }
  return { paths, folders: [...folders.values()], parent, first, next, named };
}

function noRows(count: number): Int32Array {
  return new Int32Array(count).fill(NONE);
}

function isFolder(mode: number): boolean {
  return (mode & constants.S_IFMT) === constants.S_IFDIR;
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "." : path.slice(0, slash);
}
