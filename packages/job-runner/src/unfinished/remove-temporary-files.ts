import { rm } from "node:fs/promises";

import { noopLogger } from "@fleetfoot/coordinator-client";
import type { Logger } from "@fleetfoot/coordinator-client";

import type { UnfinishedJob } from "./types.ts";

/**
 * Removes the temporary directory of a job whose process was killed: it may hold secrets. The job's processes must
 * have been ended before, and no other job may have begun: the next one of the same project takes that very directory.
 */
export async function removeTemporaryFiles(job: UnfinishedJob, logger: Logger = noopLogger): Promise<void> {
  const { id, temporaryDirectory } = job.facts;
  try {
    await rm(temporaryDirectory, { recursive: true, force: true });
  } catch (error) {
    logger.error("the job's temporary directory could not be removed", { job: id, error });
  }
}
