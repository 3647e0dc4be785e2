import { stat } from "node:fs/promises";
import { UsageError } from "../errors.ts";

/**
 * Looks whether there is a folder before any program is started in it: what they say about its absence names the program instead.
 *
 * @throws {UsageError} there is none
 */
export async function checkProjectDirectory(directory: string): Promise<void> {
  const cure = "Name the folder of the project with -C, or run fleetfoot in it.";
  try {
    if ((await stat(directory)).isDirectory()) return;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")))
      throw error;
    throw new UsageError(`There is no folder ${directory}.`, { cure, cause: error });
  }
  throw new UsageError(`${directory} is no folder.`, { cure });
}
