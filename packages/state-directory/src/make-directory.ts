import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { StateDirectoryError } from "./errors.ts";

/**
 * Makes a directory, and those around it that are missing. Node's own way to do that (`recursive`) never comes to an end where a file
 * system takes no directories, as `/proc`. One that is there is left as it is.
 *
 * @param mode - of all that are made, as far as the process's mask lets it
 * @throws {StateDirectoryError} there can be no such directory; what else is in the way is the system's own error
 */
export async function makeDirectory(path: string, mode = 0o777): Promise<void> {
  if (await isMade(path, mode)) return;
  const parent = dirname(path);
  await makeDirectory(parent, mode);
  if (await isMade(path, mode)) return;
  throw new StateDirectoryError(path, parent);
}

/** @returns false when there is nothing that it could be made in */
async function isMade(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    const facts = await stat(path).catch(() => undefined);
    if (facts?.isDirectory() === true) return true;
    throw error;
  }
}
