import { setTimeout as timer } from "node:timers/promises";

/** @throws `signal.reason` as soon as the signal is aborted; timer and listener are gone by then */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    // One that the platform takes; a longer one would end at once.
    for (let leftMs = ms; leftMs > 0; leftMs -= LONGEST_TIMER_MS) {
      await timer(Math.min(leftMs, LONGEST_TIMER_MS), undefined, signal === undefined ? {} : { signal });
    }
    signal?.throwIfAborted();
  } catch (error) {
    // The platform's own error only has the reason as its cause.
    signal?.throwIfAborted();
    throw error;
  }
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;
