import { access, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import { openPlainFile } from "../plain-files.ts";
import { removeTree } from "../remove-tree.ts";

/** What a directory holds before its sources are fetched. */
export interface WorkingCopy {
  /** Whether there is a repository in it that git can go on with. */
  readonly usable: boolean;
  /** Whether there is nothing in it at all. */
  readonly empty: boolean;
}

export async function inspectWorkingCopy(project: string): Promise<WorkingCopy> {
  const names = await readdir(project);
  if (!names.includes(".git")) return { usable: false, empty: names.length === 0 };
  const present = await Promise.all(
    ["HEAD", "config", "objects", "refs"].map((name) => exists(join(project, ".git", name))),
  );
  return { usable: present.every(Boolean), empty: false };
}

/**
 * Removes locks that a killed git has left, and the hooks that the runner's own git would run. Not before `removePlantedRepository` has looked:
 * links would be followed.
 *
 * @param modules - whether the repositories of submodules are looked at, too
 */
export async function removeStaleLocks(project: string, modules: boolean): Promise<void> {
  for (const repository of await repositories(project, modules)) {
    await removeAll(repository, [...LOCKS, ...HOOKS]);
    const refs = await readdir(join(repository, "refs"), { recursive: true }).catch(() => []);
    const locked = refs.filter((name) => name.endsWith(".lock"));
    await removeAll(join(repository, "refs"), locked);
  }
}

/**
 * Removes what an earlier job could have said to git: settings and hooks, with which it makes git run its code; other objects in the place of
 * those of a commit; and attributes, by which it changes files on their way into the working copy.
 */
export async function removeSettings(project: string, modules: boolean): Promise<void> {
  for (const repository of await repositories(project, modules)) await removeAll(repository, SETTINGS);
}

/**
 * Removes an index that may have marks of files that git is to leave as they are: then all files are checked out. Git's own settings on the host can make
 * one that is as large and harmless, so it is tried before to write it in the plain form. Not before `removeSettings`: git would obey them.
 *
 * @param rewrite - has git write the index of a repository in one part and in the second version, which has no marks; tells whether it did
 */
export async function removeMarks(
  project: string,
  modules: boolean,
  rewrite: (repository: string) => Promise<boolean>,
): Promise<void> {
  for (const repository of await repositories(project, modules)) {
    const index = join(repository, "index");
    const shared = (await readdir(repository)).filter((name) => name.startsWith("sharedindex."));
    if (shared.length === 0 && !(await marksFiles(index))) continue;
    const isPlain = (await exists(index)) && (await rewrite(repository)) && !(await marksFiles(index));
    await removeAll(repository, isPlain ? shared : ["index", ...shared]);
  }
}

/** Only the later versions of an index can have such marks; git writes the second one for all others. @see https://git-scm.com/docs/index-format */
async function marksFiles(index: string): Promise<boolean> {
  const file = await openPlainFile(index);
  if (file === undefined) return false;
  try {
    const header = Buffer.alloc(8);
    await file.read(header, 0, header.length, 0);
    return header.readUInt32BE(4) !== 2;
  } finally {
    await file.close();
  }
}

async function removeAll(folder: string, names: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => rm(join(folder, name), { force: true, recursive: true })));
}

/** Removes everything but the repository itself, so that a checkout writes every file anew. */
export async function clearWorktree(project: string): Promise<void> {
  const names = await readdir(project).catch(() => []);
  const old = names.filter((name) => name !== ".git");
  await Promise.all(old.map((name) => removeTree(join(project, name))));
}

export async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    // What cannot be reached is not there for us.
    return false;
  }
}

/** Said where a `.gitattributes` of no commit was beside files of one while these were written. */
export const ATTRIBUTES_NOTICE: string =
  "A .gitattributes of the job before may have changed how files were written, so all are checked out again.";

const LOCKS = ["index.lock", "shallow.lock", "HEAD.lock", "config.lock", "packed-refs.lock"];

/** Those of fetching, of checking out and of what git does by itself after a fetch. @see https://git-scm.com/docs/githooks */
const HOOKS = ["post-checkout", "post-index-change", "pre-auto-gc", "reference-transaction"].map(
  (name) => `hooks/${name}`,
);

/** What a repository that was made just now does not have, and git reads. @see https://git-scm.com/docs/gitrepository-layout */
const SETTINGS = ["branches", "config", "config.worktree", "hooks", "info", "refs/replace", "remotes"];

/** The project's repository, and those of its submodules, however deep. */
export async function repositories(project: string, modules: boolean): Promise<string[]> {
  const own = join(project, ".git");
  if (!(await exists(own))) return [];
  return modules ? [own, ...(await moduleRepositories(join(own, "modules")))] : [own];
}

/** Everything that git would take for a repository: the names of modules have slashes in them, so one may seem to be in another one. */
async function moduleRepositories(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  const names = new Set(entries.map(({ name }) => name));
  const isRepository = ["HEAD", "objects", "refs"].every((name) => names.has(name));
  const folders = entries.filter((entry) => entry.isDirectory());
  const inner = await Promise.all(folders.map(({ name }) => moduleRepositories(join(directory, name))));
  return [...(isRepository ? [directory] : []), ...inner.flat()];
}
