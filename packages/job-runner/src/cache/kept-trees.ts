import { lstat, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { compareTree } from "@fleetfoot/cache-archive";
import type { JobCache } from "@fleetfoot/coordinator-client";

import type { JobLog } from "../job-log.ts";
import { treeManifestPath } from "./archive-files.ts";
import { isWhole } from "./entries.ts";
import { removeTree } from "../remove-tree.ts";
import { TreesAside, bare } from "./trees-aside.ts";

/** In the repository's own folder, so that it goes when the repository goes. */
const RECORD = ".git/fleetfoot-restored";
/** A tree that so many jobs in a row did not want is given up. */
const MAX_JOBS_ASIDE = 16;

/** What was restored into a working copy from one archive. */
interface RestoredTree {
  readonly paths: readonly string[];
  /** Tells this archive from every other one that lay or will lie in its place. */
  readonly archive: string;
  /** How many jobs in a row did not want it and found it aside; 0 for a tree that is in its place. */
  readonly jobsAside: number;
}

interface RestoreRecord {
  /** The job whose cleaning left exactly these trees; undefined after its restore. */
  readonly job: number | undefined;
  readonly trees: readonly RestoredTree[];
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
    const { trees } = await this.#read();
    if (trees.length === 0) return [];
    const isWanted = ({ paths }: RestoredTree): boolean =>
      entries.some((entry) => isWhole(entry) && sameList(entry.paths, paths));
    const waiting = await this.#setAside(trees.filter((tree) => !isWanted(tree)));
    const kept = await this.#putInPlace(trees.filter(isWanted));
    // What is left without a record would never be removed, so without one nothing is left.
    const isRecorded = await this.#write({ job: this.#job, trees: [...kept, ...waiting] });
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

  /** Whether what an entry would get from an archive is there already, and as it was restored. */
  async isRestored(entry: JobCache, archivePath: string): Promise<boolean> {
    const tree = await this.#keptOf(entry);
    if (tree === undefined || tree.archive !== (await archiveIdentity(archivePath))) return false;
    const root = this.#project;
    const manifestPath = treeManifestPath(archivePath, root);
    const { state } = await compareTree({ root, archivePath, manifestPath, paths: tree.paths.map(bare) });
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
    const aside = (await this.#read()).trees.filter(({ jobsAside }) => jobsAside > 0);
    await this.#write({ job: undefined, trees: [...trees, ...aside] });
  }

  async #keptOf(entry: JobCache): Promise<RestoredTree | undefined> {
    const { job, trees } = await this.#read();
    if (job !== this.#job) return undefined;
    return trees.find(({ paths, jobsAside }) => jobsAside === 0 && sameList(entry.paths, paths));
  }

  async #read(): Promise<RestoreRecord> {
    try {
      return readRecord(JSON.parse(await readFile(join(this.#project, RECORD), "utf8")));
    } catch {
      // Without a record that can be read nothing is kept, which costs time and nothing else.
      return NOTHING_KEPT;
    }
  }

  /** @returns false when there is no repository to keep it in, or no room */
  async #write(record: RestoreRecord): Promise<boolean> {
    try {
      await writeFile(join(this.#project, RECORD), JSON.stringify(record));
      return true;
    } catch {
      return false;
    }
  }
}

const NOTHING_KEPT: RestoreRecord = { job: undefined, trees: [] };

/** The file lies where jobs can write, so its content is anybody's. */
function readRecord(value: unknown): RestoreRecord {
  if (typeof value !== "object" || value === null || !("trees" in value) || !Array.isArray(value.trees)) {
    return NOTHING_KEPT;
  }
  const job = "job" in value && typeof value.job === "number" ? value.job : undefined;
  return { job, trees: value.trees.filter(isTree) };
}

function isTree(value: unknown): value is RestoredTree {
  if (typeof value !== "object" || value === null) return false;
  const { paths, archive, jobsAside } = value as Partial<RestoredTree>;
  return (
    Array.isArray(paths) && isWhole({ key: "", paths }) && typeof archive === "string" && typeof jobsAside === "number"
  );
}

function sameList(left: readonly string[] = [], right: readonly string[]): boolean {
  return left.length === right.length && left.every((path, index) => path === right[index]);
}

async function archiveIdentity(path: string): Promise<string | undefined> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await lstat(path, { bigint: true });
    return `${path} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch {
    // Gone in the meantime: then nothing can be from it.
    return undefined;
  }
}
