import type { LocalCoordinator } from "@fleetfoot/local-coordinator";
import type { StopSignals } from "../context.ts";

/** What the process is told from outside. */
export interface StopWait {
  /** Resolves when it is to end. */
  readonly promise: Promise<"stopped">;
  /** Resolves when it is to look at its files again. */
  reload(): Promise<"reload">;
  /** Listens no more. */
  end(): void;
}

/**
 * Waits for the end: at once when it is forced, otherwise when no runner works on a job any more.
 *
 * @param finishing - called when running jobs are to be finished
 */
export function waitForStop(stop: StopSignals, coordinator: LocalCoordinator, finishing: () => void): StopWait {
  const { promise, resolve } = Promise.withResolvers<"stopped">();
  const ends: (() => void)[] = [];
  const endNow = (): void => resolve("stopped");
  const endWhenIdle = (): void => {
    const isIdle = coordinator.jobs.every(({ status }) => status !== "running" && status !== "canceling");
    if (isIdle) endNow();
  };
  const onGraceful = (): void => {
    // A forced stop is a graceful one as well.
    if (stop.forced.aborted) return;
    finishing();
    ends.push(coordinator.subscribe(({ kind }) => kind === "job-state" && setImmediate(endWhenIdle)));
    endWhenIdle();
  };
  stop.forced.addEventListener("abort", endNow, { once: true });
  stop.graceful.addEventListener("abort", onGraceful, { once: true });
  ends.push(
    () => stop.forced.removeEventListener("abort", endNow),
    () => stop.graceful.removeEventListener("abort", onGraceful),
  );
  if (stop.forced.aborted) endNow();
  else if (stop.graceful.aborted) onGraceful();
  return {
    promise,
    reload: async () => {
      const { promise: asked, resolve: reload } = Promise.withResolvers<"reload">();
      const endReload = stop.onReload(() => reload("reload"));
      ends.push(endReload);
      await asked;
      endReload();
      return "reload";
    },
    end: () => {
      for (const end of ends.splice(0)) end();
    },
  };
}
