import type { Sleep } from "../platform.ts";

/** Time that passes only when a test says so. */
export interface ManualSleep {
  readonly sleep: Sleep;
  /** Ends the oldest wait of exactly this length, as soon as there is one. */
  elapse(ms: number): Promise<void>;
  /** Every wait that was begun, in order. */
  readonly waits: readonly number[];
  /** Waits that have neither ended nor been aborted. */
  readonly pending: number;
}

/** @param instant - waits that end at once */
export function createManualSleep(instant: readonly number[] = []): ManualSleep {
  const waits: number[] = [];
  const asleep: { readonly ms: number; readonly wake: () => void }[] = [];
  let begun = Promise.withResolvers<void>();

  const sleep: Sleep = (ms, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      waits.push(ms);
      if (instant.includes(ms)) {
        resolve();
        return;
      }
      const forget = (): void => {
        asleep.splice(asleep.indexOf(sleeper), 1);
        signal?.removeEventListener("abort", onAbort);
      };
      const onAbort = (): void => {
        forget();
        reject(signal?.reason as Error);
      };
      const sleeper = {
        ms,
        wake: () => {
          forget();
          resolve();
        },
      };
      asleep.push(sleeper);
      signal?.addEventListener("abort", onAbort, { once: true });
      begun.resolve();
      begun = Promise.withResolvers();
    });

  return {
    sleep,
    waits,
    get pending() {
      return asleep.length;
    },
    elapse: async (ms) => {
      for (;;) {
        const sleeper = asleep.find((candidate) => candidate.ms === ms);
        if (sleeper !== undefined) return sleeper.wake();
        await begun.promise;
      }
    },
  };
}
