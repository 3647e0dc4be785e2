import type { Environment } from "./executor.ts";

/** Sees to it that every environment that an executor made is released exactly once, even one that came too late. */
export interface EnvironmentHolder {
  /** Waits for the environment, no longer than until the signal is aborted. */
  hold(preparing: Promise<Environment>, signal: AbortSignal): Promise<Environment>;
  /** Releases what is held, and later whatever still comes. */
  release(): Promise<void>;
}

/** @param cleanUp - releases one environment; must not reject */
export function createEnvironmentHolder(cleanUp: (environment: Environment) => Promise<void>): EnvironmentHolder {
  const held = new Set<Environment>();
  let released = false;
  return {
    hold: (preparing, signal) => {
      const arrived = preparing.then(async (environment) => {
        if (released) await cleanUp(environment);
        else held.add(environment);
        return environment;
      });
      return abortable(arrived, signal);
    },
    release: async () => {
      released = true;
      const environments = [...held];
      held.clear();
      await Promise.all(environments.map((environment) => cleanUp(environment)));
    },
  };
}

function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
