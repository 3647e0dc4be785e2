import type { JobContext } from "../job-context.ts";
import { JobInterrupted } from "../interruption.ts";

/** How a stage appears. @see job-execution 1.1 */
export interface Stage {
  /** Also the name of its section in the log. */
  readonly id: string;
  readonly heading: string;
}

/** Does the work of one stage inside its section, which ends however the work ends. */
export async function inStage<T>(job: JobContext, stage: Stage, work: () => Promise<T>): Promise<T> {
  job.signals.job.throwIfAborted();
  const startedAtMs = job.now();
  job.events({ type: "stage-started", stage: stage.id, atMs: startedAtMs });
  job.log.openStage(stage.id, stage.heading);
  let succeeded = false;
  try {
    const result = await work();
    succeeded = true;
    return result;
  } catch (error) {
    if (JobInterrupted.is(error) && error.isTimeout) {
      job.log.warning(`${stage.id} could not run to completion because the timeout was exceeded.`);
    }
    throw error;
  } finally {
    job.log.closeStage(stage.id);
    const atMs = job.now();
    job.events({ type: "stage-ended", stage: stage.id, atMs, durationMs: atMs - startedAtMs, succeeded });
  }
}
