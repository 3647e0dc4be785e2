import { lstatSync, readdirSync, statSync } from "node:fs";
import type { Stats } from "node:fs";

import { errnoOf } from "../errors.ts";
import { pathFromBytes, toFileSystemPath } from "../path-bytes.ts";
import { RestoreFolders } from "../restore/folders.ts";
import { isUnchanged } from "./look.ts";
import type { Manifest } from "./manifest-file.ts";
import type { ManifestRows } from "./manifest-rows.ts";

/** The first difference that was met. */
export interface TreeDifference {
  readonly what: "added" | "removed" | "changed";
  /** Slash path relative to the root. */
  readonly path: string;
}

/** After so many entries the caller may do something else. */
const ENTRIES_PER_STEP = 500;
const QUIET = { throwIfNoEntry: false } as const;

/** Whether every entry of a manifest is there, as it was. What else may be there does not matter. */
export function* compareRows(
  root: string,
  { facts, rows, paths }: Manifest,
): Generator<void, TreeDifference | undefined> {
  const folders = new RestoreFolders(root, root);
  for (const [index, path] of paths.entries()) {
    if (index % ENTRIES_PER_STEP === ENTRIES_PER_STEP - 1) yield;
    const place = folders.existing(path);
    const now = place === undefined ? undefined : lstatSync(place, QUIET);
    if (place === undefined || now === undefined) return { what: "removed", path };
    const was = rows.found(index);
    if (was === undefined || !isUnchanged(place, now, was, facts.takenAtMs)) return { what: "changed", path };
  }
  return undefined;
}

/** Whether some paths, which stand for themselves and everything below them, hold what a manifest says, and nothing else. */
export function* compareWalk(
  root: string,
  paths: readonly string[],
  manifest: Manifest,
): Generator<void, TreeDifference | undefined> {
  const comparison = yield* Comparison.open(root, manifest);
  let visited = 0;
  // A link that leads nowhere is not found by its name, as when files are selected.
  const waiting = paths.filter((path) => statSync(placeOf(root, path), QUIET) !== undefined).toReversed();
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (++visited % ENTRIES_PER_STEP === 0) yield;
    const now = lstatSync(placeOf(root, path), QUIET);
    if (now === undefined || !isArchived(now)) continue;
    const difference = comparison.compare(path, now);
    if (difference !== undefined) return difference;
    if (!now.isDirectory()) continue;
    const names = namesIn(root, path);
    if (names === undefined) return { what: "changed", path };
    for (const name of names) waiting.push(path === "." ? name : `${path}/${name}`);
  }
  return comparison.missing();
}

/** The same for entries that somebody has listed already. */
export function* compareList(
  root: string,
  list: ManifestRows,
  manifest: Manifest,
): Generator<void, TreeDifference | undefined> {
  const comparison = yield* Comparison.open(root, manifest);
  for (let index = 0; index < list.count; index += 1) {
    if (index % ENTRIES_PER_STEP === ENTRIES_PER_STEP - 1) yield;
    const path = list.path(index);
    const now = lstatSync(placeOf(root, path), QUIET);
    if (now === undefined) continue;
    const difference = comparison.compare(path, now);
    if (difference !== undefined) return difference;
  }
  return comparison.missing();
}

class Comparison {
  readonly #root: string;
  readonly #rows: ManifestRows;
  readonly #takenAtMs: number;
  readonly #indexes: ReadonlyMap<string, number>;
  readonly #met: Uint8Array;

  static *open(root: string, manifest: Manifest): Generator<void, Comparison> {
    const indexes = new Map<string, number>();
    for (const [index, path] of manifest.paths.entries()) {
      if (index % ENTRIES_PER_STEP === ENTRIES_PER_STEP - 1) yield;
      indexes.set(path, index);
    }
    return new Comparison(root, manifest, indexes);
  }

  private constructor(root: string, { facts, rows }: Manifest, indexes: ReadonlyMap<string, number>) {
    this.#root = root;
    this.#rows = rows;
    this.#takenAtMs = facts.takenAtMs;
    this.#indexes = indexes;
    this.#met = new Uint8Array(rows.count);
  }

  compare(path: string, now: Stats): TreeDifference | undefined {
    const index = this.#indexes.get(path);
    if (index === undefined) return { what: "added", path };
    // Paths may overlap.
    if (this.#met[index] === 1) return undefined;
    this.#met[index] = 1;
    const was = this.#rows.found(index);
    const isSame = was !== undefined && isUnchanged(placeOf(this.#root, path), now, was, this.#takenAtMs);
    return isSame ? undefined : { what: "changed", path };
  }

  /** What the manifest has and nobody met. */
  missing(): TreeDifference | undefined {
    const index = this.#met.indexOf(0);
    return index === -1 ? undefined : { what: "removed", path: this.#rows.path(index) };
  }
}

function placeOf(root: string, path: string): string | Buffer {
  return toFileSystemPath(`${root}/${path}`);
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
