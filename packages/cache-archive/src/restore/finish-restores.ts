import { errnoOf, toArchiveError } from "../errors.ts";
import { settleStaging } from "./settle.ts";
import { realPathOf } from "./staging-places.ts";

/**
 * Completes what restores into a root had begun when their process died, or clears it away when they had not begun to change the root.
 *
 * `extractArchive` does it by itself. Whoever uses the root without restoring into it, such as a job without a cache, calls this
 * before: a process that dies while it replaces a tree that was there leaves a mixed one. Restores that are still going on, in this
 * process or any other one, also of another container or machine, are left alone.
 *
 * @param root - absolute; one that does not exist holds nothing to complete
 * @param options.signal - stops it; the next call goes on with what is left then
 * @returns how many restores were completed
 * @throws {CacheArchiveError} one cannot be completed, for instance because a folder is in the place of a file by now. Nothing is left to be
 *   completed after that, and the root must not be trusted
 * @throws the signal's reason when it aborts
 */
export async function finishRestores(
  root: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<number> {
  signal?.throwIfAborted();
  let real: string;
  try {
    real = realPathOf(root);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return 0;
    throw toArchiveError(error, `look for unfinished restores into ${root}`);
  }
  try {
    return await settleStaging(real, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw toArchiveError(error, `complete a restore into ${root}`);
  }
}
