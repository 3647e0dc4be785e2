import type { SpawnOptions, ChildProcess } from "node:child_process";

import type {
  CallOptions,
  DownloadArtifactsResult,
  FailureReason,
  JobCredentials,
  JobPayload,
  JobUpdate,
  Logger,
  PatchTraceResult,
  Secret,
  TraceChunk,
  UpdateJobResult,
  UploadArtifactsResult,
  ArtifactFile,
  ArtifactUpload,
} from "@fleetfoot/coordinator-client";

import type { CacheEvent, RemoteCache } from "./cache/index.ts";
import type { Executor } from "./executor.ts";
import type { UnfinishedJobs } from "./unfinished/index.ts";

/** What it takes to run one job. */
export interface RunJobOptions {
  readonly job: JobPayload;
  /**
   * Why the payload cannot be honoured, as the request for the job told it. Such a job is confirmed and then failed.
   *
   * @see coordinator-protocol 5.3
   */
  readonly rejection?: string;
  readonly runner: RunnerSettings;
  readonly client: JobCoordinator;
  readonly executor: Executor;
  /** Where caches lie beyond this host. @default caches stay on this host */
  readonly cacheStore?: RemoteCache;
  /** Existing directory for the buffer of the log; a job that has a record keeps its log there instead. */
  readonly stateDirectory: string;
  /**
   * Keeps a record of the job until the coordinator knows its end, so that a later process can report it.
   *
   * @default none is kept
   */
  readonly unfinishedJobs?: Pick<UnfinishedJobs, "begin">;
  /** Smallest number from 0 that no other running job of this runner has. */
  readonly concurrentId: number;
  /** The same among the running jobs of this runner and project; names the job's own copy of the project. */
  readonly concurrentProjectId: number;
  /** Stops the job because the process ends; its reason is a {@link JobInterrupted} of kind `process-stopped`. */
  readonly signal: AbortSignal;
  /**
   * Gives up telling the coordinator about the job: a call in flight or a wait for another try ends at once. The job still
   * resolves, with `delivered` false. It does not stop the job's stages, so abort `signal` before.
   *
   * @default the reporter's own limits
   */
  readonly giveUpSignal?: AbortSignal;
  /** Told at once what happens. Must not throw. @default nobody listens */
  readonly events?: (event: JobEvent) => void;
  /** @default noopLogger */
  readonly logger?: Logger;
  /**
   * Environment in which the runner's own processes (git) start, beneath the job's variables.
   *
   * @default {} (git is looked for where the platform looks without a PATH)
   */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Settings of the reporter, in its own words. @default the reporter's */
  readonly reporting?: ReportingSettings;
  /** Epoch milliseconds. @default Date.now */
  readonly now?: () => number;
  /** Waits; rejects with the signal's reason when it is aborted. @default a timer */
  readonly sleep?: Sleep;
  /** Starts the runner's own processes. @default node:child_process */
  readonly spawn?: Spawn;
}

export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;

export type Spawn = (command: string, args: readonly string[], options: SpawnOptions) => ChildProcess;

/** The runner that got the job, with its settings of the configuration file. */
export interface RunnerSettings {
  readonly name: string;
  /** Authentication token of the runner. */
  readonly token: Secret;
  /** This machine, for instance `s_0a1b2c3d4e5f`. */
  readonly systemId: string;
  /** Address of the instance. Without one no artifacts are uploaded. */
  readonly url: string;
  /** Name of the program in the log's first line and in git's user agent. @default "fleetfoot" */
  readonly program?: string;
  /** @default "development" */
  readonly version?: string;
  /** @default "unknown" */
  readonly revision?: string;
  /** Absolute directory below which projects lie. */
  readonly buildsDirectory: string;
  /** Absolute directory below which caches lie. */
  readonly cacheDirectory: string;
  /**
   * Whether jobs share the builds directory, so that each gets a directory of its own in it.
   *
   * @default true
   */
  readonly sharedBuildsDirectory?: boolean;
  /** Whether `GIT_CLONE_PATH` may move the project. @default false */
  readonly customBuildDirectory?: boolean;
  /** Entries `NAME=value` for every job; the job's own variables win. @default [] */
  readonly environment?: readonly string[];
  /** Flags `FF_*`; they win over the job's variables. @default {} */
  readonly featureFlags?: Readonly<Record<string, boolean>>;
  /** Shell for which scripts are written. @default "bash" */
  readonly shell?: "bash" | "sh";
  /** Bytes of log that are kept. @default 4_194_304 */
  readonly outputLimitBytes?: number;
  /** Whether `CI_DEBUG_TRACE` has no effect. @default false */
  readonly debugTraceDisabled?: boolean;
  /** Lines before the sources are fetched. */
  readonly preGetSourcesScript?: string;
  /** Lines after the sources were fetched. */
  readonly postGetSourcesScript?: string;
  /** Lines before each step, in the step's own shell. */
  readonly preBuildScript?: string;
  /** Lines after each step that succeeded, in the step's own shell. */
  readonly postBuildScript?: string;
  /** Address that replaces scheme and host of the repository's. */
  readonly cloneUrl?: string;
  /** Whether `.git/config` and hooks of an earlier job are removed. @default false */
  readonly cleanGitConfig?: boolean;
  /** Limit of the stages before the sources; the job's limit when 0, negative or longer. @default 0 */
  readonly prepareTimeoutMs?: number;
  /** Limit of fetching the sources, all tries together; as above. @default 0 */
  readonly getSourcesTimeoutMs?: number;
  /** Certificates for the instance, as PEM text, given to the job and to git. */
  readonly tls?: { readonly authority?: string; readonly certificate?: string; readonly key?: string };
}

/** The calls that a job needs; a coordinator client has them. */
export interface JobCoordinator {
  updateJob(job: JobCredentials, update: JobUpdate, options?: CallOptions): Promise<UpdateJobResult>;
  patchTrace(job: JobCredentials, chunk: TraceChunk, options?: CallOptions): Promise<PatchTraceResult>;
  uploadArtifacts(job: JobCredentials, upload: ArtifactUpload, options?: CallOptions): Promise<UploadArtifactsResult>;
  downloadArtifactsToFile(
    dependency: JobCredentials,
    file: ArtifactFile,
    options?: CallOptions,
  ): Promise<DownloadArtifactsResult>;
}

/** How hard the result is reported. */
export interface ReportingSettings {
  readonly initialIntervalMs?: number;
  readonly maxFinalRounds?: number;
  readonly maxFinalDurationMs?: number;
}

/** How a job ended. */
export interface JobResult {
  /** `dropped`: the coordinator did not want the job any longer before it began; nothing ran. */
  readonly outcome: "success" | "failed" | "dropped";
  /** Why it failed, before it was mapped to what the coordinator knows. */
  readonly failureReason?: FailureReason;
  /** Exit code of the script that failed. */
  readonly exitCode?: number;
  /** Text of the log's last line. */
  readonly message: string;
  /** Whether the coordinator took the result. */
  readonly delivered: boolean;
  readonly durationMs: number;
  /** The log as it was reported. */
  readonly trace: { readonly bytes: number; readonly checksum: string };
}

/** What happens in a job, for a live view. Times are epoch milliseconds. */
export type JobEvent =
  | { readonly type: "stage-started"; readonly stage: string; readonly atMs: number }
  | {
      readonly type: "stage-ended";
      readonly stage: string;
      readonly atMs: number;
      readonly durationMs: number;
      readonly succeeded: boolean;
    }
  | { readonly type: "cache"; readonly event: CacheEvent }
  | { readonly type: "finished"; readonly result: JobResult };
