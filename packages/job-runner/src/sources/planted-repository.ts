import type { Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

import { TREES_ASIDE } from "../cache/trees-aside.ts";
import type { JobLog } from "../job-log.ts";
import { openPlainFile } from "../plain-files.ts";
import { removeTree } from "../remove-tree.ts";
import { isAbsent } from "../system-errors.ts";

/**
 * Removes a repository that git must not go on with: with anything but files and folders in it, with one of these where git has the other, or with
 * the name of another repository to write to; the repositories of submodules included. Git follows and waits for whatever it finds there, and a job
 * can have made that lead to what only the runner may read or write.
 *
 * @returns whether there was one
 */
export async function removePlantedRepository(project: string, options: PlantedOptions): Promise<boolean> {
  const own = join(project, ".git");
  const found = await findPlanted(own, options);
  if (found === undefined) return false;
  options.log.warning(WARNINGS[found]);
  await removeTree(own);
  return true;
}

/** What is said of a repository that uses the objects of another one. */
export const BORROWED_WARNING: string =
  "The repository uses the objects of another one (objects/info/alternates). It will be made anew, since it is to use nothing that a job " +
  "may have named; a runner that is to lend objects to all its jobs names their folder in GIT_ALTERNATE_OBJECT_DIRECTORIES.";

export interface PlantedOptions {
  /** Whether nothing stays of what earlier jobs have said to git; then other objects in the place of those of commits count as well. */
  readonly cleans: boolean;
  /** Whether objects may be in the folder of another repository. */
  readonly borrows: boolean;
  /** Told of what is removed. */
  readonly log: Pick<JobLog, "warning">;
}

type Planted = "something else" | "another's objects";

const WARNINGS: Readonly<Record<Planted, string>> = {
  "something else":
    "A job has put something else in the place of the repository, or of a part of it. It will be made anew.",
  // Whoever runs the runner may have done it as well as a job.
  "another's objects": BORROWED_WARNING,
};

async function findPlanted(own: string, { borrows, cleans }: PlantedOptions): Promise<Planted | undefined> {
  const isFolder = await lstat(own).then(
    (found) => found.isDirectory(),
    (error: unknown) => {
      if (isAbsent(error)) return undefined;
      throw error;
    },
  );
  if (isFolder === undefined) return undefined;
  if (!isFolder) return "something else";
  const waiting: Folder[] = [{ path: own, kind: "repository" }];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const { path } = folder;
    const entries = await entriesOf(path);
    if (entries === undefined) return "something else";
    const isModule = folder.kind === "unknown" && entries.some(({ name }) => name === "HEAD");
    const kind = isModule ? "repository" : folder.kind;
    if (entries.some((entry) => isMisplaced(kind, entry))) return "something else";
    if (kind === "objects-info" && !borrows && entries.some(({ name }) => BORROWED.has(name)))
      return "another's objects";
    if (kind === "repository" && cleans && (await replacesObjects(join(path, "packed-refs")))) return "something else";
    for (const entry of entries) {
      const inner = entry.isDirectory() ? kindBelow(kind, entry.name) : undefined;
      if (inner !== undefined) waiting.push({ path: join(path, entry.name), kind: inner });
    }
  }
  return undefined;
}

/** What a folder is to git. An unknown one is that of a submodule if it has a `HEAD`: names of submodules have slashes in them. */
type Kind = "repository" | "unknown" | "objects" | "objects-info" | "content";

interface Folder {
  readonly path: string;
  readonly kind: Kind;
}

/** @returns nothing for a folder that the runner cannot look into, and so git cannot either */
async function entriesOf(path: string): Promise<readonly Dirent[] | undefined> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (error instanceof Error && "code" in error && UNREADABLE.has(error.code)) return undefined;
    throw error;
  }
}

/** `ENOENT` is what a name that is no text comes to. */
const UNREADABLE: ReadonlySet<unknown> = new Set(["EACCES", "ENAMETOOLONG", "ENOENT", "ENOTDIR"]);

/** References to replacements that have been packed; the others lie in a folder of their own. @see https://git-scm.com/docs/git-replace */
async function replacesObjects(packedReferences: string): Promise<boolean> {
  const file = await openPlainFile(packedReferences);
  if (file === undefined) return false;
  let last = "";
  for await (const chunk of file.createReadStream({ encoding: "latin1" })) {
    const text = `${last}${chunk}`;
    if (text.includes(REPLACEMENTS)) return true;
    last = text.slice(1 - REPLACEMENTS.length);
  }
  return false;
}

const REPLACEMENTS = " refs/replace/";

function isMisplaced(kind: Kind, entry: Dirent): boolean {
  const isFile = entry.isFile();
  if (kind === "repository" && entry.isSocket() && entry.name === MONITOR) return false;
  if (!isFile && !entry.isDirectory()) return true;
  if (kind === "unknown") return isFile && entry.name === COMMON_DIRECTORY;
  if (kind !== "repository") return false;
  return entry.name === COMMON_DIRECTORY || (isFile ? FOLDERS : FILES).has(entry.name);
}

/** Of git's file system monitor, to which the runner's git never connects. @see https://git-scm.com/docs/git-fsmonitor--daemon */
const MONITOR = "fsmonitor--daemon.ipc";

/** In it git finds the name of another repository, which it then writes to. @see https://git-scm.com/docs/gitrepository-layout */
const COMMON_DIRECTORY = "commondir";
const FOLDERS: ReadonlySet<string> = new Set(["hooks", "info", "logs", "modules", "objects", "refs"]);
const FILES: ReadonlySet<string> = new Set([
  "FETCH_HEAD",
  "HEAD",
  "ORIG_HEAD",
  "config",
  "index",
  "packed-refs",
  "shallow",
]);

/** In `objects/info`: the folders and addresses of other repositories, in which git looks for what this one lacks. */
const BORROWED: ReadonlySet<string> = new Set(["alternates", "http-alternates"]);

/** @returns nothing for what is not looked into: what jobs have in their caches, where git does not look either */
function kindBelow(kind: Kind, name: string): Kind | undefined {
  if (kind === "repository" && name === TREES_ASIDE) return undefined;
  if (kind === "repository") return OWN_KINDS.get(name) ?? "unknown";
  if (kind === "objects" && name === "info") return "objects-info";
  return kind === "unknown" ? "unknown" : "content";
}

/** References and their logs have whatever names branches have. */
const OWN_KINDS: ReadonlyMap<string, Kind> = new Map([
  ["lfs", "content"],
  ["logs", "content"],
  ["objects", "objects"],
  ["refs", "content"],
  // Those of other working copies name this repository.
  ["worktrees", "content"],
]);
