import { rm } from "node:fs/promises";

import type { ExtractWork } from "../extract-work.ts";
import { toFileSystemPath } from "../path-bytes.ts";
import type { SharedRestoreJob } from "./restore-runner.ts";
import { openStaging, supersedeOtherHosts } from "./staging.ts";

/** Where a restore happens, and where to. */
export type RestorePlace = Pick<SharedRestoreJob, "root" | "staging" | "policy">;

/** Gives `restore` a staging folder, which is gone afterwards, whatever happens. */
export async function restoreStaged(
  { root, restoreSpecialBits }: ExtractWork,
  restore: (place: RestorePlace) => Promise<void>,
): Promise<void> {
  const staging = await openStaging(root);
  const policy = { mask: restoreSpecialBits ? 0o7777 : 0o777, umask: staging.umask };
  try {
    await restore({ root: staging.root, staging: staging.folder, policy });
    supersedeOtherHosts(staging.root);
  } finally {
    await rm(toFileSystemPath(staging.folder), { recursive: true, force: true });
  }
}
