import type { JobContext } from "../job-context.ts";
import { mayRetry } from "../outcome.ts";

export interface RetryOptions {
  /** Tries in all. */
  readonly attempts: number;
  readonly signal: AbortSignal;
  /** Called before the second try only. */
  readonly beforeSecond?: () => Promise<void>;
}

/** Tries a stage again, with growing pauses. Gives up at once on an error that another try cannot cure. @see job-execution 1.3 */
export async function withRetries(job: JobContext, options: RetryOptions, attempt: () => Promise<void>): Promise<void> {
  const { attempts, signal, beforeSecond } = options;
  for (let tried = 1; ; tried++) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (signal.aborted || tried >= attempts || !mayRetry(error)) throw error;
      await job.sleep(pauseMs(tried, job.plan.flags.FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY), signal);
      job.log.warning("Retrying...");
      if (tried === 1) await beforeSecond?.();
    }
  }
}

/** @param tried - tries so far, from 1 */
function pauseMs(tried: number, exponential: boolean): number {
  return exponential ? Math.min(5_000 * 2 ** (tried - 1), 300_000) : Math.min(1_000 * tried, 5_000);
}
