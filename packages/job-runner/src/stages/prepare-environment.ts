import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { PreparedJob } from "../job-context.ts";
import { completeRestores } from "../sources/complete-restores.ts";
import { inStage } from "./stage.ts";

/** Makes the job's temporary directory, with one file per file variable in it, and a project directory that can be trusted. */
export function prepareEnvironment(job: PreparedJob): Promise<void> {
  return inStage(job, { id: "prepare_script", heading: "Preparing environment" }, async () => {
    job.log.plain(`Running on ${job.environment.description}...`);
    await completeRestores(job);
    const { temporary } = job.environment.workspace.directories;
    // A job that was killed may have left secrets, or variables for its own later stages.
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true, mode: 0o700 });
    for (const [name, content] of job.variables.files) {
      await writeFile(join(temporary, name), content, { mode: 0o600, flag: "wx" });
    }
  });
}
