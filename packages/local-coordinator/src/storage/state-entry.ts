import type { NewJob } from "../coordinator.ts";
import type { JobState } from "../jobs/job-state.ts";
import type { FinalUpdate, StoredArtifact } from "../jobs/job-view.ts";
import type { PipelineStatus, StartPipelineOptions } from "../pipeline/pipeline-run.ts";
import type { RunnerFeatures } from "../runners/runner-features.ts";

/** One thing as it is now; of several entries about the same thing the last one counts. */
export type StateEntry =
  | RunnerEntry
  | { readonly kind: "runner-gone"; readonly id: number }
  | { readonly kind: "job-origin"; readonly id: number; readonly origin: JobOrigin }
  | JobEntry
  | { readonly kind: "pipeline-origin"; readonly id: number; readonly origin: PipelineOrigin }
  | PipelineEntry;

export interface RunnerEntry {
  readonly kind: "runner";
  readonly id: number;
  readonly token: string;
  /** Token that the options gave it, when they did. */
  readonly givenToken?: string | undefined;
  readonly description: string;
  readonly tags: readonly string[];
  readonly runUntagged: boolean;
  readonly paused: boolean;
  readonly tokenLifetimeMs?: number | undefined;
  readonly tokenObtainedAtMs: number;
  readonly machines: Readonly<Record<string, RunnerFeatures>>;
}

/** What a job is, which never changes. */
export type JobOrigin =
  | { readonly kind: "single"; readonly job: NewJob }
  | {
      readonly kind: "pipeline";
      readonly pipelineId: number;
      readonly name: string;
      readonly retryOf?: number | undefined;
    };

/** Where a job stands. Fields are those of the job's record. */
export interface JobEntry {
  readonly kind: "job";
  readonly id: number;
  readonly state: JobState;
  readonly token?: string | undefined;
  readonly handOuts: number;
  readonly traceRestricted: boolean;
  readonly features: RunnerFeatures;
  readonly runnerId?: number | undefined;
  readonly failureReason?: string | undefined;
  readonly exitCode?: number | undefined;
  readonly message?: string | undefined;
  readonly createdAtMs: number;
  readonly queuedAtMs?: number | undefined;
  readonly startsAtMs?: number | undefined;
  readonly startedAtMs?: number | undefined;
  readonly finishedAtMs?: number | undefined;
  readonly retriedBy?: number | undefined;
  readonly finalUpdate?: FinalUpdate | undefined;
  readonly dotenv: Readonly<Record<string, string>>;
  /** Paths relative to the job's folder. */
  readonly artifacts: readonly StoredArtifact[];
  /** Only of a job that is over: the log of any other is what its file holds. */
  readonly trace?: { readonly bytes: number; readonly checksum: string } | undefined;
}

/** What of a pipeline's options is data. */
export type PipelineOrigin = Omit<StartPipelineOptions, "blobIdOf" | "lastCommitOf" | "listFiles"> & {
  readonly startedAtMs: number;
};

export interface PipelineEntry {
  readonly kind: "pipeline";
  readonly id: number;
  readonly status: PipelineStatus;
  readonly finishedAtMs?: number | undefined;
  readonly warnings: readonly string[];
  /** Names of the manual jobs that somebody started. */
  readonly played: readonly string[];
}
