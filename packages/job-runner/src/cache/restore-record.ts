import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { readPlainFile } from "../plain-files.ts";
import { removeTree } from "../remove-tree.ts";
import { isWhole } from "./entries.ts";
import { repositoryFolder } from "./repository-folder.ts";

/** In the repository's own folder, so that it goes when the repository goes. */
const NAME = "fleetfoot-restored";
/** Until it is complete. */
const FRESH_NAME = "fleetfoot-restored.new";

/** What was restored into a working copy from one archive. */
export interface RestoredTree {
  readonly paths: readonly string[];
  /** Tells this archive from every other one that lay or will lie in its place. */
  readonly archive: string;
  /** How many jobs in a row did not want it and found it aside; 0 for a tree that is in its place. */
  readonly jobsAside: number;
}

/** What is known of the caches in a working copy. */
export interface RestoreRecord {
  /** The job whose cleaning left exactly these trees; undefined after its restore. */
  readonly job: number | undefined;
  readonly trees: readonly RestoredTree[];
}

export async function readRestoreRecord(project: string): Promise<RestoreRecord> {
  try {
    const path = join(await repositoryFolder(project), NAME);
    return checkedRecord(JSON.parse((await readPlainFile(path)) ?? ""));
  } catch {
    // Without a record that can be read nothing is kept, which costs time and nothing else.
    return NOTHING_KEPT;
  }
}

/** @returns false when there is no repository to keep it in, or no room */
export async function writeRestoreRecord(project: string, record: RestoreRecord): Promise<boolean> {
  try {
    const folder = await repositoryFolder(project);
    const fresh = join(folder, FRESH_NAME);
    // Left by a crash, or put there by a job. What has the record's name may be a link, so it is replaced, never written to.
    await removeTree(fresh);
    await writeFile(fresh, JSON.stringify(record), { flag: "wx" });
    await rename(fresh, join(folder, NAME));
    return true;
  } catch {
    return false;
  }
}

const NOTHING_KEPT: RestoreRecord = { job: undefined, trees: [] };

/** The file lies where jobs can write, so its content is anybody's. */
function checkedRecord(value: unknown): RestoreRecord {
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
