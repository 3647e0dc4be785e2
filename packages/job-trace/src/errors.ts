const MARKER = Symbol.for("@fleetfoot/job-trace/JobTraceError");

/** What went wrong with a trace. */
export type JobTraceErrorCode = "open-failed" | "write-failed" | "read-failed" | "trace-closed" | "trace-disposed";

const REMEDIES: Readonly<Record<JobTraceErrorCode, string>> = {
  "open-failed": "check that the directory of the trace exists and can be written",
  "write-failed": "free space on the file system of the trace",
  "read-failed": "check the file system of the trace",
  "trace-closed": "open all streams before the trace is closed",
  "trace-disposed": "read the trace before it is disposed",
};

/** A trace could not be kept, or was used after its end. */
export class JobTraceError extends Error {
  static {
    Object.defineProperty(this.prototype, MARKER, { value: true });
  }

  override readonly name: string = "JobTraceError";
  readonly code: JobTraceErrorCode;
  /** Whether the same call may succeed later. It never does: a trace does not recover. */
  readonly retryable = false;
  /** What whoever runs the program can do. */
  readonly remedy: string;

  /** @param attempted - what was attempted, without any content of the trace */
  constructor(code: JobTraceErrorCode, attempted: string, options?: ErrorOptions) {
    super(`${attempted}: ${REMEDIES[code]}`, options);
    this.code = code;
    this.remedy = REMEDIES[code];
  }

  /** Whether a value is such an error, also one of another installed copy of this package. */
  static isInstance(value: unknown): value is JobTraceError {
    return typeof value === "object" && value !== null && MARKER in value;
  }
}
