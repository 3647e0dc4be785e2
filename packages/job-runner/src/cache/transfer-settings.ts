import type { DownloadOptions } from "@fleetfoot/cache-backend";

import { JobConfigurationError } from "../errors.ts";
import { parseBoolean } from "../variables/settings.ts";
import type { CacheStageOptions } from "./types.ts";

/**
 * Reads how a job wants its caches transferred.
 *
 * @throws {JobConfigurationError} a negative number of parts, or length of a part; the cache fails, not the job
 * @see https://docs.gitlab.com/ci/runners/configure_runners/ (cache document 4.1, 4.3)
 */
export function downloadSettings({ lookup, sleep, signal }: CacheStageOptions): DownloadOptions {
  const parallel = parseBoolean(lookup("FF_USE_PARALLEL_CACHE_TRANSFER") ?? "") ?? false;
  const concurrency = nonNegative("CACHE_CONCURRENCY", lookup("CACHE_CONCURRENCY"));
  const chunkBytes = nonNegative("CACHE_CHUNK_SIZE", lookup("CACHE_CHUNK_SIZE")) ?? 0;
  return {
    ...uploadSettings({ lookup, sleep, signal }),
    concurrency: parallel ? (concurrency ?? defaultConcurrency) : 1,
    ...(chunkBytes === 0 ? {} : { chunkBytes }),
  };
}

/** Reads how long one try may take; the number of tries is not the job's to choose. */
export function uploadSettings({
  lookup,
  sleep,
  signal,
}: Pick<CacheStageOptions, "lookup" | "sleep" | "signal">): Pick<
  DownloadOptions,
  "attemptTimeoutMs" | "sleep" | "signal"
> {
  const minutes = Number(lookup("CACHE_REQUEST_TIMEOUT") ?? "");
  const usable = Number.isInteger(minutes) && minutes > 0 && minutes <= longestTimeoutMinutes;
  return { attemptTimeoutMs: (usable ? minutes : defaultTimeoutMinutes) * 60_000, sleep, signal };
}

/** The shorter of the runner's limit and the job's; a job cannot lift what the runner's owner set. */
export function uploadLimitBytes({ lookup, store }: CacheStageOptions): number {
  const limits = [store?.maxUploadedArchiveBytes ?? 0, Number(lookup("CACHE_MAX_UPLOADED_ARCHIVE_SIZE") ?? "")];
  return Math.min(...limits.map((limit) => (limit > 0 ? limit : Infinity)));
}

const defaultConcurrency = 16;
const defaultTimeoutMinutes = 10;
/** More milliseconds than this do not fit into a timer. */
const longestTimeoutMinutes = 35_000;

function nonNegative(name: string, text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new JobConfigurationError(`${name} must be a number from 0, not ${JSON.stringify(text)}`);
}
