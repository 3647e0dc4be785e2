import type { Pipeline } from "@fleetfoot/ci-config";
import type { JobView } from "../jobs/job-view.ts";
import type { CommitFacts, GivenVariable, MergeRequestFacts, ProjectFacts, UserFacts } from "./facts.ts";

/** How the sources of a commit are looked into, for cache keys that are made from files. */
export interface FileLookups {
  /** Id (hex) of the git blob at a path of the commit; undefined when there is none. Needed for `cache:key:files`. */
  readonly blobIdOf?: (path: string) => Promise<string | undefined> | string | undefined;
  /** Id of the last commit that touched a path. Needed for `cache:key:files_commits`. */
  readonly lastCommitOf?: (path: string) => Promise<string | undefined> | string | undefined;
  /** Paths of the commit's tree, for globs in `cache:key:files`. */
  readonly listFiles?: () => Promise<readonly string[]> | readonly string[];
}

export interface StartPipelineOptions extends FileLookups {
  readonly pipeline: Pipeline;
  readonly project: ProjectFacts;
  readonly commit: CommitFacts;
  /**
   * Where runners fetch the sources: an `http(s)` URL (the job token is put into it), what begins with `./` (relative to the
   * coordinator's own address, wherever that is when a job is handed out), or a path or `file:` URL.
   */
  readonly repositoryUrl: string;
  /** `CI_PIPELINE_SOURCE`. @default "push" */
  readonly source?: string;
  readonly mergeRequest?: MergeRequestFacts;
  /** @default a user named after the coordinator */
  readonly user?: UserFacts;
  /** Variables of the project and of the command line; later ones win, and all win over those of the configuration. */
  readonly variables?: readonly GivenVariable[];
  /** Seconds for jobs without a timeout of their own. @default 3600 */
  readonly defaultTimeoutSeconds?: number;
  /** Names (or base names) of manual jobs that run without being asked for again. */
  readonly play?: readonly string[];
  /** Delayed jobs start at once. @default false */
  readonly ignoreDelays?: boolean;
  /** Every runner may take every job, whatever its tags. @default false */
  readonly ignoreTags?: boolean;
  readonly cache?: PipelineCacheOptions;
}

export interface PipelineCacheOptions {
  /** How often the project's caches were cleared; undefined: as `clearCaches` counted. */
  readonly clearIndex?: number;
  /** Keeps caches of protected and unprotected refs apart. @default true */
  readonly separateCaches?: boolean;
}

export type PipelineStatus = "running" | "success" | "failed" | "canceled" | "skipped" | "manual";

/** A pipeline that is being run; it goes on by itself as runners take its jobs. */
export interface PipelineRun {
  readonly id: number;
  /** The configuration that it was made from, relative to the project. */
  readonly configPath: string;
  readonly status: PipelineStatus;
  /** The job of each name as it stands now: the last attempt. */
  readonly jobs: readonly JobView[];
  /** Things to tell the user, each once. */
  readonly warnings: readonly string[];
  /** Resolves when nothing of the pipeline can run any more; never rejects. */
  readonly finished: Promise<PipelineResult>;
  /** Starts a manual job; false when no job of that name waits for it. */
  play(name: string): boolean;
  /** Cancels every job that is not over: waiting ones at once, running ones as `cancelJob` does. */
  cancel(options?: { readonly force?: boolean }): void;
}

export interface PipelineResult {
  readonly id: number;
  /** `manual`: what is left waits for a manual job that nobody asked for. */
  readonly status: Exclude<PipelineStatus, "running">;
  /** A job failed that was allowed to. */
  readonly passedWithWarnings: boolean;
  /** In order of the configuration, the last attempt of each. */
  readonly jobs: readonly JobView[];
  /** Earlier attempts of jobs that were retried, oldest first. */
  readonly retried: readonly JobView[];
  readonly warnings: readonly string[];
  /** Epoch milliseconds. */
  readonly startedAtMs: number;
  /** Epoch milliseconds. */
  readonly finishedAtMs: number;
}
