export { ArtifactError } from "./artifacts/index.ts";
export type { ArtifactErrorCode } from "./artifacts/index.ts";
export {
  listHostArchives,
  openRemoteCache,
  removeHostArchive,
  removeHostLeftovers,
  restoreCaches,
  saveCaches,
} from "./cache/index.ts";
export type {
  CacheArchiver,
  CacheEvent,
  CacheStageOptions,
  CacheTransfer,
  HostArchive,
  HostLeftovers,
  OpenRemoteCacheOptions,
  RemoteCache,
  SaveCachesOptions,
} from "./cache/index.ts";
export {
  GitFailedError,
  GitNotFoundError,
  JobConfigurationError,
  JobRunnerError,
  PayloadRejectedError,
  ScriptFailedError,
} from "./errors.ts";
export type {
  ClassifiedFailure,
  CollectOptions,
  Environment,
  Executor,
  JobDirectories,
  PrepareRequest,
  RunRequest,
  ScriptExit,
  Workspace,
} from "./executor.ts";
export { JobInterrupted } from "./interruption.ts";
export type { InterruptionKind } from "./interruption.ts";
export type { JobLog } from "./job-log.ts";
export type { JobCoordinator, ReportingSettings } from "./job-coordinator.ts";
export type { JobEvent, JobResult } from "./job-result.ts";
export type { RunJobOptions } from "./options.ts";
export type { Sleep, Spawn } from "./platform.ts";
export type { RunnerSettings } from "./runner-settings.ts";
export { runJob } from "./run-job.ts";
export { finishUnfinishedJob, openUnfinishedJobs, removeTemporaryFiles } from "./unfinished/index.ts";
export type {
  FinishUnfinishedJobOptions,
  OpenUnfinishedJobsOptions,
  UnfinishedJob,
  UnfinishedJobFacts,
  UnfinishedJobOutcome,
  UnfinishedJobResult,
  UnfinishedJobs,
} from "./unfinished/index.ts";
export { goArchitecture, goPlatform } from "./variables/collect-variables.ts";
