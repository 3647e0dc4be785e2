import { TransportError } from "../errors.ts";

/** Ends one request when its caller wants that or when its time is over. */
export interface Deadline {
  readonly signal: AbortSignal;
  /** Takes the timer and the listener away. May be called more than once. */
  readonly release: () => void;
}

/** Starts the clock of one request. */
export function startDeadline(timeoutMs: number, caller: AbortSignal | undefined): Deadline {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(new TransportError(`no complete answer within ${timeoutMs / 1000} s`));
  }, timeoutMs);
  const onAbort = (): void => controller.abort(caller?.reason);
  if (caller?.aborted) {
    onAbort();
  }
  caller?.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    release() {
      clearTimeout(timer);
      caller?.removeEventListener("abort", onAbort);
    },
  };
}
