import type { FailureReason } from "./failure-reason.ts";

/** Pseudo-status of a call that got no usable answer: network failure, wrong media type or broken JSON. */
export const NO_ANSWER_STATUS = -1;

/** Pseudo-status of a call that could not even be tried: the URL is unusable. */
export const CLIENT_ERROR_STATUS = -100;

/** What every call learned, whatever its outcome. */
export interface CallFacts {
  /** HTTP status of the last attempt, or one of the pseudo-statuses. */
  readonly status: number;
  /** Requests that were sent, one or more; 0 when the URL was unusable. */
  readonly attempts: number;
  /** Whether any attempt met a retriable status, even if a later one succeeded. */
  readonly throttled: boolean;
  readonly requestId: string;
  /** Text for a log line; never contains a token. Empty on success. */
  readonly message: string;
}

/** What the job's own coordinator says about it alongside an answer. */
export interface JobSignals {
  /** The coordinator wants the job to stop gracefully (`Job-Status: canceling`). */
  readonly cancelRequested: boolean;
  /** A new pause between updates, already bounded; undefined when the answer named none. */
  readonly updateIntervalMs: number | undefined;
}

export type UpdateJobOutcome = "succeeded" | "accepted" | "trace-rejected" | "abort" | "failed";

/** @see coordinator-protocol 6.2 */
export interface UpdateJobResult extends CallFacts, JobSignals {
  readonly outcome: UpdateJobOutcome;
}

export type PatchTraceOutcome = "ok" | "abort" | "not-found" | "range-mismatch" | "failed";

/** @see coordinator-protocol 7.2 */
export interface PatchTraceResult extends CallFacts, JobSignals {
  readonly outcome: PatchTraceOutcome;
  /** Offset of the next byte to send, in bytes from the start of the trace. */
  readonly nextOffset: number;
}

/** The body of one job update. @see coordinator-protocol 6.1 */
export interface JobUpdate {
  readonly state: "pending" | "running" | "success" | "failed";
  readonly failureReason?: FailureReason;
  /** Any integer; sent as signed 32-bit, and not at all when it is 0. */
  readonly exitCode?: number;
  /** As the job's `suspend_options` named it. */
  readonly runtimeEnvironmentKey?: string;
  /** Absent on the first `running` update. */
  readonly trace?: { readonly checksum: string; readonly bytes: number };
}

/** One piece of a trace. */
export interface TraceChunk {
  /** Offset of the first byte. */
  readonly offset: number;
  /** At least one byte. */
  readonly bytes: Uint8Array;
  /** Whether the log may hold the values of all variables. Fixed for the life of the job. */
  readonly debugTrace?: boolean;
}
