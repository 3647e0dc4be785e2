import type { JobPayload, Logger } from "@fleetfoot/coordinator-client";

import type { RemoteCache } from "./cache/index.ts";
import type { Executor } from "./executor.ts";
import type { JobCoordinator, ReportingSettings } from "./job-coordinator.ts";
import type { JobEvent } from "./job-result.ts";
import type { Sleep, Spawn } from "./platform.ts";
import type { RunnerSettings } from "./runner-settings.ts";
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
