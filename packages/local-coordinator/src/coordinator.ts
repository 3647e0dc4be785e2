import type { JobPayload } from "@fleetfoot/coordinator-client";

import type { CoordinatorListener } from "./events.ts";
import type { JobView } from "./jobs/job-view.ts";
import type { CoordinatorLogger } from "./logger.ts";
import type { FileLookups, PipelineRun, StartPipelineOptions } from "./pipeline/pipeline-run.ts";
import type { RunnerOptions, RunnerView } from "./runners/runner-view.ts";

export interface LocalCoordinatorOptions {
  /** Folder for logs, artifacts, counters and, of one that can be opened again, all the rest; made when missing. One coordinator at a time. */
  readonly stateDirectory: string;
  /** Address that jobs see in `CI_SERVER_URL` and the like. @default "http://localhost" */
  readonly url?: string;
  /** Runners that exist from the start. */
  readonly runners?: readonly RunnerOptions[];
  /** Token for `POST /runners`; undefined: answered 410, as by an instance that forbids it. */
  readonly registrationToken?: string;
  readonly longPolling?: LongPollingOptions;
  /** Jobs wait for the runner's confirmation when the runner knows how to give it. @default true */
  readonly twoPhaseCommit?: boolean;
  /** Time for that confirmation, in milliseconds; after it the job is handed out again under a new token. @default 120000 */
  readonly confirmationTimeoutMs?: number;
  /** A running job without any sign of its runner for this long has failed, in milliseconds. @default 3600000 */
  readonly lostJobTimeoutMs?: number;
  /** Pause between trace updates that runners are told, in whole seconds. @default 3 */
  readonly traceUpdateIntervalSeconds?: number;
  /** A job with a larger log fails. @default 104857600 */
  readonly maxTraceBytes?: number;
  /** False answers uploads with 405, as an instance that has artifacts switched off. @default true */
  readonly artifactsEnabled?: boolean;
  /** Larger uploads are refused with 413. @default unlimited */
  readonly maxArtifactBytes?: number;
  /** Token prefixes that runners mask in addition to their own. @default [] */
  readonly tokenMaskPrefixes?: readonly string[];
  /** For the pipelines that bring none of their own, as those of an earlier process cannot. */
  readonly fileLookups?: FileLookups;
  readonly listener?: CoordinatorListener;
  readonly logger?: CoordinatorLogger;
  /** Epoch milliseconds. @default Date.now */
  readonly now?: () => number;
  /** Rejects with the signal's reason when aborted. @default a timer */
  readonly sleep?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  /** Hexadecimal text of the given number of random bytes, for tokens. @default node:crypto */
  readonly randomHex?: (bytes: number) => string;
}

export interface LongPollingOptions {
  /** How long a poll with nothing to answer is kept open, in milliseconds; 0 answers at once. @default 0 */
  readonly holdMs: number;
  /**
   * What a kept poll gets when a job arrives: `ask-again` is the protocol's empty 204 and only keeps polls that name the
   * current version; `assign` keeps every poll and answers with the job itself, which saves the runner's pause.
   * @default "ask-again"
   */
  readonly onWake?: "ask-again" | "assign";
}

/** What is known of a request besides the request itself. */
export interface RequestFacts {
  /** Equal for requests that came over the same connection. */
  readonly connectionId?: string;
}

export type CoordinatorHandler = (request: Request, facts?: RequestFacts) => Promise<Response>;

/** Any part of a payload; what is left out gets the values of a small job that needs no sources. */
export interface NewJob extends Partial<Omit<JobPayload, "id" | "job_info" | "git_info" | "runner_info" | "features">> {
  readonly job_info?: Partial<JobPayload["job_info"]>;
  readonly git_info?: Partial<JobPayload["git_info"]>;
  readonly runner_info?: Partial<JobPayload["runner_info"]>;
  readonly features?: Partial<JobPayload["features"]>;
  /** Tags that a runner needs. @default [] */
  readonly tags?: readonly string[];
}

export interface AddedJob {
  readonly id: number;
  /** Resolves when the job is over; never rejects. */
  readonly finished: Promise<JobView>;
}

/** A coordinator in this process. */
export interface LocalCoordinator {
  /**
   * Answers one request of a runner, below any path that ends in `/api/v4`. What fails inside is answered 500.
   *
   * @throws the request's abort reason once it is aborted
   * @see coordinator-protocol 3 to 9
   */
  readonly handle: CoordinatorHandler;
  /** The same as a `fetch` function, for a client in this process: no socket, no port. */
  readonly fetch: (input: string | URL | Request, init?: RequestInit) => Promise<Response>;
  /** Makes a runner; the token is shown here only. */
  createRunner(options?: RunnerOptions): { readonly id: number; readonly token: string };
  readonly runners: readonly RunnerView[];
  /**
   * Queues one job.
   *
   * @throws {LocalCoordinatorError} `closed`
   */
  addJob(job: NewJob): AddedJob;
  /**
   * Queues the jobs of a pipeline as their turn comes.
   *
   * @throws {LocalCoordinatorError} `closed`
   */
  startPipeline(options: StartPipelineOptions): PipelineRun;
  /** All pipelines, oldest first. */
  readonly pipelines: readonly PipelineRun[];
  /**
   * Resolves when everything so far would survive a crash: jobs and pipelines that were added, runners that were made. What
   * runners are told is safe before they are told it.
   *
   * @throws what keeps the state directory from being written
   */
  flush(): Promise<void>;
  /** Resolves when the job is over; at once for one that is. Undefined when there is none of that id. */
  whenOver(id: number): Promise<JobView> | undefined;
  /** Snapshot of a job; undefined when there is none of that id. */
  job(id: number): JobView | undefined;
  /** The job that a runner was given with this token and that is not over; who serves its sources asks this. */
  jobByToken(token: string): JobView | undefined;
  readonly jobs: readonly JobView[];
  /**
   * Bytes of a job's log, also while it runs.
   *
   * @param range - `offset` in bytes (default 0), `maxBytes` (default: to the end)
   * @throws {LocalCoordinatorError} `unknown-job`
   */
  readTrace(id: number, range?: { readonly offset?: number; readonly maxBytes?: number }): Promise<Uint8Array>;
  /**
   * Cancels a job. A running one is asked to stop (`canceling`) when its runner knows how to, otherwise, or with `force`,
   * it is `canceled` at once. False when it was over already.
   */
  cancelJob(id: number, options?: { readonly force?: boolean }): boolean;
  /** Hands out no further job: every poll, one that is kept open as well, is answered that there is none. Running jobs go on. */
  stopHandingOut(): void;
  /** Makes all later jobs of the project use new cache names; returns how often that has been done. Nothing is deleted. */
  clearCaches(projectId: number): Promise<number>;
  /** Adds a listener; the returned function removes it. */
  subscribe(listener: CoordinatorListener): () => void;
  /**
   * Answers kept polls and closes files. Jobs are cancelled when nothing outlives this coordinator, and otherwise stay as they
   * are for the next one.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
