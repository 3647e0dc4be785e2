import { randomUUID } from "node:crypto";
import { open, rm } from "node:fs/promises";
import path from "node:path";

import { extractArchive, parseConcurrency } from "@fleetfoot/cache-archive";
import type { ArtifactFile, DownloadArtifactsOutcome, JobDependency } from "@fleetfoot/coordinator-client";

import type { JobLog } from "../job-log.ts";
import { ArtifactError, explain } from "./errors.ts";
import type { ArtifactErrorCode } from "./errors.ts";

export interface DownloadArtifactsOptions {
  readonly dependencies: readonly JobDependency[];
  /** Absolute path; artifacts are unpacked into it. */
  readonly projectDirectory: string;
  /** Existing directory for what is downloaded, which is removed after it was unpacked. */
  readonly temporaryDirectory: string;
  /** Variables of the job; only `FASTZIP_EXTRACTOR_CONCURRENCY` counts. @default {} */
  readonly environment?: Readonly<Record<string, string>>;
  /** Fetches one archive into a file, with its own tries, each of which starts over. */
  readonly download: (
    dependency: JobDependency,
    file: ArtifactFile,
  ) => Promise<{ readonly outcome: DownloadArtifactsOutcome; readonly message: string }>;
  readonly log: JobLog;
  readonly signal: AbortSignal;
}

/** Whether any dependency has artifacts. */
export function hasArtifactsToDownload(dependencies: readonly JobDependency[]): boolean {
  return dependencies.some((dependency) => hasFile(dependency));
}

/**
 * Downloads and unpacks the artifacts of one dependency after the other; later ones overwrite earlier ones.
 *
 * @throws {ArtifactError} which fails the job
 * @throws the signal's reason when it aborts
 * @see coordinator-protocol 9.2, cache document 6.4
 */
export async function downloadArtifacts(options: DownloadArtifactsOptions): Promise<void> {
  for (const dependency of options.dependencies) {
    options.signal.throwIfAborted();
    if (hasFile(dependency)) await restore(dependency, options);
  }
}

function hasFile({ artifacts_file: file }: JobDependency): boolean {
  return file?.filename !== undefined && file.filename !== "";
}

async function restore(dependency: JobDependency, options: DownloadArtifactsOptions): Promise<void> {
  const { temporaryDirectory, log } = options;
  const target = path.join(temporaryDirectory, `artifacts_${randomUUID()}`);
  log.plain(`Downloading artifacts from ${label(dependency)}`);
  try {
    await download(dependency, target, options);
    await unpack(dependency, target, options);
  } finally {
    await rm(target, { force: true });
  }
}

async function download(dependency: JobDependency, target: string, options: DownloadArtifactsOptions): Promise<void> {
  const result = await attempt("download-failed", `downloading artifacts from ${label(dependency)}`, options, () =>
    save(dependency, target, options),
  );
  if (result.outcome === "succeeded") return;
  const { code, advice } = REFUSALS[result.outcome];
  throw new ArtifactError(code, `downloading artifacts from ${label(dependency)} failed: ${result.message}. ${advice}`);
}

const REFUSALS: Readonly<
  Record<Exclude<DownloadArtifactsOutcome, "succeeded">, { readonly code: ArtifactErrorCode; readonly advice: string }>
> = {
  forbidden: {
    code: "download-forbidden",
    advice: "The coordinator does not let this job read them; check who may access the artifacts of that job.",
  },
  "not-found": {
    code: "download-not-found",
    advice: "They were deleted or have expired; run that job again, or set a longer `expire_in`.",
  },
  failed: { code: "download-failed", advice: "Retry the job once the coordinator answers again." },
};

async function save(
  dependency: JobDependency,
  target: string,
  options: DownloadArtifactsOptions,
): ReturnType<DownloadArtifactsOptions["download"]> {
  await using file = await open(target, "w", 0o600);
  return await options.download(dependency, file);
}

const CONCURRENCY = "FASTZIP_EXTRACTOR_CONCURRENCY";

async function unpack(
  dependency: JobDependency,
  archivePath: string,
  options: DownloadArtifactsOptions,
): Promise<void> {
  const { projectDirectory, environment = {}, signal, log } = options;
  const { entries, stagingError } = await attempt(
    "unpacking-failed",
    `unpacking artifacts from ${label(dependency)}`,
    options,
    async () => {
      const concurrency = parseConcurrency(environment[CONCURRENCY], CONCURRENCY);
      return await extractArchive({
        archivePath,
        root: projectDirectory,
        ...(concurrency === undefined ? {} : { concurrency }),
        signal,
      });
    },
  );
  if (stagingError !== undefined) log.warning(stagingError.message);
  log.plain(`Restored ${entries} files and directories from ${label(dependency)}`);
}

async function attempt<T>(
  code: ArtifactErrorCode,
  what: string,
  { signal }: DownloadArtifactsOptions,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    throw new ArtifactError(code, `${what} failed: ${explain(error)}`, { cause: error });
  }
}

function label({ id, name }: JobDependency): string {
  return `${name} (${id})`;
}
