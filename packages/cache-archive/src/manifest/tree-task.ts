import { fstatSync, lstatSync } from "node:fs";

import type { ArchiveFile } from "../archive-file.ts";
import { EntryTable } from "../engine/entry-table.ts";
import type { SharedEntries } from "../engine/entry-table.ts";
import { FoundTable } from "../engine/found-table.ts";
import { toFileSystemPath } from "../path-bytes.ts";
import { EntryPlaces } from "../restore/entry-places.ts";
import { COLUMN, COLUMNS, OTHER } from "../restore/restore-columns.ts";
import type { RestoreRows } from "../restore/restore-rows.ts";
import type { RestoreTable } from "../restore/restore-table.ts";
import { readFrameIndex } from "../tar/frame-index.ts";
import { inSteps } from "../turn.ts";
import { readDirectory } from "../zip/directory.ts";
import { compareList, compareRows, compareWalk } from "./compare-tree.ts";
import type { TreeDifference } from "./met-rows.ts";
import { lookAt } from "./look.ts";
import { identityOf, isSameFile, readManifest, writeManifest } from "./manifest-file.ts";
import type { FileIdentity, Manifest } from "./manifest-file.ts";
import { ManifestRows } from "./manifest-rows.ts";
import type { SharedRows } from "./manifest-rows.ts";

/** Looks at every entry of a list. */
interface ObserveTask {
  readonly kind: "observe-tree";
  /** Without links. */
  readonly root: string;
  readonly rows: SharedRows;
}

/** Writes the manifest of an archive and the tree that it was made of, or that was made of it. */
interface RecordTask {
  readonly kind: "record-tree";
  readonly root: string;
  readonly file: ArchiveFile;
  readonly isTar: boolean;
  readonly manifestPath: string;
  /** How the tree was before it was archived; undefined for a tree that was just restored. */
  readonly observed: SharedRows | PackedTree | undefined;
  readonly takenAtMs: number;
}

/** What was packed, and how it was found right before. */
export interface PackedTree {
  readonly entries: SharedEntries;
  readonly found: SharedArrayBuffer;
}

/** Compares a tree with a manifest. */
interface CompareTask {
  readonly kind: "compare-tree";
  readonly root: string;
  /** What the tree is compared with the manifest of. */
  readonly archive: FileIdentity;
  readonly manifestPath: string;
  /** What the tree has to hold, and nothing else; undefined when it may hold more than the manifest says. */
  readonly content: { readonly paths: readonly string[] } | { readonly list: SharedRows } | undefined;
}

export type TreeTask = ObserveTask | RecordTask | CompareTask;

/** Undefined when nothing is known of this tree and this archive. */
export type TreeComparison = { readonly difference: TreeDifference | undefined; readonly entries: number } | undefined;

/** After so many entries the caller may do something else. */
const ENTRIES_PER_STEP = 500;

/** In steps of less than a few milliseconds. */
export function treeSteps(task: TreeTask): Generator<void, unknown> {
  switch (task.kind) {
    case "observe-tree":
      return observe(task);
    case "record-tree":
      return record(task);
    case "compare-tree":
      return compare(task);
    default:
      throw new TypeError("unknown task");
  }
}

function* observe({ root, rows: shared }: ObserveTask): Generator<void, undefined> {
  const rows = new ManifestRows(shared);
  yield* inSteps(rows.count, ENTRIES_PER_STEP, (index) => {
    const found = lookAt(toFileSystemPath(`${root}/${rows.path(index)}`));
    if (found !== undefined) rows.setFound(index, found);
  });
  return undefined;
}

/** @returns whether it could be written: an archive without an index tells too little */
function* record(task: RecordTask): Generator<void, boolean> {
  const { root, file, manifestPath, takenAtMs } = task;
  const content = yield* contentOf(task);
  if (content === undefined) return false;
  yield;
  // Of what was read or written, whatever its name stands for by now.
  const archive = identityOf(fstatSync(file.descriptor));
  const { dev: device, ino: inode } = lstatSync(toFileSystemPath(root));
  const facts = { archive, root: { device, inode }, takenAtMs, entries: content.entries };
  writeManifest(toFileSystemPath(manifestPath), facts, content.rows);
  return true;
}

