import type { Clock } from "../clock.ts";

/** A clock that stands still until a test moves it. */
export interface ManualClock extends Clock {
  /** Moves it, and ends the waits that are over then, in their order. */
  advance(milliseconds: number): Promise<void>;
  /** Resolves when something waits that would end within the time. */
  waitsFor(milliseconds: number): Promise<void>;
}

interface Sleeper {
  readonly atMs: number;
  readonly wake: () => void;
}

export function createManualClock(startMs: number = Date.parse("2026-11-21T12:00:00Z")): ManualClock {
  let nowMs = startMs;
  const sleepers = new Set<Sleeper>();
  const onSleep: (() => void)[] = [];
  return {
    now: () => nowMs,
    sleep(milliseconds, signal) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(signal.reason as Error);
        const onAbort = (): void => {
          sleepers.delete(sleeper);
          reject(signal?.reason as Error);
        };
        const sleeper: Sleeper = {
          atMs: nowMs + milliseconds,
          wake: () => {
            signal?.removeEventListener("abort", onAbort);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener("abort", onAbort, { once: true });
        for (const callback of onSleep.splice(0)) callback();
      });
    },
    async advance(milliseconds) {
      const endMs = nowMs + milliseconds;
      for (;;) {
        await settled();
        const [next] = [...sleepers].filter(({ atMs }) => atMs <= endMs).sort((one, other) => one.atMs - other.atMs);
        if (next === undefined) break;
        sleepers.delete(next);
        nowMs = Math.max(nowMs, next.atMs);
        next.wake();
      }
      nowMs = endMs;
      await settled();
    },
    async waitsFor(milliseconds) {
      while (![...sleepers].some(({ atMs }) => atMs <= nowMs + milliseconds)) {
        await new Promise<void>((resolve) => {
          onSleep.push(resolve);
        });
      }
    },
  };
}

/** Lets everything run that only waits for a turn of the event loop. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
