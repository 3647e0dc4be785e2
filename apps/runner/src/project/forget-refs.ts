import { readdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";

/** Folders between the one for all working copies and a working copy: the runner's, the number of the job at the same time, the project. */
const LEVELS = 3;

/**
 * Makes the working copies forget the branches and tags of earlier runs; their files and objects stay.
 *
 * A branch may have the name of a folder that another one needs (`feat` and `feat/x`), and a job fetches only the branch of its run.
 */
export async function forgetRefs(buildsDirectory: string): Promise<void> {
  let folders = [buildsDirectory];
  for (let level = 0; level < LEVELS; level += 1) {
    folders = (await Promise.all(folders.map(foldersIn))).flat();
  }
  // A job may have put a link in place of its repository; links are not followed.
  const repositories = (await Promise.all(folders.map(foldersIn))).flat().filter((path) => basename(path) === ".git");
  const names = ["packed-refs", "refs/remotes", "refs/tags", "logs/refs"];
  const paths = repositories.flatMap((repository) => names.map((name) => join(repository, name)));
  await Promise.all(paths.map((path) => rm(path, { recursive: true, force: true })));
}

async function foldersIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => join(folder, entry.name));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
