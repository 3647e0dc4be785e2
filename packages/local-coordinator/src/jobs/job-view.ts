/** Where a job stands, in the words that the coordinator uses on the wire. */
export type JobStatus =
  | "created"
  | "manual"
  | "scheduled"
  | "waiting_for_resource"
  | "pending"
  | "running"
  | "canceling"
  | "canceled"
  | "success"
  | "failed"
  | "skipped";

/** What is known about a job at one moment; a snapshot that does not change. */
export interface JobView {
  readonly id: number;
  readonly name: string;
  readonly stage: string;
  readonly status: JobStatus;
  /** Undefined for a job that was added on its own. */
  readonly pipelineId: number | undefined;
  /** Set once the job has failed: the runner's reason, or the coordinator's own such as `trace_size_exceeded`. */
  readonly failureReason: string | undefined;
  /** As the runner reported it; 0 is never sent and shows as undefined. */
  readonly exitCode: number | undefined;
  /** A failed job whose failure does not fail the pipeline. */
  readonly allowedToFail: boolean;
  /** Text for a person: why the coordinator itself ended or skipped the job. */
  readonly message: string | undefined;
  /** Epoch milliseconds. */
  readonly createdAtMs: number;
  /** Epoch milliseconds; undefined before the job was ready to be taken. */
  readonly queuedAtMs: number | undefined;
  /** Epoch milliseconds; undefined before a runner took it. */
  readonly startedAtMs: number | undefined;
  /** Epoch milliseconds; undefined while it is not over. */
  readonly finishedAtMs: number | undefined;
  readonly runnerId: number | undefined;
  /** The job that this one repeats. */
  readonly retryOf: number | undefined;
  /** The job that repeats this one; a retried job no longer counts for its pipeline. */
  readonly retriedBy: number | undefined;
  readonly trace: TraceView;
  readonly artifacts: readonly StoredArtifact[];
  /** The update that ended the job; undefined when no runner did. */
  readonly finalUpdate: FinalUpdate | undefined;
  /** Variables that dependents get from this job's dotenv report. */
  readonly dotenv: Readonly<Record<string, string>>;
}

/** The stored log of a job. */
export interface TraceView {
  /** Stored bytes. */
  readonly bytes: number;
  /** CRC-32 of the stored bytes, such as `crc32:af083b2d`. */
  readonly checksum: string;
  /** The runner said that the log may hold every variable's value. */
  readonly restricted: boolean;
  /** File that holds the log; absent on disk while `bytes` is 0. */
  readonly path: string;
}

/** What the runner sent with its last update. */
export interface FinalUpdate {
  readonly state: "success" | "failed";
  readonly failureReason: string | undefined;
  readonly exitCode: number | undefined;
  readonly checksum: string | undefined;
  /** Undefined when the runner sent none, which it does for an empty log. */
  readonly bytes: number | undefined;
  /** Whether checksum and size equal those of the stored log; undefined when the runner sent no checksum. */
  readonly traceMatches: boolean | undefined;
}

/** One uploaded file. */
export interface StoredArtifact {
  /** `archive`, or the type of a report such as `junit`. */
  readonly type: string;
  /** `zip`, `gzip`, `raw`, `zipzstd` or `tarzstd`. */
  readonly format: string;
  readonly fileName: string;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
  readonly path: string;
  /** As the job asked, for example `1 week`; undefined: the instance's default. */
  readonly expireIn: string | undefined;
  /** Epoch milliseconds. */
  readonly uploadedAtMs: number;
}
