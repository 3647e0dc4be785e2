import { readdir, writeFile } from "node:fs/promises";
import { basename, join, relative, sep } from "node:path";
import { UsageError } from "../errors.ts";
import { makeFolder } from "../make-folder.ts";

/** Folder in the project that holds the state unless another one is named. */
export const DEFAULT_STATE_DIRECTORY = ".fleetfoot";

/**
 * Refuses places where what a run keeps would do harm.
 *
 * @param given - as it was written
 * @param stateDirectory - the same, absolute
 * @throws {UsageError} no name, the project itself or a folder around it, or a place inside `.git`
 */
export function checkStateDirectory(given: string, stateDirectory: string, projectDirectory: string): void {
  const cure = "Name a folder of its own, for example --state-dir .fleetfoot.";
  if (given.trim() === "") throw new UsageError("--state-dir has no value.", { cure });
  // The list of files that git leaves out has one line for each.
  if (/[\r\n]/.test(stateDirectory)) throw new UsageError("--state-dir has a line break in its name.", { cure });
  const fromState = relative(stateDirectory, projectDirectory);
  if (fromState === "") throw new UsageError(`--state-dir ${given} is the project itself.`, { cure });
  if (!isOutside(fromState)) throw new UsageError(`--state-dir ${given} has the project in it.`, { cure });
  if (relative(projectDirectory, stateDirectory).split(sep).includes(".git"))
    throw new UsageError(`--state-dir ${given} lies in a folder of git's own.`, { cure });
}

/**
 * Makes the folder, with a file that keeps it out of what git shows as new.
 *
 * A folder with files of the user's in it gets none: it would hide those.
 */
export async function makeStateDirectory(stateDirectory: string): Promise<void> {
  await makeFolder(stateDirectory);
  const isOurs = basename(stateDirectory) === DEFAULT_STATE_DIRECTORY || (await readdir(stateDirectory)).length === 0;
  if (!isOurs) return;
  try {
    await writeFile(join(stateDirectory, ".gitignore"), "*\n", { flag: "wx" });
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
}

/** Whether a path from one folder to another leaves the first one. */
export function isOutside(relativePath: string): boolean {
  return relativePath === ".." || relativePath.startsWith(`..${sep}`);
}
