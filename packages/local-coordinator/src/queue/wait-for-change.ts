import type { Core } from "../core.ts";
import type { Runner } from "../runners/runner-registry.ts";

/**
 * Waits until there is something new for the runner.
 *
 * @returns `changed`, or `expired` after `holdMs` and when no further job is handed out
 * @throws the signal's reason when the request is aborted
 */
export async function waitForChange(
  core: Core,
  runner: Runner,
  holdMs: number,
  signal: AbortSignal,
): Promise<"changed" | "expired"> {
  signal.throwIfAborted();
  if (core.draining.aborted) return "expired";
  const { promise, resolve, reject } = Promise.withResolvers<"changed" | "expired">();
  const timer = new AbortController();
  const changed = (): void => resolve("changed");
  const expired = (): void => resolve("expired");
  const aborted = (): void => reject(signal.reason);
  runner.waiting.add(changed);
  signal.addEventListener("abort", aborted, { once: true });
  core.draining.addEventListener("abort", expired, { once: true });
  // It rejects only when the wait is over anyway.
  core.settings.sleep(holdMs, timer.signal).then(expired, () => undefined);
  try {
    return await promise;
  } finally {
    timer.abort();
    runner.waiting.delete(changed);
    signal.removeEventListener("abort", aborted);
    core.draining.removeEventListener("abort", expired);
  }
}
