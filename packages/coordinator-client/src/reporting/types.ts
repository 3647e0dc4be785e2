import type { Logger } from "../logger.ts";
import type { FailureReason } from "../failure-reason.ts";
import type { JobUpdate, PatchTraceResult, TraceChunk, UpdateJobResult } from "../results.ts";

/** What the reporter sends: bytes that can be read again at any offset until the job is over. */
export interface TraceSource {
  /** Bytes so far. */
  readonly size: number;
  /** Checksum of those bytes, such as `crc32:af083b2d`. */
  readonly checksum: string;
  /** Up to `maxBytes` bytes from `offset`; fewer only at the end. */
  read(offset: number, maxBytes: number): Promise<Uint8Array>;
}

/** The two calls that the reporter makes, for one job already. */
export interface ReportingCalls {
  updateJob(update: JobUpdate, options: { readonly signal?: AbortSignal }): Promise<UpdateJobResult>;
  patchTrace(chunk: TraceChunk, options: { readonly signal?: AbortSignal }): Promise<PatchTraceResult>;
}

/** How a job is reported. */
export interface JobReporterOptions {
  readonly calls: ReportingCalls;
  readonly trace: TraceSource;
  /**
   * Whether the log may hold the values of all variables.
   *
   * @default false
   */
  readonly debugTrace?: boolean;
  /**
   * Bytes of the trace that the coordinator has acknowledged already, to an earlier process for example.
   *
   * @default 0
   */
  readonly acknowledgedBytes?: number;
  /**
   * Told whenever the coordinator has acknowledged more of the trace, or wants some of it again. Must not throw.
   *
   * @default nobody listens
   */
  readonly onAcknowledged?: (bytes: number) => void;
  /** The coordinator asks for a graceful stop. Called at most once, and not after `onAbort`. */
  readonly onCancel: () => void;
  /** The coordinator does not want this job any longer. Called at most once. */
  readonly onAbort: () => void;
  /**
   * Pause between two updates until an answer names another one, and at the start of each final round.
   *
   * @default 3000
   */
  readonly initialIntervalMs?: number;
  /**
   * How long nothing may succeed before a job without new output is touched.
   *
   * @default 30_000
   */
  readonly touchAfterMs?: number;
  /**
   * Whether the time of `touchAfterMs` follows the interval: four times of it, 30 s to 30 min.
   *
   * @default false
   */
  readonly touchFollowsInterval?: boolean;
  /**
   * Rounds of trace and final update before the result is given up.
   *
   * @default 10
   */
  readonly maxFinalRounds?: number;
  /**
   * Time after which no further final round starts.
   *
   * @default Number.POSITIVE_INFINITY
   */
  readonly maxFinalDurationMs?: number;
  /** @default noopLogger */
  readonly logger?: Logger;
  /**
   * Epoch milliseconds.
   *
   * @default Date.now
   */
  readonly now?: () => number;
  /**
   * Waits; rejects with the signal's reason when it is aborted.
   *
   * @default a timer
   */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Ends everything at once: a report in progress rejects with its reason. */
  readonly signal?: AbortSignal;
}

/** How a job failed. */
export interface JobFailure {
  readonly reason: FailureReason;
  readonly exitCode?: number;
}

/** How the report of the result ended. */
export interface ReportResult {
  /** Whether the coordinator took the result. */
  readonly delivered: boolean;
  /**
   * `abort`: it did not want it any longer. `refused`: it understood and said no again and again, so that telling it once more is of no
   * use. `undeliverable`: it could not be told within all rounds; later it may.
   */
  readonly outcome: "succeeded" | "abort" | "refused" | "undeliverable";
  /** Rounds of the final report, 1 or more. */
  readonly rounds: number;
}

/** Reports one job that runs. */
export interface JobReporter {
  /** Sends the rest of the trace and the result. Of all calls of `succeed` and `fail`, the first one counts. */
  succeed(): Promise<ReportResult>;
  /** As {@link JobReporter.succeed}, for a job that failed. */
  fail(failure: JobFailure): Promise<ReportResult>;
  /** Current pause between two updates. */
  readonly intervalMs: number;
}
