import { finishRestores } from "@fleetfoot/cache-archive";

import type { PreparedJob } from "../job-context.ts";
import { clearWorktree } from "./working-copy.ts";

/**
 * Completes what a job whose runner was killed had begun to restore: of the files that it was about to replace, some are old and some are
 * new. The job that comes next may trust them even if it has no cache.
 */
export async function completeRestores({ environment, log, signals }: PreparedJob): Promise<void> {
  const { project } = environment.workspace.directories;
  const { job: signal } = signals;
  try {
    if ((await finishRestores(project, { signal })) > 0)
      log.plain("Completed what an earlier job had begun to restore");
  } catch (error) {
    signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    log.warning(`What an earlier job had begun to restore cannot be completed, so all files are removed: ${reason}`);
    await clearWorktree(project);
  }
}
