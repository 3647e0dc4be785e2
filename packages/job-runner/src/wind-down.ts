import type { JobContext } from "./job-context.ts";
import { openScope } from "./signal-scope.ts";

const LIMIT_MS = 5 * 60_000;

/**
 * Waits for the stages; once the job is over as a whole, not longer than five minutes more.
 *
 * @throws what the stages reject with, or the reason why the job was over
 * @see job-execution 1.4
 */
export async function withinWindDown(job: JobContext, stages: Promise<void>): Promise<void> {
  const { job: signal } = job.signals;
  using scope = openScope();
  const late = new Promise<never>((_, reject) => {
    const onAbort = (): void => {
      scope.signal.addEventListener("abort", () => {
        job.log.warning("Timed out waiting for the build to finish");
        reject(signal.reason as Error);
      });
      scope.limit(LIMIT_MS, () => new Error("the job did not wind down"), job.sleep);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
  await Promise.race([stages, late]);
}
