import { rm } from "node:fs/promises";

import type { ExtractWork } from "./extract-work.ts";
import { toFileSystemPath } from "../path-bytes.ts";
import { isGivenUp } from "./place.ts";
import type { SharedRestoreJob } from "./restore-runner.ts";
import { openStaging, supersedeOtherHosts } from "./staging.ts";

/** Where a restore happens, and where to. */
export type RestorePlace = Pick<SharedRestoreJob, "root" | "staging" | "policy">;

/**
 * Gives `restore` a staging folder, which is gone afterwards. Only after an abort it goes away later: whoever gave a restore up
 * need not wait until the system has unlinked tens of thousands of files. And it stays when moves could not be taken back, for the
 * next restore into this root to complete.
 */
export async function restoreStaged(
  { root, restoreSpecialBits, signal }: ExtractWork,
  restore: (place: RestorePlace) => Promise<void>,
): Promise<void> {
  const staging = await openStaging(root);
  const policy = { mask: restoreSpecialBits ? 0o7777 : 0o777, umask: staging.umask };
  try {
    await restore({ root: staging.root, staging: staging.folder, policy });
    supersedeOtherHosts(staging.root);
  } finally {
    if (!isGivenUp(staging.folder)) {
      const removed = rm(toFileSystemPath(staging.folder), { recursive: true, force: true });
      // What cannot be removed, or is left when this process ends, the next restore clears away.
      if (signal?.aborted === true) removed.catch(() => undefined);
      else await removed;
    }
  }
}
