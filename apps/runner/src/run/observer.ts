import type { CoordinatorClientOptions, JobPayload } from "@fleetfoot/coordinator-client";
import type { JobResult } from "@fleetfoot/job-runner";
import type { RunnerConfig, RunnerEntry } from "@fleetfoot/runner-config";

/** Is told what a runner does, to count it. Nothing of it may throw. */
export interface RunnerObserver {
  /** The configuration that is in force from now on. */
  configured(config: RunnerConfig): void;
  /** A new configuration was refused. */
  configurationFailed(): void;
  stateChanged(state: RunnerState): void;
  jobReceived(entry: RunnerEntry, job: JobPayload): JobObserver;
  /** What the client of a runner tells. */
  clientOf(entry: Pick<RunnerEntry, "token">): Pick<CoordinatorClientOptions, "onAttempt" | "onCall">;
}

/** @see job-execution 4.3 */
export type RunnerState = "starting" | "running" | "graceful-shutdown" | "forceful-shutdown";

/** Is told of one job. */
export interface JobObserver {
  stageStarted(stage: string): void;
  ended(result: JobResult): void;
}

/** Counts nothing. */
export const noopObserver: RunnerObserver = {
  configured: ignore,
  configurationFailed: ignore,
  stateChanged: ignore,
  jobReceived: () => ({ stageStarted: ignore, ended: ignore }),
  clientOf: () => ({}),
};

function ignore(): void {
  // Nobody counts.
}
