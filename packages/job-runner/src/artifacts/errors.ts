import { CacheArchiveError } from "@fleetfoot/cache-archive";
import type { FailureReason } from "@fleetfoot/coordinator-client";

import { JobRunnerError } from "../errors.ts";

export type ArtifactErrorCode =
  /** The chosen files do not fit the format. */
  | "unsuitable-files"
  /** The files could not be packed. */
  | "packing-failed"
  | "upload-forbidden"
  | "upload-too-large"
  | "upload-failed"
  | "download-forbidden"
  | "download-not-found"
  | "download-failed"
  /** What was downloaded could not be unpacked. */
  | "unpacking-failed";

/** Artifacts could not be uploaded or downloaded. The message names them and says what to do. */
export class ArtifactError extends JobRunnerError {
  override readonly name = "ArtifactError";
  override readonly code: ArtifactErrorCode;
  /** `script_failure` when the job or its configuration has to change, `runner_system_failure` otherwise. */
  override readonly failureReason: FailureReason;
  override readonly retryable: boolean;

  constructor(code: ArtifactErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.failureReason = isJobsFault(code, options?.cause) ? "script_failure" : "runner_system_failure";
    this.retryable = code === "download-failed" || code === "upload-failed";
  }
}

/** The reason and the advice of an error from below, for the end of a message. */
export function explain(error: unknown): string {
  if (CacheArchiveError.isInstance(error)) return `${error.message}. ${error.advice}`;
  return error instanceof Error ? error.message : String(error);
}

function isJobsFault(code: ArtifactErrorCode, cause: unknown): boolean {
  switch (code) {
    case "upload-failed":
    case "download-failed":
      return false;
    case "packing-failed":
    case "unpacking-failed":
      return CacheArchiveError.isInstance(cause) && cause.code !== "io" && cause.code !== "no-space";
    default:
      return true;
  }
}
