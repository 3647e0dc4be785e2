/**
 * Waits, for as long as it takes: a timer of the platform ends after 24.8 days, a coordinator may ask for longer. Never
 * wakes up early, as a timer of the platform may by a fraction of a millisecond.
 *
 * @throws `signal.reason` as soon as the signal is aborted; timer and listener are gone by then
 */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const end = performance.now() + ms;
    let timer: NodeJS.Timeout;
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const check = (): void => {
      const remainingMs = end - performance.now();
      if (remainingMs > 0) {
        timer = setTimeout(check, Math.min(Math.ceil(remainingMs), LONGEST_TIMER_MS));
        return;
      }
      signal?.removeEventListener("abort", onAbort);
      resolve();
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    check();
  });
}

/** Longest delay that `setTimeout` keeps; a longer one fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
