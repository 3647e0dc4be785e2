export type {
  ArtifactFile,
  ArtifactUpload,
  AttemptRecord,
  CallOptions,
  CloseOptions,
  CallRecord,
  JobSession,
  ResetTokenRequest,
  CoordinatorClient,
  CoordinatorClientOptions,
  DownloadArtifactsOutcome,
  DownloadArtifactsResult,
  DownloadToFileOptions,
  FetchLike,
  JobCertificates,
  JobCredentials,
  RegisteredRunner,
  RegisterRunnerRequest,
  RegisterRunnerResult,
  RequestJobRequest,
  RequestJobResult,
  RunnerCredentials,
  UnregisterRunnerResult,
  UploadArtifactsOptions,
  UploadArtifactsOutcome,
  UploadArtifactsResult,
  VerifyRunnerOutcome,
  VerifyRunnerResult,
} from "./client.ts";
export { createCoordinatorClient } from "./create-client.ts";
export type { FailureReason } from "./failure-reason.ts";
export { FAILURE_REASONS, mapFailureReason, normaliseExitCode } from "./failure-reason.ts";
export { artifactFileName } from "./calls/artifact-name.ts";
export { CoordinatorError, InvalidInstanceUrlError, InvalidLabelsError, TransportError } from "./errors.ts";
export { normaliseInstanceUrl } from "./instance-url.ts";
export type { LogFields, Logger } from "./logger.ts";
export { noopLogger } from "./logger.ts";
export type {
  GitInfo,
  JobArtifact,
  JobCache,
  JobCredential,
  JobDependency,
  JobHook,
  JobImage,
  JobInfo,
  JobPayload,
  JobStep,
  JobVariable,
  PolicyOptions,
  RunnerLimits,
  ServerFeatures,
  SuspendOptions,
  TracingFeature,
} from "./payload.ts";
export type {
  CallFacts,
  JobSignals,
  JobUpdate,
  PatchTraceOutcome,
  PatchTraceResult,
  TraceChunk,
  UpdateJobOutcome,
  UpdateJobResult,
} from "./results.ts";
export { CLIENT_ERROR_STATUS, NO_ANSWER_STATUS } from "./results.ts";
export type { RunnerFeature, RunnerInfo } from "./runner-info.ts";
export { RUNNER_FEATURES } from "./runner-info.ts";
export { Secret } from "./secret.ts";
export { tokenRotationAtMs } from "./token-rotation.ts";
export { shortToken } from "./short-token.ts";
export type { JobAssignment, PolledRunner, Poller, PollingConfig, PollingOptions } from "./polling/types.ts";
export type {
  JobFailure,
  JobReporter,
  JobReporterOptions,
  ReportingCalls,
  ReportResult,
  TraceSource,
} from "./reporting/types.ts";
export { startJobReporter } from "./reporting/job-reporter.ts";
export type { TlsFiles } from "./transport/tls-files.ts";
export { startPolling } from "./polling/poller.ts";
