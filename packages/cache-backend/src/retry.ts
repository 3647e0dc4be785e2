import { setTimeout as wait } from "node:timers/promises";
import { CacheStoreError } from "./errors.ts";

export interface RetryOptions {
  /** Tries in all, the first included. @default 3 */
  readonly maxAttempts?: number | undefined;
  /** Pause before a further try, in milliseconds. @default 1000 */
  readonly retryDelayMs?: number | undefined;
  /** Longest duration of one try, in milliseconds. @default 600000 */
  readonly attemptTimeoutMs?: number | undefined;
  /** Waits; rejects with the signal's reason when aborted. @default a timer */
  readonly sleep?: ((milliseconds: number, signal?: AbortSignal) => Promise<void>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Tries a transfer again while it fails with a {@link CacheStoreError} that is `retryable`. A try that takes too long is
 * ended, and counts as one that failed so.
 *
 * @param attempt - gets the signal of its own try
 * @throws the error of the last try
 * @see https://docs.gitlab.com/ci/caching/ (cache document 4.1)
 */
export async function retryTransfer<Result>(
  what: { readonly store: string; readonly operation: string; readonly object: string },
  attempt: (signal: AbortSignal) => Promise<Result>,
  options: RetryOptions = {},
): Promise<Result> {
  const { maxAttempts = 3, retryDelayMs = 1000, attemptTimeoutMs = 600_000, sleep = realSleep, signal } = options;
  for (let tries = 1; ; tries += 1) {
    signal?.throwIfAborted();
    const timeout = AbortSignal.timeout(attemptTimeoutMs);
    try {
      return await attempt(signal === undefined ? timeout : AbortSignal.any([signal, timeout]));
    } catch (error) {
      signal?.throwIfAborted();
      const failure = timeout.aborted ? tookTooLong(what, attemptTimeoutMs, error) : error;
      if (tries >= maxAttempts || !CacheStoreError.isInstance(failure) || !failure.retryable) throw failure;
    }
    await sleep(retryDelayMs, signal);
  }
}

function tookTooLong(
  what: { readonly store: string; readonly operation: string; readonly object: string },
  limitMs: number,
  cause: unknown,
): CacheStoreError {
  return new CacheStoreError({ code: "timeout", ...what, reason: `not finished after ${limitMs} ms` }, { cause });
}

async function realSleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  try {
    await wait(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
