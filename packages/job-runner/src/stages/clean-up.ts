import { rm } from "node:fs/promises";

import type { PreparedJob } from "../job-context.ts";
import { cleanSources } from "../sources/clean-sources.ts";
import { cleanSourcesBeside } from "../sources/fetch-beside.ts";
import { inStage } from "./stage.ts";

/** Removes what must not outlive the job: file variables, tokens, locks that were left. Its failure is not the job's. */
export async function cleanUp(job: PreparedJob): Promise<void> {
  const heading = "Cleaning up project directory and file based variables";
  try {
    await inStage(job, { id: "cleanup_file_variables", heading }, async () => {
      const { directories, helper } = job.environment.workspace;
      if (helper === undefined) await cleanSources(job);
      else await cleanSourcesBeside(job, helper, job.signals.job);
      await rm(directories.temporary, { recursive: true, force: true });
    });
  } catch (error) {
    job.signals.job.throwIfAborted();
    job.log.warning(`cleaning up failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}
