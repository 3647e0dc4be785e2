import { TransportError } from "../errors.ts";

/** Ends one request when its caller wants that or when its time is over. */
export interface Deadline {
  readonly signal: AbortSignal;
  /** Ends the request as if its time were over. */
  readonly expire: (problem: string) => void;
  /** Takes the timer and the listener away. May be called more than once. */
  readonly release: () => void;
}

/** Starts the clock of one request. */
export function startDeadline(timeoutMs: number, caller: AbortSignal | undefined): Deadline {
  const controller = new AbortController();
  const expire = (problem: string): void => controller.abort(new TransportError(problem));
  // A longer delay than the platform keeps would fire at once.
  const timer =
    timeoutMs > LONGEST_TIMER_MS
      ? undefined
      : setTimeout(expire, timeoutMs, `no complete answer within ${timeoutMs / 1000} s`);
  const onAbort = (): void => controller.abort(caller?.reason);
  if (caller?.aborted) {
    onAbort();
  }
  caller?.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    expire,
    release() {
      clearTimeout(timer);
      caller?.removeEventListener("abort", onAbort);
    },
  };
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;
