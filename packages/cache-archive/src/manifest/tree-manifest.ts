import { fstatSync, realpathSync, statSync } from "node:fs";
import { lstat } from "node:fs/promises";

import type { ArchiveFile } from "../archive-file.ts";
import { makeControl } from "../engine/control.ts";
import { WorkersUnavailable } from "../engine/pool.ts";
import { DEFAULT_MAX_INLINE_MS, runInline, runTask } from "../engine/run-task.ts";
import { CacheArchiveError, toArchiveError } from "../errors.ts";
import { isCleanPath, pathFromBytes, toFileSystemPath } from "../path-bytes.ts";
import { inTurns } from "../turn.ts";
import type { ArchiveEntry, CompareTreeOptions, TreeState } from "../types.ts";
import { identityOf } from "./manifest-file.ts";
import { ManifestRows } from "./manifest-rows.ts";
import type { SharedRows } from "./manifest-rows.ts";
import { treeHandler } from "./tree-runner.ts";
import type { PackedTree, TreeComparison, TreeTask } from "./tree-task.ts";

/** Rough cost of one thread, to choose where to work. */
const MS_PER_ENTRY = 0.006;
/** Of a manifest; paths are rarely shorter. */
const BYTES_PER_ENTRY = 100;

/** How a tree was, for {@link recordTree}. */
export interface ObservedTree {
  readonly takenAtMs: number;
  readonly rows: SharedRows | PackedTree;
}

/** As the package has it, loaded when it is needed. */
export async function compareTree(options: CompareTreeOptions): Promise<TreeState> {
  const { root, archivePath, manifestPath, maxInlineMs = DEFAULT_MAX_INLINE_MS, signal } = options;
  signal?.throwIfAborted();
  try {
    const content =
      "entries" in options ? { list: await shareEntries(options.entries, signal) } : cleanPaths(options.paths);
    const found = statSync(toFileSystemPath(archivePath), { throwIfNoEntry: false });
    if (found === undefined) return { state: "unknown" };
    const archive = identityOf(found);
    const task = { kind: "compare-tree" as const, root: realPathOf(root), archive, manifestPath, content };
    const entries = await entriesOf(manifestPath);
    const comparison = (await runTree(task, { entries, maxInlineMs, signal })) as TreeComparison;
    if (comparison === undefined) return { state: "unknown" };
    const { difference } = comparison;
    return difference === undefined ? { state: "unchanged" } : { state: "changed", ...difference };
  } catch (error) {
    signal?.throwIfAborted();
    throw toArchiveError(error, `compare ${root} with ${manifestPath}`);
  }
}

/** @returns how many entries the archive has when all of them are in the root already, as they were restored or archived */
export async function entriesInPlace(job: TreeJob): Promise<number | undefined> {
  const { file, manifestPath } = job;
  const root = realPathIfThere(job.root);
  const entries = await entriesOf(manifestPath);
  if (root === undefined || entries === 0) return undefined;
  const archive = identityOf(fstatSync(file.descriptor));
  const task = { kind: "compare-tree" as const, root, archive, manifestPath, content: undefined };
  const comparison = (await runTree(task, { ...job, entries })) as TreeComparison;
  return comparison !== undefined && comparison.difference === undefined ? comparison.entries : undefined;
}

/** How everything that is going to be archived is now. */
export async function observeTree(
  job: Omit<TreeJob, "file" | "manifestPath">,
  entries: readonly ArchiveEntry[],
): Promise<ObservedTree> {
  const takenAtMs = Date.now();
  const rows = await shareEntries(entries, job.signal);
  const task = { kind: "observe-tree" as const, root: realPathOf(job.root), rows };
  await runTree(task, { ...job, entries: entries.length });
  return { takenAtMs, rows };
}

/**
 * Writes the manifest of an archive and its tree.
 *
 * @param job.observed - the tree before it was archived; undefined for one that was just restored
 * @returns why there is none now, if there is none
 */
export async function recordTree(job: RecordJob): Promise<CacheArchiveError | undefined> {
  const { root, file, isTar, manifestPath, observed } = job;
  const attempt = `write the manifest ${manifestPath}`;
  try {
    const takenAtMs = observed?.takenAtMs ?? Date.now();
    const facts = { root: realPathOf(root), file, isTar, manifestPath, observed: observed?.rows, takenAtMs };
    const isWritten = await runTree({ kind: "record-tree", ...facts }, { ...job, signal: undefined });
    if (isWritten === true) return undefined;
    const message = `${attempt}: the archive has no index`;
    return new CacheArchiveError({ code: "unsupported-format", message });
  } catch (error) {
    return toArchiveError(error, attempt);
  }
}

/** A tree, and what it is the tree of. */
export interface TreeJob {
  readonly root: string;
  /** The very archive that was written or is restored: its name may stand for another one by now. */
  readonly file: ArchiveFile;
  readonly manifestPath: string;
  readonly maxInlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Without a signal: what it describes is in its place already, so an abort comes too late. */
interface RecordJob extends Omit<TreeJob, "signal"> {
  readonly isTar: boolean;
  readonly observed: ObservedTree | undefined;
  readonly entries: number;
}

async function runTree(
  task: TreeTask,
  { entries, maxInlineMs, signal }: Pick<TreeJob, "maxInlineMs" | "signal"> & Pick<RecordJob, "entries">,
): Promise<unknown> {
  const run = { task, handler: treeHandler, concurrency: 1, estimatedMs: entries * MS_PER_ENTRY, maxInlineMs, signal };
  try {
    return await runTask({ ...run, control: makeControl(1) });
  } catch (error) {
    if (!(error instanceof WorkersUnavailable)) throw error;
    return await runInline({ ...run, control: makeControl(1) });
  }
}

/** About how many entries a manifest has; 0 when there is none. */
async function entriesOf(manifestPath: string): Promise<number> {
  try {
    return Math.ceil((await lstat(toFileSystemPath(manifestPath))).size / BYTES_PER_ENTRY);
  } catch {
    // Whoever reads it tells why it cannot be read.
    return 0;
  }
}

async function shareEntries(entries: readonly ArchiveEntry[], signal: AbortSignal | undefined): Promise<SharedRows> {
  return await inTurns(
    ManifestRows.share(entries.length, (index) => entries[index]?.path ?? ""),
    signal,
  );
}

/** As files are selected: a slash at the end means nothing. */
function cleanPaths(paths: readonly string[]): { readonly paths: readonly string[] } {
  const clean = paths.map((path) => path.replace(/^\.\/+/, "").replace(/\/+$/, ""));
  const unclean = clean.find((path) => !isCleanPath(path));
  if (unclean !== undefined) throw new TypeError(`"${unclean}" is not a path below the root`);
  return { paths: clean };
}

function realPathOf(path: string): string {
  return pathFromBytes(realpathSync(toFileSystemPath(path), { encoding: "buffer" }));
}

function realPathIfThere(path: string): string | undefined {
  try {
    return realPathOf(path);
  } catch {
    // The restore makes it, or tells why it cannot.
    return undefined;
  }
}
