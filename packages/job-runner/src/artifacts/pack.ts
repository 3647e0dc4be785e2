import { randomUUID } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import path from "node:path";

import {
  createArchive,
  parseCompressionLevel,
  parseConcurrency,
  printablePath,
  toFileSystemPath,
} from "@fleetfoot/cache-archive";
import type { ArchiveEntry, ArchiveFormat } from "@fleetfoot/cache-archive";

import type { JobLog } from "../job-log.ts";
import { ArtifactError, explain } from "./errors.ts";
import { writeGzipMembers } from "./gzip-members.ts";

export interface PackOptions {
  /** Under which it will be uploaded, for messages. */
  readonly fileName: string;
  readonly format: string;
  /** At least one, in byte order of the paths. */
  readonly entries: readonly ArchiveEntry[];
  readonly projectDirectory: string;
  readonly temporaryDirectory: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly log: JobLog;
  readonly signal: AbortSignal;
}

/** A file that is ready to be sent, as often as needed. Disposing removes it if it was made for that. */
export interface PackedArtifacts extends AsyncDisposable {
  readonly path: string | Buffer;
  readonly bytes: number;
}

/**
 * Packs once, so that every try of the upload sends the same bytes and none of them compresses again.
 *
 * @throws {ArtifactError} `unsuitable-files`, `packing-failed`
 * @throws the signal's reason when it aborts
 */
export async function packArtifacts(options: PackOptions): Promise<PackedArtifacts> {
  if (options.format === "raw") return await packRaw(options);
  const target = path.join(options.temporaryDirectory, `artifacts_${randomUUID()}`);
  const remove = async (): Promise<void> => await rm(target, { force: true });
  try {
    const bytes = await (options.format === "gzip" ? packGzip(target, options) : packArchive(target, options));
    return { path: target, bytes, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw failure(error, options);
  }
}

const LEVEL = "ARTIFACT_COMPRESSION_LEVEL";
const CONCURRENCY = "FASTZIP_ARCHIVER_CONCURRENCY";

async function packArchive(target: string, options: PackOptions): Promise<number> {
  const { entries, projectDirectory, environment, log, signal } = options;
  const { value: level, warning } = parseCompressionLevel(environment[LEVEL], LEVEL);
  if (warning !== undefined) log.warning(warning);
  const concurrency = parseConcurrency(environment[CONCURRENCY], CONCURRENCY);
  const { bytes } = await createArchive({
    root: projectDirectory,
    entries,
    archivePath: target,
    format: archiveFormat(options),
    level,
    ...(concurrency === undefined ? {} : { concurrency }),
    signal,
  });
  return bytes;
}

function archiveFormat({ format, fileName }: PackOptions): ArchiveFormat {
  if (format === "zip" || format === "zipzstd" || format === "tarzstd") return format;
  throw new ArtifactError(
    "unsuitable-files",
    `packing artifacts "${fileName}" failed: the format "${format}" is not known. Use zip, gzip or raw.`,
  );
}

async function packGzip(target: string, options: PackOptions): Promise<number> {
  const { entries, projectDirectory, log, signal } = options;
  const other = entries.find((entry) => entry.kind !== "file");
  if (other !== undefined) {
    throw new ArtifactError(
      "unsuitable-files",
      `packing artifacts "${options.fileName}" failed: "${printablePath(other.path)}" is a ${other.kind}, but a report ` +
        `consists of files. Name the files, for example with a pattern such as "reports/*.xml".`,
    );
  }
  return await writeGzipMembers({ target, root: projectDirectory, entries, warn: (line) => log.warning(line), signal });
}

async function packRaw(options: PackOptions): Promise<PackedArtifacts> {
  const { entries, fileName, projectDirectory } = options;
  const [entry] = entries;
  if (entry === undefined || entries.length > 1 || entry.kind !== "file") {
    const found = entries.length === 1 ? `a ${entry?.kind}` : `${entries.length} files and directories`;
    throw new ArtifactError(
      "unsuitable-files",
      `packing artifacts "${fileName}" failed: this kind of report is exactly one file, but its paths match ${found}. ` +
        `Name one file.`,
    );
  }
  const place = toFileSystemPath(`${projectDirectory}/${entry.path}`);
  try {
    // It is sent from where it lies, and stays there.
    return { path: place, bytes: (await stat(place)).size, [Symbol.asyncDispose]: async () => undefined };
  } catch (error) {
    throw failure(error, options);
  }
}

function failure(error: unknown, { fileName, signal }: PackOptions): unknown {
  signal.throwIfAborted();
  if (ArtifactError.isInstance(error)) return error;
  return new ArtifactError("packing-failed", `packing artifacts "${fileName}" failed: ${explain(error)}`, {
    cause: error,
  });
}
