export type {
  AddedJob,
  CoordinatorHandler,
  LocalCoordinator,
  LocalCoordinatorOptions,
  LongPollingOptions,
  NewJob,
  RequestFacts,
} from "./coordinator.ts";
export { createLocalCoordinator, openLocalCoordinator } from "./create-coordinator.ts";
export { ConnectionDroppedError, LocalCoordinatorError } from "./errors.ts";
export type { LocalCoordinatorErrorCode } from "./errors.ts";
export type { CoordinatorEvent, CoordinatorListener } from "./events.ts";
export type { FinalUpdate, JobStatus, JobView, StoredArtifact, TraceView } from "./jobs/job-view.ts";
export type { CoordinatorLogger } from "./logger.ts";
export type { CommitFacts, GivenVariable, MergeRequestFacts, ProjectFacts, UserFacts } from "./pipeline/facts.ts";
export type {
  FileLookups,
  PipelineCacheOptions,
  PipelineResult,
  PipelineRun,
  PipelineStatus,
  StartPipelineOptions,
} from "./pipeline/pipeline-run.ts";
export type { RunnerOptions, RunnerView } from "./runners/runner-view.ts";
export { pipelineVariables } from "./pipeline/variables.ts";
export type { PipelineVariablesOptions } from "./pipeline/variables.ts";
export { startLocalCoordinator } from "./server.ts";
export type { StartedCoordinator, StartLocalCoordinatorOptions } from "./server.ts";
