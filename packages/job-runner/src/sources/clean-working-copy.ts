import { GitFailedError } from "../errors.ts";
import { openFolders } from "../remove-tree.ts";

/**
 * Cleans a working copy, and once more if git failed on folders that their owner may not write to: caches and build tools leave such, for
 * example Go's modules, and for an ordinary user git does not remove what is in them.
 *
 * @param kept - paths relative to the project that stay as they are
 * @throws what `clean` throws
 */
export async function cleanWorkingCopy(
  project: string,
  kept: readonly string[],
  clean: () => Promise<void>,
): Promise<void> {
  try {
    await clean();
  } catch (error) {
    if (!(error instanceof GitFailedError)) throw error;
    // Somebody else's folders cannot be opened either; then what git says is the reason to tell.
    if (!(await openFolders(project, [".git", ...kept]).catch(() => false))) throw error;
    await clean();
  }
}
