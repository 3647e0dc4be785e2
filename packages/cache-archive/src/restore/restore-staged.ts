import { toArchiveError } from "../errors.ts";
import type { CacheArchiveError } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import type { ExtractWork } from "./extract-work.ts";
import type { SharedRestoreJob } from "./restore-runner.ts";
import { runOnIdleThread } from "./run-staging-task.ts";
import { isGivenUp } from "./staging-files.ts";
import { openStaging } from "./staging.ts";
import type { Staging } from "./staging.ts";

/** Where a restore happens, and where to. */
export type RestorePlace = Pick<SharedRestoreJob, "root" | "staging" | "policy">;

/**
 * Gives `restore` a staging folder, which is gone afterwards. Only after an abort it goes away later: whoever gave a restore up
 * need not wait until the system has unlinked tens of thousands of files. And it stays when moves could not be taken back, for the
 * next restore into this root to complete.
 *
 * @returns why the staging folder is not gone although everything was restored
 */
export async function restoreStaged(
  { root, restoreSpecialBits, signal }: ExtractWork,
  restore: (place: RestorePlace) => Promise<void>,
): Promise<CacheArchiveError | undefined> {
  const staging = await openStaging(root, signal);
  const policy = { mask: restoreSpecialBits ? 0o7777 : 0o777, umask: staging.umask };
  try {
    await restore({ root: staging.root, staging: staging.folder, policy });
  } catch (error) {
    if (isGivenUp(staging.folder)) {
      // Whoever comes next may complete it, while this process lives.
      await staging.lock.release();
    } else {
      // What cannot be removed, or is left when this process ends, the next restore clears away.
      const removed = clear(staging).catch(() => undefined);
      if (signal?.aborted !== true) await removed;
    }
    throw error;
  }
  return await tidyUp(staging);
}

/** Everything is in its place: nothing that fails here makes the restore a failure. */
async function tidyUp(staging: Staging): Promise<CacheArchiveError | undefined> {
  try {
    await clear(staging);
    return undefined;
  } catch (error) {
    return toArchiveError(error, `everything is restored, but ${printablePath(staging.folder)} cannot be removed`);
  }
}

async function clear({ root, folder, lock }: Staging): Promise<void> {
  try {
    await runOnIdleThread({ kind: "clear-staging", root, staging: folder });
  } finally {
    await lock.release();
  }
}
