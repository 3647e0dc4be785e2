import { compareTree, createArchive, extractArchive, openSelection, selectFiles } from "@fleetfoot/cache-archive";
import type { ArchiveSummary, RestoreSummary } from "@fleetfoot/cache-archive";

import type { JobLog } from "../job-log.ts";
import type { CacheArchiver } from "./types.ts";

/** The real thing. */
export const realArchiver: CacheArchiver = { selectFiles, openSelection, createArchive, extractArchive, compareTree };

/** Without a manifest the next job does more than it need, and nothing else. Some archives of others allow none. */
export function warnOfManifest(log: Pick<JobLog, "warning">, { manifestError }: ArchiveSummary): void {
  if (manifestError !== undefined && manifestError.code !== "unsupported-format") log.warning(manifestError.message);
}

/** The files are all there; what is left beside them takes room until somebody removes it. */
export function warnOfStaging(log: Pick<JobLog, "warning">, { stagingError }: RestoreSummary): void {
  if (stagingError !== undefined) log.warning(stagingError.message);
}
