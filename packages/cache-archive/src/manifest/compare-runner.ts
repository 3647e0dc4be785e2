import { lstatSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

import type { JobControl } from "../engine/control.ts";
import type { TaskHandler } from "../engine/task.ts";
import type { UnitRunner } from "../engine/unit-runner.ts";
import { toFileSystemPath } from "../path-bytes.ts";
import { inTurns } from "../turn.ts";
import { FolderComparison } from "./compare-folders.ts";
import { compareList, compareRows, compareWalk } from "./compare-tree.ts";
import type { TreeDifference } from "./compare-tree.ts";
import { isSameFile, readManifest } from "./manifest-file.ts";
import type { FileIdentity, Manifest } from "./manifest-file.ts";
import { ManifestRows } from "./manifest-rows.ts";
import type { SharedRows } from "./manifest-rows.ts";

/** Compares a tree with a manifest, in {@link COMPARE_UNITS} units. */
export interface CompareTask {
  readonly kind: "compare-tree";
  /** Without links. */
  readonly root: string;
  /** What the tree is compared with the manifest of. */
  readonly archive: FileIdentity;
  readonly manifestPath: string;
  /** What the tree has to hold, and nothing else; undefined when it may hold more than the manifest says. */
  readonly content: { readonly paths: readonly string[] } | { readonly list: SharedRows } | undefined;
  /** Of {@link makeAgreement}. */
  readonly agreement: SharedArrayBuffer;
}

/** What a participant that found something has to say; `unknown` when nothing is known of this tree and this archive. */
export type CompareResult = TreeDifference | "unknown" | undefined;

/** More than threads, so that all end at about the same time. */
export const COMPARE_UNITS: number = 64;

const DIGEST_WORDS = 8;

/** What participants have to agree on: the digest of the manifest, which each of them reads, and how many entries it says. */
export function makeAgreement(): SharedArrayBuffer {
  return new SharedArrayBuffer(DIGEST_WORDS * 4 + 8);
}

/** How many entries the archive has, when somebody has read the manifest. */
export function agreedEntries(agreement: SharedArrayBuffer): number {
  return new Float64Array(agreement, DIGEST_WORDS * 4, 1)[0] ?? 0;
}

export const compareHandler: TaskHandler<CompareTask> = {
  kinds: ["compare-tree"],
  open: (task, control) => new CompareRunner(task, control),
};

/** Compares one part of the manifest. */
type ComparePart = (unit: number) => Generator<void, TreeDifference | undefined>;

class CompareRunner implements UnitRunner {
  readonly #task: CompareTask;
  readonly #control: JobControl;
  #compare: ComparePart | undefined;
  result: CompareResult;

  constructor(task: CompareTask, control: JobControl) {
    this.#task = task;
    this.#control = control;
  }

  run(unit: number): Promise<void> | undefined {
    const steps = this.#steps(unit);
    if (isMainThread) return inTurns(steps, undefined);
    while (steps.next().done !== true);
    return undefined;
  }

  settle(): void {
    // Nothing is held back.
  }

  *#steps(unit: number): Generator<void, void> {
    this.#compare ??= yield* this.#open();
    this.result = this.#compare === undefined ? "unknown" : yield* this.#until(this.#compare(unit));
    // One difference is enough.
    if (this.result !== undefined) this.#control.abort();
    this.#control.finish();
  }

  /** Gives up when another participant has found something. */
  *#until(steps: Generator<void, TreeDifference | undefined>): Generator<void, TreeDifference | undefined> {
    for (;;) {
      const { done, value } = steps.next();
      if (done === true) return value;
      if (this.#control.isAborted) return undefined;
      yield;
    }
  }

  *#open(): Generator<void, ComparePart | undefined> {
    const { root, content } = this.#task;
    const manifest = readManifest(toFileSystemPath(this.#task.manifestPath));
    yield;
    if (manifest === undefined || !isAbout(manifest, this.#task) || !agrees(manifest, this.#task.agreement)) {
      return undefined;
    }
    const whole =
      (steps: ComparePart): ComparePart =>
      (unit) =>
        unit === 0 ? steps(unit) : nothing();
    if (content === undefined) {
      return (unit) => compareRows(root, manifest, ...rangeOf(unit, manifest.rows.count));
    }
    if ("list" in content) return whole(() => compareList(root, new ManifestRows(content.list), manifest));
    const comparison = yield* FolderComparison.open(root, content.paths, manifest);
    if (comparison === undefined) return whole(() => compareWalk(root, content.paths, manifest));
    return (unit) => compareFolders(comparison, content.paths, unit);
  }
}

function* compareFolders(
  comparison: FolderComparison,
  paths: readonly string[],
  unit: number,
): Generator<void, TreeDifference | undefined> {
  const difference = unit === 0 ? comparison.comparePaths(paths) : undefined;
  return difference ?? (yield* comparison.compareFolders(...rangeOf(unit, comparison.folders)));
}

function* nothing(): Generator<void, undefined> {
  // Another unit does all of it.
}

function rangeOf(unit: number, count: number): [from: number, to: number] {
  return [Math.floor((unit * count) / COMPARE_UNITS), Math.floor(((unit + 1) * count) / COMPARE_UNITS)];
}

function isAbout({ facts }: Manifest, { root, archive }: CompareTask): boolean {
  const folder = lstatSync(toFileSystemPath(root), { throwIfNoEntry: false });
  return isSameFile(archive, facts.archive) && folder?.dev === facts.root.device && folder.ino === facts.root.inode;
}

/** Whether every participant has read the same: parts of two manifests prove nothing. */
function agrees({ digest, facts }: Manifest, agreement: SharedArrayBuffer): boolean {
  const words = new Int32Array(agreement, 0, DIGEST_WORDS);
  const own = Buffer.from(digest, "latin1");
  for (let word = 0; word < DIGEST_WORDS; word += 1) {
    const value = own.readInt32LE(4 * word);
    const before = Atomics.compareExchange(words, word, 0, value);
    if (before !== 0 && before !== value) return false;
  }
  new Float64Array(agreement, DIGEST_WORDS * 4, 1)[0] = facts.entries;
  return true;
}
