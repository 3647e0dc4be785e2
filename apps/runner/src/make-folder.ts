import { makeDirectory, StateDirectoryError } from "@fleetfoot/state-directory";
import { UsageError } from "./errors.ts";

/**
 * Makes a folder, and those around it that are missing.
 *
 * @param mode - of all that are made
 * @throws {UsageError} there can be no such folder
 */
export async function makeFolder(path: string, mode = 0o777): Promise<void> {
  try {
    await makeDirectory(path, mode);
  } catch (error) {
    if (!StateDirectoryError.isInstance(error)) throw error;
    throw new UsageError(error.message, { cure: "Name another place.", cause: error });
  }
}
