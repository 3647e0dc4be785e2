import { JobConfigurationError } from "../errors.ts";
import { parseBoolean } from "../variables/settings.ts";
import type { CacheStageOptions } from "./types.ts";

/**
 * Reads how a job wants its caches transferred, in either direction.
 *
 * @throws {JobConfigurationError} a negative number of parts, or length of a part; the cache fails, not the job
 * @see https://docs.gitlab.com/ci/runners/configure_runners/ (cache document 4.1, 4.3, 4.4)
 */
export function partSettings({ lookup }: Pick<CacheStageOptions, "lookup">): PartSettings {
  const parallel = parseBoolean(lookup("FF_USE_PARALLEL_CACHE_TRANSFER") ?? "") ?? false;
  const concurrency = nonNegative("CACHE_CONCURRENCY", lookup("CACHE_CONCURRENCY")) ?? defaultConcurrency;
  const chunkBytes = nonNegative("CACHE_CHUNK_SIZE", lookup("CACHE_CHUNK_SIZE")) ?? 0;
  // 0 parts at once are one after the other, too.
  return { concurrency: parallel ? Math.max(1, concurrency) : 1, ...(chunkBytes === 0 ? {} : { chunkBytes }) };
}

interface PartSettings {
  /** Parts that are transferred at once. */
  readonly concurrency: number;
  /** Length of one part in bytes, when the job has a wish. */
  readonly chunkBytes?: number;
}

/** Reads how long one try may take; the number of tries is not the job's to choose. */
export function trySettings({
  lookup,
  jobTimeoutMs: timeLimitMs,
  sleep,
  signal,
}: Pick<CacheStageOptions, "lookup" | "jobTimeoutMs" | "sleep" | "signal">): TrySettings {
  const minutes = Number(lookup("CACHE_REQUEST_TIMEOUT") ?? "");
  const usable = Number.isInteger(minutes) && minutes > 0 && minutes <= longestTimeoutMinutes;
  return { attemptTimeoutMs: (usable ? minutes : defaultTimeoutMinutes) * 60_000, timeLimitMs, sleep, signal };
}

interface TrySettings {
  readonly attemptTimeoutMs: number;
  /** Of the whole job: no transfer takes longer. */
  readonly timeLimitMs: number | undefined;
  readonly sleep: CacheStageOptions["sleep"];
  readonly signal: AbortSignal;
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