/** @returns undefined for an archive without an index */
function* contentOf({
  root,
  file,
  isTar,
  observed,
}: RecordTask): Generator<void, { entries: number; rows: SharedRows } | undefined> {
  if (observed !== undefined && "found" in observed) {
    const entries = new EntryTable(observed.entries);
    return {
      entries: entries.count,
      rows: yield* ManifestRows.ofPacked(entries, new FoundTable(observed.found)),
    };
  }
  const listed = yield* isTar ? readFrameIndex(file) : readDirectory(file);
  if (listed === undefined) return undefined;
  const placed = yield* placesOf(listed.rows);
  // Places that are not the names themselves were added only now.
  const { table, count } = listed.rows;
  const rows = observed ?? (yield* restoredRows(root, table, placed));
  yield* setCrcs(new ManifestRows(rows), table, placed);
  return { entries: count, rows };
}

/** Finds the places of all entries that have one. @returns their indexes */
function* placesOf(rows: RestoreRows): Generator<void, number[]> {
  const places = new EntryPlaces(rows);
  const placed: number[] = [];
  yield* inSteps(rows.count, ENTRIES_PER_STEP, (index) => {
    if (rows.numbers[index * COLUMNS + COLUMN.kind] === OTHER) return;
    places.find(index);
    placed.push(index);
  });
  return placed;
}

function* restoredRows(root: string, table: RestoreTable, placed: readonly number[]): Generator<void, SharedRows> {
  const targetAt = (nth: number): string => table.target(placed[nth] ?? 0);
  const shared = yield* ManifestRows.share(placed.length, targetAt);
  const rows = new ManifestRows(shared);
  yield* inSteps(placed.length, ENTRIES_PER_STEP, (nth) => {
    const found = lookAt(toFileSystemPath(`${root}/${targetAt(nth)}`));
    // What somebody has changed since it was restored is not known to be as in the archive.
    if (found !== undefined && found.mtimeMs === table.metadata(placed[nth] ?? 0).mtimeMs) rows.setFound(nth, found);
  });
  return shared;
}

function* setCrcs(rows: ManifestRows, table: RestoreTable, placed: readonly number[]): Generator<void, void> {
  const files = new Map<string, number>();
  yield* inSteps(placed.length, ENTRIES_PER_STEP, (nth) => {
    const index = placed[nth] ?? 0;
    if (table.metadata(index).kind === "file") files.set(table.target(index), index);
  });
  yield* inSteps(rows.count, ENTRIES_PER_STEP, (index) => {
    const file = files.get(rows.path(index));
    const found = rows.found(index);
    if (file === undefined || found === undefined) return;
    if (found.bytes === table.bytes(file)) rows.setCrc(index, table.facts(file).crc);
    else rows.forget(index);
  });
}

function* compare(task: CompareTask): Generator<void, TreeComparison> {
  const { root, content } = task;
  const manifest = yield* readManifest(toFileSystemPath(task.manifestPath));
  if (manifest === undefined || !isAbout(manifest, task)) return undefined;
  const { entries } = manifest.facts;
  if (content === undefined) return { difference: yield* compareRows(root, manifest), entries };
  if ("paths" in content) return { difference: yield* compareWalk(root, content.paths, manifest), entries };
  return { difference: yield* compareList(root, new ManifestRows(content.list), manifest), entries };
}

function isAbout({ facts }: Manifest, { root, archive }: CompareTask): boolean {
  const folder = lstatSync(toFileSystemPath(root), { throwIfNoEntry: false });
  return isSameFile(archive, facts.archive) && folder?.dev === facts.root.device && folder.ino === facts.root.inode;
}
