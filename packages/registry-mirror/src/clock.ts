import { setTimeout as wait } from "node:timers/promises";

/** Time, as the mirror sees it. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  /** Waits; rejects with the signal's reason when it is aborted. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** The clock of this machine. A wait keeps no process alive. */
export const systemClock: Clock = {
  now: Date.now,
  async sleep(milliseconds, signal) {
    try {
      await wait(milliseconds, undefined, { ref: false, ...(signal === undefined ? {} : { signal }) });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};

/**
 * Runs an action that must end within a time. Its signal is aborted with the error that `late` makes when it does not, and
 * the action is not waited for any longer.
 */
export async function withDeadline<Result>(
  clock: Clock,
  milliseconds: number,
  late: () => Error,
  action: (signal: AbortSignal) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const timer = new AbortController();
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => {});
  const stop = (reason: unknown): void => {
    controller.abort(reason);
    ended.reject(reason);
  };
  const onAbort = (): void => stop(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  // Rejects when the action ends first, which is the usual case.
  clock.sleep(milliseconds, timer.signal).then(
    () => stop(late()),
    () => {},
  );
  try {
    return await Promise.race([action(controller.signal), ended.promise]);
  } finally {
    timer.abort();
    signal?.removeEventListener("abort", onAbort);
  }
}
