import { dirname } from "node:path";
import { acquireLock, UnusableLockError } from "@fleetfoot/directory-lock";
import type { DirectoryLock } from "@fleetfoot/directory-lock";
import { UsageError } from "./errors.ts";
import { makeFolder } from "./make-folder.ts";

/**
 * Takes a lock that is a file, whose folder is made when it is missing.
 *
 * @throws {LockHeldError} a living process has it
 * @throws {UsageError} there is a folder in its place
 */
export async function takeLock(path: string): Promise<DirectoryLock> {
  await makeFolder(dirname(path));
  try {
    return await acquireLock(path);
  } catch (error) {
    if (error instanceof UnusableLockError) throw new UsageError(error.message, { cure: error.cure, cause: error });
    throw error;
  }
}
