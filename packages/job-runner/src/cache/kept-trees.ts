import { join } from "node:path";

import type { compareTree } from "@fleetfoot/cache-archive";
import type { JobCache } from "@fleetfoot/coordinator-client";

import type { JobLog } from "../job-log.ts";
import { removeTree } from "../remove-tree.ts";
import { archiveIdentity, treeManifestPath } from "./archive-files.ts";
import { isWhole } from "./entries.ts";
import { readRestoreRecord, writeRestoreRecord } from "./restore-record.ts";
import type { RestoredTree } from "./restore-record.ts";
import { TreesAside, bare } from "./trees-aside.ts";

/** A tree that so many jobs in a row did not want is given up. */
const MAX_JOBS_ASIDE = 16;

interface CompareOptions {
  readonly signal: AbortSignal;
  readonly archiver: { readonly compareTree: typeof compareTree };
}

/**
 * Caches that a working copy has already, from the jobs before. Restoring one that nobody has touched since would write the same files
 * again, after `git clean` has removed them. What the next job does not want is set aside for one that does.
 */
export class KeptTrees {
  readonly #project: string;
  readonly #job: number;
  readonly #log: Pick<JobLog, "warning">;
  readonly #aside: TreesAside;
  readonly #confirmed: RestoredTree[] = [];

  /**
   * @param job - id of the job that the working copy is for now
   * @param log - told what could not be removed
   */
  constructor(project: string, job: number, log: Pick<JobLog, "warning">) {
    this.#project = project;
    this.#job = job;
    this.#log = log;
    this.#aside = new TreesAside(project);
  }

  /**
   * Chooses what the cleaning of the working copy may leave: trees that this job may restore, too. All others are set aside, or given
   * up. Comes before the checkout, which puts back what the repository has at the same places.
   *
   * @returns their paths, literal and relative to the project
   */
  async choose(entries: readonly JobCache[]): Promise<readonly string[]> {
    const { trees } = await readRestoreRecord(this.#project);
    if (trees.length === 0) return [];
    const isWanted = ({ paths }: RestoredTree): boolean =>
      entries.some((entry) => isWhole(entry) && sameList(entry.paths, paths));
    const waiting = await this.#setAside(trees.filter((tree) => !isWanted(tree)));
    const kept = await this.#putInPlace(trees.filter(isWanted));
    // What is left without a record would never be removed, so without one nothing is left.
    const isRecorded = await writeRestoreRecord(this.#project, { job: this.#job, trees: [...kept, ...waiting] });
    const failures = await this.#aside.removeAllBut(isRecorded ? waiting.map(({ paths }) => paths) : []);
    this.#warn(failures);
    return isRecorded ? kept.flatMap(({ paths }) => paths) : [];
  }

  async #setAside(trees: readonly RestoredTree[]): Promise<readonly RestoredTree[]> {
    const waiting: RestoredTree[] = [];
    for (const tree of trees) {
      const isAside = tree.jobsAside > 0 || (await this.#aside.take(tree.paths));
      // The cleaning would fail where a folder may not be written to, which is one reason for not moving it.
      if (!isAside) this.#warn(await this.#removeAll(tree));
      if (isAside && tree.jobsAside < MAX_JOBS_ASIDE) waiting.push({ ...tree, jobsAside: tree.jobsAside + 1 });
    }
    return waiting;
  }

  async #putInPlace(trees: readonly RestoredTree[]): Promise<readonly RestoredTree[]> {
    const kept: RestoredTree[] = [];
    for (const tree of trees) {
      if (tree.jobsAside === 0 || (await this.#aside.giveBack(tree.paths))) kept.push({ ...tree, jobsAside: 0 });
    }
    return kept;
  }

  /**
   * Whether what an entry would get from an archive is there already, and as it was restored.
   *
   * @throws the signal's reason when it aborts
   */
  async isRestored(entry: JobCache, archivePath: string, { signal, archiver }: CompareOptions): Promise<boolean> {
    const tree = await this.#keptOf(entry);
    if (tree === undefined || tree.archive !== (await archiveIdentity(archivePath))) return false;
    const root = this.#project;
    const manifestPath = treeManifestPath(archivePath, root);
    const paths = tree.paths.map(bare);
    const { state } = await archiver.compareTree({ root, archivePath, manifestPath, paths, signal });
    if (state !== "unchanged") return false;
    this.#confirmed.push(tree);
    return true;
  }

  /**
   * Removes what the cleaning left for an entry, because it gets something else, or nothing. What could not be removed is told to the log, and
   * the cleaning before the next job does not leave it.
   *
   * @returns whether nothing is left
   */
  async remove(entry: JobCache): Promise<boolean> {
    const tree = await this.#keptOf(entry);
    const failures = tree === undefined ? [] : await this.#removeAll(tree);
    this.#warn(failures);
    return failures.length === 0;
  }

  async #removeAll({ paths }: RestoredTree): Promise<readonly unknown[]> {
    const ends = await Promise.allSettled(paths.map((path) => removeTree(join(this.#project, bare(path)))));
    return ends.filter((end) => end.status === "rejected").map(({ reason }): unknown => reason);
  }

  #warn(failures: readonly unknown[]): void {
    for (const failure of failures) {
      const reason = failure instanceof Error ? failure.message : String(failure);
      this.#log.warning(`A cache of an earlier job could not be removed: ${reason}`);
    }
  }

  /** Remembers what was restored, for the job after this one. */
  async remember(restored: readonly { readonly entry: JobCache; readonly archivePath: string }[]): Promise<void> {
    const trees = [...this.#confirmed];
    for (const { entry, archivePath } of restored.filter((candidate) => isWhole(candidate.entry))) {
      const { paths = [] } = entry;
      if (this.#confirmed.some((tree) => sameList(tree.paths, paths))) continue;
      const archive = await archiveIdentity(archivePath);
      if (archive !== undefined) trees.push({ paths, archive, jobsAside: 0 });
    }
    const aside = (await readRestoreRecord(this.#project)).trees.filter(({ jobsAside }) => jobsAside > 0);
    await writeRestoreRecord(this.#project, { job: undefined, trees: [...trees, ...aside] });
  }

  async #keptOf(entry: JobCache): Promise<RestoredTree | undefined> {
    const { job, trees } = await readRestoreRecord(this.#project);
    if (job !== this.#job) return undefined;
    return trees.find(({ paths, jobsAside }) => jobsAside === 0 && sameList(entry.paths, paths));
  }
}

function sameList(left: readonly string[] = [], right: readonly string[]): boolean {
  return left.length === right.length && left.every((path, index) => path === right[index]);
}
