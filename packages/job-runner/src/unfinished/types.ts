import type { FailureReason, Secret } from "@fleetfoot/coordinator-client";

/** What a later process has to know of a job to report it. */
export interface UnfinishedJobFacts {
  readonly id: number;
  /** The job's own token. It is written to the record, which only its owner can read. */
  readonly token: Secret;
  /** Address of the instance that gave the job. */
  readonly url: string;
  /** The machine on which the job runs, for instance `s_0a1b2c3d4e5f`. */
  readonly systemId: string;
  /** Whether the log may hold the values of all variables. */
  readonly debugTrace: boolean;
  /** Whether the lines of the log start with the time. */
  readonly timestamps: boolean;
  /** Bytes of log that are kept. */
  readonly outputLimitBytes: number;
  /** Absolute path of the directory that goes when the job ends; it may hold secrets. */
  readonly temporaryDirectory: string;
}

/** How a job ended, as it is told to the coordinator. */
export type UnfinishedJobResult =
  | { readonly state: "success" }
  | { readonly state: "failed"; readonly failureReason: FailureReason; readonly exitCode?: number };

/** The record of one job that the coordinator may not know the end of. */
export interface UnfinishedJob {
  readonly facts: UnfinishedJobFacts;
  /** Absolute path of the buffer file of the log. */
  readonly traceFile: string;
  /** Bytes of the log that the coordinator had; the record may be behind. */
  readonly acknowledgedBytes: number;
  /** Undefined when the process was killed before the job had ended. */
  readonly result: UnfinishedJobResult | undefined;
  /** Keeps how much of the log the coordinator has. Returns at once. */
  acknowledge(bytes: number): void;
  /** Keeps how the job ended; resolves when that is safe from the end of this process. */
  conclude(result: UnfinishedJobResult): Promise<void>;
  /** Removes the record with its log: the coordinator knows the end of the job, or does not want to. */
  forget(): Promise<void>;
  /** Leaves the record to whoever looks for unfinished jobs next. */
  release(): Promise<void>;
}

/** Records of jobs, in files that outlive the process. */
export interface UnfinishedJobs {
  /** Starts the record of a job. This process owns it until it is released, forgotten or put aside. */
  begin(facts: UnfinishedJobFacts): Promise<UnfinishedJob>;
  /**
   * Takes over all records that nobody of this process owns. What cannot be used is put aside with a warning; what only cannot be read
   * now stays for the next time. What a process left that was killed while it started a record is removed.
   */
  takeOver(): Promise<readonly UnfinishedJob[]>;
}
