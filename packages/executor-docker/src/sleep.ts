/**
 * Waits, for as long as it takes: a timer of the platform ends after 24.8 days.
 *
 * @throws `signal.reason` as soon as the signal is aborted; timer and listener are gone by then
 */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    let remainingMs = ms;
    let timer: NodeJS.Timeout;
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const step = (): void => {
      if (remainingMs <= 0) {
        signal?.removeEventListener("abort", onAbort);
        resolve();
        return;
      }
      const stepMs = Math.min(remainingMs, LONGEST_TIMER_MS);
      remainingMs -= stepMs;
      timer = setTimeout(step, stepMs);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    step();
  });
}

/** Longest delay that `setTimeout` keeps; a longer one fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
