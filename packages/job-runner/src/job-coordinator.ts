import type {
  ArtifactFile,
  ArtifactUpload,
  CallOptions,
  DownloadArtifactsResult,
  JobCredentials,
  JobUpdate,
  PatchTraceResult,
  TraceChunk,
  UpdateJobResult,
  UploadArtifactsResult,
} from "@fleetfoot/coordinator-client";

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
