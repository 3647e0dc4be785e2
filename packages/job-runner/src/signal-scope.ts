import type { Sleep } from "./platform.ts";

/** One node of a job's tree of signals: aborted by its parent, by a limit of time, or by itself. */
export interface SignalScope extends Disposable {
  readonly signal: AbortSignal;
  /** The first reason counts. */
  abort(reason: Error): void;
  /** Aborts when the time has passed. */
  limit(ms: number, reason: () => Error, sleep: Sleep): void;
}

/** Opens a scope; disposing of it ends its limits and lets go of the parent, without an abort. */
export function openScope(parent?: AbortSignal): SignalScope {
  const controller = new AbortController();
  const over = new AbortController();
  const onParent = (): void => controller.abort(parent?.reason);
  if (parent?.aborted) onParent();
  else parent?.addEventListener("abort", onParent, { once: true });
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    limit: (ms, reason, sleep) => {
      sleep(ms, over.signal).then(
        () => controller.abort(reason()),
        // Rejects only because the scope is over.
        () => undefined,
      );
    },
    [Symbol.dispose]: () => {
      parent?.removeEventListener("abort", onParent);
      over.abort(new Error("scope is over"));
    },
  };
}
