import { JobInterrupted } from "./interruption.ts";
import type { Sleep } from "./platform.ts";
import { openScope } from "./signal-scope.ts";
import type { SignalScope } from "./signal-scope.ts";

/**
 * The tree of signals of one job: job > preparing or sources > steps > after_script.
 *
 * Every reason is a {@link JobInterrupted}. An abort, a stop of the process or the job's limit of time end the job; a graceful
 * cancel ends the job before its steps, the steps while they run, and nothing after them.
 *
 * @see job-execution 1.4, 1.6
 */
export interface JobSignals extends Disposable {
  /** Ends everything. */
  readonly job: AbortSignal;
  cancel(): void;
  abort(): void;
  /** From now on a cancel ends the steps only, until the scope that this returns is disposed. */
  beginSteps(): SignalScope;
  /** A branch that is limited in time. */
  branch(limitMs: number, reason: () => JobInterrupted): SignalScope;
}

/** @param stop - the process ends */
export function createJobSignals(stop: AbortSignal, jobTimeoutMs: number, sleep: Sleep): JobSignals {
  const job = openScope();
  const onStop = (): void => job.abort(JobInterrupted.from(stop.reason));
  if (stop.aborted) onStop();
  else stop.addEventListener("abort", onStop, { once: true });
  job.limit(jobTimeoutMs, () => JobInterrupted.jobTimeout(jobTimeoutMs), sleep);

  // What a cancel ends: the job, then the steps, then nothing.
  let cancelled: SignalScope | undefined = job;
  return {
    job: job.signal,
    cancel: () => cancelled?.abort(JobInterrupted.canceled()),
    abort: () => job.abort(JobInterrupted.aborted()),
    beginSteps: () => {
      const steps = openScope(job.signal);
      cancelled = steps;
      return {
        ...steps,
        [Symbol.dispose]: () => {
          cancelled = undefined;
          steps[Symbol.dispose]();
        },
      };
    },
    branch: (limitMs, reason) => {
      const branch = openScope(job.signal);
      branch.limit(limitMs, reason, sleep);
      return branch;
    },
    [Symbol.dispose]: () => {
      stop.removeEventListener("abort", onStop);
      job[Symbol.dispose]();
    },
  };
}
