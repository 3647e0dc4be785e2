import { createReadStream } from "node:fs";
import { Readable } from "node:stream";

import { CacheArchiveError, expandShellWord, selectFiles } from "@fleetfoot/cache-archive";
import type { Selection } from "@fleetfoot/cache-archive";
import { artifactFileName } from "@fleetfoot/coordinator-client";
import type { ArtifactUpload, JobArtifact, UploadArtifactsOutcome } from "@fleetfoot/coordinator-client";

import type { JobLog } from "../job-log.ts";
import { ArtifactError } from "./errors.ts";
import type { ArtifactErrorCode } from "./errors.ts";
import { packArtifacts } from "./pack.ts";

export interface UploadArtifactsOptions {
  readonly artifacts: readonly JobArtifact[];
  /** Whether the scripts succeeded; decides with each set's `when`. */
  readonly succeeded: boolean;
  /** Absolute path; paths of the artifacts are relative to it. */
  readonly projectDirectory: string;
  /** Existing directory for the packed files, which are removed after their upload. */
  readonly temporaryDirectory: string;
  /** Variables of the job; also `ARTIFACT_COMPRESSION_LEVEL` and `FASTZIP_ARCHIVER_CONCURRENCY`. */
  readonly environment: Readonly<Record<string, string>>;
  /** Sends one file, with its own tries. `open` may be called several times. */
  readonly upload: (
    upload: ArtifactUpload,
  ) => Promise<{ readonly outcome: UploadArtifactsOutcome; readonly message: string }>;
  readonly log: JobLog;
  readonly signal: AbortSignal;
}

/** Whether any set has to be uploaded after such an end of the scripts. */
export function hasArtifactsToUpload(artifacts: readonly JobArtifact[], succeeded: boolean): boolean {
  return artifacts.some((artifact) => isDue(artifact, succeeded));
}

/**
 * Packs and uploads one set of files after the other. A set without files is a line in the log; the first that cannot be
 * packed or uploaded ends the stage.
 *
 * @throws {ArtifactError} which fails a job that had succeeded
 * @throws the signal's reason when it aborts
 * @see coordinator-protocol 9.1, cache document 6.1 and 6.2
 */
export async function uploadArtifacts(options: UploadArtifactsOptions): Promise<void> {
  for (const artifact of options.artifacts) {
    options.signal.throwIfAborted();
    if (isDue(artifact, options.succeeded)) await uploadSet(artifact, options);
  }
}

function isDue({ when, paths, untracked }: JobArtifact, succeeded: boolean): boolean {
  if ((paths ?? []).length === 0 && untracked !== true) return false;
  switch (when) {
    case "always":
      return true;
    case "on_failure":
      return !succeeded;
    default:
      return succeeded;
  }
}

async function uploadSet(artifact: JobArtifact, options: UploadArtifactsOptions): Promise<void> {
  const { projectDirectory, temporaryDirectory, environment, log, signal } = options;
  const format = artifact.artifact_format || "zip";
  const fileName = artifactFileName(expandName(artifact.name, options), format);
  const { entries } = reported(
    await selectFiles({
      root: projectDirectory,
      paths: artifact.paths ?? [],
      exclude: artifact.exclude ?? [],
      untracked: artifact.untracked === true,
      environment,
      signal,
    }),
    log,
  );
  if (entries.length === 0) {
    log.error(`No files to upload for "${fileName}".`);
    return;
  }
  await using packed = await packArtifacts({
    fileName,
    format,
    entries,
    projectDirectory,
    temporaryDirectory,
    environment,
    log,
    signal,
  });
  const kind = artifact.artifact_type || "archive";
  log.plain(`Uploading artifacts as "${kind}" to the coordinator: ${fileName}, ${packed.bytes} bytes`);
  const result = await options.upload({
    fileName,
    ...(artifact.artifact_type ? { type: artifact.artifact_type } : {}),
    ...(artifact.artifact_format ? { format: artifact.artifact_format } : {}),
    ...(artifact.expire_in ? { expireIn: artifact.expire_in } : {}),
    open: () => Readable.toWeb(createReadStream(packed.path)) as ReadableStream<Uint8Array>,
  });
  if (result.outcome === "succeeded") return;
  const { code, advice } = REFUSALS[result.outcome];
  throw new ArtifactError(code, `uploading artifacts "${fileName}" failed: ${result.message}. ${advice}`);
}

const REFUSALS: Readonly<
  Record<Exclude<UploadArtifactsOutcome, "succeeded">, { readonly code: ArtifactErrorCode; readonly advice: string }>
> = {
  forbidden: {
    code: "upload-forbidden",
    advice: "The coordinator does not let this job upload; the job may have ended there already.",
  },
  "too-large": {
    code: "upload-too-large",
    advice: "Choose fewer files with `paths` and `exclude`, or raise the coordinator's limit for artifacts.",
  },
  failed: { code: "upload-failed", advice: "Retry the job once the coordinator answers again." },
};

/** An absent name stays absent; one that expands to nothing must not be taken for absent. */
function expandName(name: string | undefined, { environment, log }: UploadArtifactsOptions): string | undefined {
  if (name === undefined || name === "") return undefined;
  try {
    return expandShellWord(name, environment) || ".";
  } catch (error) {
    if (!CacheArchiveError.isInstance(error)) throw error;
    log.warning(`The name of the artifacts is taken as it is: ${error.message}`);
    return name;
  }
}

function reported(selection: Selection, log: JobLog): Selection {
  for (const { kind, item, count } of selection.reports) {
    if (count === 0) continue;
    if (kind === "exclude") log.plain(`${item}: excluded ${count} files and directories`);
    else log.plain(`${kind === "path" ? item : "untracked"}: found ${count} matching artifact files and directories`);
  }
  for (const warning of selection.warnings) log.warning(warning);
  return selection;
}
