import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { UsageError } from "./errors.ts";

/**
 * Makes a folder, and those around it that are missing. Node's own way to do that never comes to an end where a file system takes no
 * folders, as `/proc`.
 *
 * @param mode - of all that are made
 * @throws {UsageError} there can be no such folder
 */
export async function makeFolder(path: string, mode = 0o777): Promise<void> {
  if (await isMade(path, mode)) return;
  const parent = dirname(path);
  await makeFolder(parent, mode);
  if (await isMade(path, mode)) return;
  throw new UsageError(`${path} cannot be made: ${parent} takes no folders.`, { cure: "Name another place." });
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
