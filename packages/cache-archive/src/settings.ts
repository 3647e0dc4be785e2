import { availableParallelism } from "node:os";
import { CacheArchiveError } from "./errors.ts";
import type { ArchiveFormat, CompressionLevel } from "./types.ts";

/** A value read from a variable, and what the job's log should say about it. */
export interface ParsedSetting<T> {
  readonly value: T;
  readonly warning?: string;
}

/**
 * Reads `CACHE_COMPRESSION_FORMAT`: any case; unknown and empty mean zip, without a word.
 *
 * @see https://docs.gitlab.com/ci/runners/configure_runners/ (cache document 3.1)
 */
export function parseArchiveFormat(text: string | undefined): ArchiveFormat {
  const name = (text ?? "").toLowerCase();
  return name === "zipzstd" || name === "tarzstd" ? name : "zip";
}

/**
 * Reads `CACHE_COMPRESSION_LEVEL` or `ARTIFACT_COMPRESSION_LEVEL`. The case counts; an unknown name means the default level and a warning.
 *
 * @see https://docs.gitlab.com/ci/runners/configure_runners/ (cache document 3.1)
 */
export function parseCompressionLevel(text: string | undefined): ParsedSetting<CompressionLevel> {
  switch (text) {
    case "fastest":
    case "fast":
    case "default":
    case "slow":
    case "slowest":
      return { value: text };
    case "":
    case undefined:
      return { value: "default" };
    default:
      return { value: "default", warning: `Unknown compression level "${text}"; using "default".` };
  }
}

/**
 * Reads `FASTZIP_ARCHIVER_CONCURRENCY` or `FASTZIP_EXTRACTOR_CONCURRENCY`.
 *
 * @returns undefined when it is not set, so that the default applies
 * @throws {CacheArchiveError} `invalid-option`: not an integer, or less than 1
 */
export function parseConcurrency(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (!/^[+-]?\d+$/.test(text)) {
    throw new CacheArchiveError({ code: "invalid-option", message: `concurrency "${text}" is not an integer` });
  }
  return checkedConcurrency(Number(text));
}

/** @throws {CacheArchiveError} `invalid-option`: less than 1, or not an integer */
export function checkedConcurrency(value: number | undefined): number {
  if (value === undefined) return availableParallelism();
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new CacheArchiveError({ code: "invalid-option", message: `concurrency must be at least 1, but is ${value}` });
}
