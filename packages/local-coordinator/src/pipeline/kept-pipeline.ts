import type { JobRecord } from "../jobs/job-record.ts";
import type { JobState } from "../jobs/job-state.ts";
import type { JobEntry, PipelineOrigin } from "../storage/state-entry.ts";
import type { StoredTrace } from "../storage/trace-file.ts";
import type { PipelineRun, StartPipelineOptions } from "./pipeline-run.ts";

/** A job with what its file holds. */
export interface KeptJob {
  readonly name: string;
  readonly retryOf: number | undefined;
  readonly entry: JobEntry;
  readonly trace: StoredTrace;
}

export interface RestoredPipeline {
  readonly run: PipelineRun;
  /** Jobs that have, or wait for, a resource. */
  readonly claims: readonly { readonly group: string; readonly record: JobRecord }[];
  readonly resume: () => void;
}

/** What of a pipeline's options can be written down. */
export function originOfPipeline(options: StartPipelineOptions, startedAtMs: number): PipelineOrigin {
  const { blobIdOf: _, lastCommitOf: __, listFiles: ___, ...data } = options;
  return { ...data, startedAtMs };
}

/** Whether a job has, or waits for, its resource. */
export function hasClaim({ state }: JobRecord): boolean {
  return claimingStates.has(state);
}

const claimingStates: ReadonlySet<JobState> = new Set([
  "waiting_for_resource",
  "pending",
  "held",
  "running",
  "canceling",
]);
