import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";

import { ShellNotFoundError } from "./errors.ts";

/** Where a host without a PATH is searched. */
const DEFAULT_SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin";

/**
 * Finds a program as a shell would.
 *
 * @returns its absolute path
 * @throws {ShellNotFoundError}
 */
export async function findShell(shell: string, searchPath: string = DEFAULT_SEARCH_PATH): Promise<string> {
  for (const directory of searchPath.split(delimiter)) {
    // A relative entry would mean another program in every directory.
    if (!isAbsolute(directory)) continue;
    const candidate = join(directory, shell);
    if (await isExecutable(candidate)) return candidate;
  }
  throw new ShellNotFoundError(shell, searchPath);
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    // Whatever keeps us from executing it, the next directory may have one.
    return false;
  }
}
