import { availableParallelism } from "node:os";
import { CacheArchiveError } from "./errors.ts";
import type { ArchiveFormat, CompressionLevel } from "./types.ts";

/** A value read from a variable, and what the job's log should say about it. */
export interface ParsedSetting<T> {
  readonly value: T;
  readonly warning?: string;
}

/**
 * Reads `CACHE_COMPRESSION_FORMAT`: any case. Empty means zip; so does an unknown name, with a warning.
 *
 * @param name - of the variable, for the warning
 * @see https://docs.gitlab.com/ci/runners/configure_runners/ (cache document 3.1)
 */
export function parseArchiveFormat(text: string | undefined, name: string): ParsedSetting<ArchiveFormat> {
  const format = (text ?? "").toLowerCase();
  if (format === "zip" || format === "zipzstd" || format === "tarzstd") return { value: format };
  if (format === "") return { value: "zip" };
  return { value: "zip", warning: unknown(name, text, "zip, zipzstd and tarzstd", "zip") };
}

/**
 * Reads `CACHE_COMPRESSION_LEVEL` or `ARTIFACT_COMPRESSION_LEVEL`. The case counts; an unknown name means the default level and a warning.
 *
 * @param name - of the variable, for the warning
 * @see https://docs.gitlab.com/ci/runners/configure_runners/ (cache document 3.1)
 */
export function parseCompressionLevel(text: string | undefined, name: string): ParsedSetting<CompressionLevel> {
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
      return { value: "default", warning: unknown(name, text, "fastest, fast, default, slow and slowest", "default") };
  }
}

/**
 * Reads `FASTZIP_ARCHIVER_CONCURRENCY` or `FASTZIP_EXTRACTOR_CONCURRENCY`.
 *
 * @param name - of the variable, for the error
 * @returns undefined when it is not set, so that the default applies
 * @throws {CacheArchiveError} `invalid-option`: not an integer, or less than 1
 */
export function parseConcurrency(text: string | undefined, name: string): number | undefined {
  if (text === undefined || text === "") return undefined;
  const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new CacheArchiveError({
    code: "invalid-option",
    message: `${name} is ${JSON.stringify(text)}: concurrency must be ${value < 1 ? "at least 1" : "an integer"}`,
  });
}

/** @throws {CacheArchiveError} `invalid-option`: less than 1, or not an integer */
export function checkedConcurrency(value: number | undefined): number {
  if (value === undefined) return availableParallelism();
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new CacheArchiveError({ code: "invalid-option", message: `concurrency must be at least 1, but is ${value}` });
}

function unknown(name: string, text: string | undefined, known: string, used: string): string {
  return `${name} is ${JSON.stringify(text)}, which is not known: "${used}" is used. It knows ${known}.`;
}
