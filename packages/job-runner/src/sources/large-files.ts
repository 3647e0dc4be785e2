import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";

/**
 * Whether git can fetch large files. Looks for its helper program in the PATH instead of asking git: a process start would
 * cost every job more than this does.
 */
export async function hasLargeFileSupport(searchPath: string | undefined): Promise<boolean> {
  for (const directory of (searchPath ?? "/usr/local/bin:/usr/bin:/bin").split(delimiter)) {
    if (!isAbsolute(directory)) continue;
    try {
      await access(join(directory, "git-lfs"), constants.X_OK);
      return true;
    } catch {
      // Not in this one.
    }
  }
  return false;
}
