import { lstat } from "node:fs/promises";
import { join } from "node:path";

/**
 * Finds the repository's own folder in a working copy. What a runner keeps there lies where archives and scripts of jobs can put links,
 * so each step on the way is to be a folder itself.
 *
 * @throws when it is missing, or anything but a folder, such as a link to one
 */
export async function repositoryFolder(project: string): Promise<string> {
  const folder = join(project, ".git");
  await requireFolder(folder);
  return folder;
}

/** @throws when a path is missing, or anything but a folder, such as a link to one */
export async function requireFolder(path: string): Promise<void> {
  if (!(await lstat(path)).isDirectory()) throw new Error(`${path} is no folder`);
}
