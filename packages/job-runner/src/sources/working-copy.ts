import { access, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

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
 * Removes locks that a killed git has left, and the one hook that a checkout would run. Not before `removePlantedRepository` has looked: links
 * would be followed.
 *
 * @param modules - whether the repositories of submodules are looked at, too
 */
export async function removeStaleLocks(project: string, modules: boolean): Promise<void> {
  for (const repository of await repositories(project, modules)) {
    await Promise.all(LOCKS.map((name) => rm(join(repository, name), { force: true, recursive: true })));
    const refs = await readdir(join(repository, "refs"), { recursive: true }).catch(() => []);
    const locked = refs.filter((name) => name.endsWith(".lock"));
    await Promise.all(locked.map((name) => rm(join(repository, "refs", name), { force: true, recursive: true })));
  }
}

/** Removes settings and hooks, with which an earlier job could make git run its code. */
export async function removeConfigAndHooks(project: string, modules: boolean): Promise<void> {
  for (const repository of await repositories(project, modules)) {
    await rm(join(repository, "config"), { force: true });
    await rm(join(repository, "hooks"), { force: true, recursive: true });
  }
}

/** Removes everything but the repository itself, so that a checkout writes every file anew. */
export async function clearWorktree(project: string): Promise<void> {
  const names = await readdir(project).catch(() => []);
  const old = names.filter((name) => name !== ".git");
  await Promise.all(old.map((name) => rm(join(project, name), { recursive: true, force: true })));
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

const LOCKS = ["index.lock", "shallow.lock", "HEAD.lock", "config.lock", "hooks/post-checkout"];

/** The project's repository, and those of its submodules, however deep. */
export async function repositories(project: string, modules: boolean): Promise<string[]> {
  const own = join(project, ".git");
  if (!(await exists(own))) return [];
  return modules ? [own, ...(await moduleRepositories(join(own, "modules")))] : [own];
}

async function moduleRepositories(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  if (entries.some((entry) => entry.name === "HEAD")) {
    return [directory, ...(await moduleRepositories(join(directory, "modules")))];
  }
  // A module's name may have slashes in it.
  const inner = entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => moduleRepositories(join(directory, entry.name)));
  return (await Promise.all(inner)).flat();
}
