import { inSteps } from "../turn.ts";
import type { Manifest } from "./manifest-file.ts";

/** After so many rows the caller may do something else. */
const ROWS_PER_STEP = 500;
const NONE = -1;

/**
 * Which rows of a manifest lie in which. Going from row to row, and comparing the names in a folder with those that are next, takes two thirds
 * of the time of looking up each path.
 */
export class RowTree {
  readonly #paths: readonly string[];
  /** First row in a folder. */
  readonly #firsts: Int32Array;
  /** The next row in the same folder. */
  readonly #nexts: Int32Array;

  static *open({ paths, rows }: Manifest): Generator<void, RowTree> {
    const folders = new Map<string, number>();
    yield* inSteps(paths.length, ROWS_PER_STEP, (row) => {
      if (rows.isFolder(row)) folders.set(paths[row] ?? "", row);
    });
    const tree = new RowTree(paths);
    let lastParent = ".";
    let parentRow = folders.get(lastParent);
    // From the last to the first, each before those that are there.
    yield* inSteps(paths.length, ROWS_PER_STEP, (nth) => {
      const row = paths.length - 1 - nth;
      const path = tree.pathOf(row);
      if (path === ".") return;
      const slash = path.lastIndexOf("/");
      if (slash === -1 ? lastParent !== "." : slash !== lastParent.length || !path.startsWith(lastParent)) {
        lastParent = slash === -1 ? "." : path.slice(0, slash);
        parentRow = folders.get(lastParent);
      }
      if (parentRow !== undefined) tree.#putFirst(parentRow, row);
    });
    return tree;
  }

  private constructor(paths: readonly string[]) {
    this.#paths = paths;
    this.#firsts = new Int32Array(paths.length).fill(NONE);
    this.#nexts = new Int32Array(paths.length).fill(NONE);
  }

  pathOf(row: number): string {
    return this.#paths[row] ?? "";
  }

  pushContent(folder: number, rows: number[]): void {
    for (const row of this.#content(folder)) rows.push(row);
  }

  /** Paths of those names in a folder that no row has. */
  othersIn(folder: number, names: readonly string[]): string[] {
    const start = this.#nameStart(folder);
    let row = this.#firsts[folder] ?? NONE;
    let same = 0;
    while (same < names.length && row !== NONE && this.#hasName(row, start, names[same] ?? "")) {
      same += 1;
      row = this.#nexts[row] ?? NONE;
    }
    // The system and most archives have them in the same order.
    if (same === names.length) return [];
    const known = new Set(this.#content(folder).map((content) => this.pathOf(content).slice(start)));
    const prefix = start === 0 ? "" : `${this.pathOf(folder)}/`;
    return names.filter((name) => !known.has(name)).map((name) => `${prefix}${name}`);
  }

  /** Where the names of what lies in a folder begin in their paths. */
  #nameStart(folder: number): number {
    const path = this.pathOf(folder);
    return path === "." ? 0 : path.length + 1;
  }

  #hasName(row: number, start: number, name: string): boolean {
    const path = this.pathOf(row);
    return path.length === start + name.length && path.endsWith(name);
  }

  #putFirst(folder: number, row: number): void {
    this.#nexts[row] = this.#firsts[folder] ?? NONE;
    this.#firsts[folder] = row;
  }

  #content(folder: number): number[] {
    const rows: number[] = [];
    for (let row = this.#firsts[folder] ?? NONE; row !== NONE; row = this.#nexts[row] ?? NONE) rows.push(row);
    return rows;
  }
}
