import type { FailureReason } from "@fleetfoot/coordinator-client";

import { JobRunnerError } from "./errors.ts";
import { formatDuration } from "./duration.ts";

/** What cuts a job short; each is the reason of the abort signals that it reaches. */
export type InterruptionKind =
  /** The coordinator asks for a graceful stop. */
  | "canceled"
  /** The coordinator does not want the job any longer. */
  | "aborted"
  | "process-stopped"
  | "job-timeout"
  /** Preparing the job or fetching its sources took too long. */
  | "stage-timeout"
  /** The steps took longer than the job allows them. */
  | "script-timeout"
  /** The after_script took too long. */
  | "after-script-timeout";

/** A job was cut short. @see job-execution 1.4, 1.5, 1.6 */
export class JobInterrupted extends JobRunnerError {
  override readonly name = "JobInterrupted";
  override readonly code = "interrupted";
  override readonly retryable = false;
  readonly kind: InterruptionKind;

  private constructor(kind: InterruptionKind, message: string) {
    super(message);
    this.kind = kind;
  }

  static canceled(): JobInterrupted {
    return new JobInterrupted("canceled", "canceled");
  }

  static aborted(): JobInterrupted {
    return new JobInterrupted("aborted", "canceled");
  }

  /** @param signalName - what stopped the process, in words: `terminated`, `interrupt` */
  static processStopped(signalName = "terminated"): JobInterrupted {
    return new JobInterrupted("process-stopped", `aborted: ${signalName}`);
  }

  static jobTimeout(limitMs: number): JobInterrupted {
    return new JobInterrupted("job-timeout", `execution took longer than ${formatDuration(limitMs)} seconds`);
  }

  /** @param what - `prepare` or `get_sources` */
  static stageTimeout(what: string): JobInterrupted {
    return new JobInterrupted("stage-timeout", `${what} timeout: context deadline exceeded`);
  }

  static scriptTimeout(): JobInterrupted {
    return new JobInterrupted("script-timeout", "script timeout: context deadline exceeded");
  }

  static afterScriptTimeout(): JobInterrupted {
    return new JobInterrupted("after-script-timeout", "after_script timeout: context deadline exceeded");
  }

  /** The reason of a signal that others abort: any reason but one of ours means that the process stops. */
  static from(reason: unknown): JobInterrupted {
    return JobInterrupted.is(reason) ? reason : JobInterrupted.processStopped();
  }

  static is(value: unknown): value is JobInterrupted {
    return JobRunnerError.isInstance(value) && value.code === "interrupted";
  }

  override get failureReason(): FailureReason {
    switch (this.kind) {
      case "canceled":
      case "aborted":
        return "job_canceled";
      case "process-stopped":
        return "runner_interrupted";
      default:
        return "job_execution_timeout";
    }
  }

  /** Whether a limit of time was reached. */
  get isTimeout(): boolean {
    return this.failureReason === "job_execution_timeout";
  }
}
