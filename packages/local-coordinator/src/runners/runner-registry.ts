import type { Settings } from "../settings.ts";
import type { RunnerOptions, RunnerView } from "./runner-view.ts";

/** A runner as the coordinator keeps it. */
export interface Runner {
  readonly id: number;
  token: string;
  readonly description: string;
  readonly tags: readonly string[];
  readonly runUntagged: boolean;
  readonly paused: boolean;
  readonly tokenLifetimeMs: number | undefined;
  tokenObtainedAtMs: number;
  /** System id to the features that the machine last named. */
  readonly machines: Map<string, RunnerFeatures>;
  /** Changes whenever a job that this runner might take does. */
  version: string;
  /** Called, and forgotten, when `version` changes. */
  readonly waiting: Set<() => void>;
}

export type RunnerFeatures = Readonly<Record<string, boolean>>;

export interface RunnerRegistry {
  create(options: RunnerOptions): Runner;
  byToken(token: unknown): Runner | undefined;
  remove(runner: Runner): void;
  /** Gives the runner a new token; the old one is dead. */
  renewToken(runner: Runner): void;
  /** Tells every runner for whom `concerns` holds that there is something new. */
  announce(concerns: (runner: Runner) => boolean): void;
  readonly all: readonly Runner[];
}

export function createRunnerRegistry(settings: Pick<Settings, "now" | "randomHex">): RunnerRegistry {
  const byToken = new Map<string, Runner>();
  let lastId = 0;
  const newToken = (): string => `glrt-${settings.randomHex(10)}`;
  return {
    create: (options) => {
      const id = ++lastId;
      const runner: Runner = {
        id,
        token: options.token ?? newToken(),
        description: options.description ?? `runner ${id}`,
        tags: options.tags ?? [],
        runUntagged: options.runUntagged ?? true,
        paused: options.paused ?? false,
        tokenLifetimeMs: options.tokenLifetimeMs,
        tokenObtainedAtMs: settings.now(),
        machines: new Map(),
        version: settings.randomHex(8),
        waiting: new Set(),
      };
      byToken.set(runner.token, runner);
      return runner;
    },
    byToken: (token) => (typeof token === "string" ? byToken.get(token) : undefined),
    remove: (runner) => {
      byToken.delete(runner.token);
      wake(runner);
    },
    renewToken: (runner) => {
      byToken.delete(runner.token);
      runner.token = newToken();
      runner.tokenObtainedAtMs = settings.now();
      byToken.set(runner.token, runner);
    },
    announce: (concerns) => {
      for (const runner of byToken.values()) {
        if (!concerns(runner)) continue;
        runner.version = settings.randomHex(8);
        wake(runner);
      }
    },
    get all() {
      return [...byToken.values()];
    },
  };
}

/** RFC 3339 in whole seconds; null when the token does not expire. */
export function tokenExpiry(runner: Runner): string | null {
  if (runner.tokenLifetimeMs === undefined) return null;
  return new Date(runner.tokenObtainedAtMs + runner.tokenLifetimeMs).toISOString().replace(/\.\d+Z$/, "Z");
}

export function runnerView(runner: Runner): RunnerView {
  return {
    id: runner.id,
    description: runner.description,
    tags: runner.tags,
    runUntagged: runner.runUntagged,
    paused: runner.paused,
    systemIds: [...runner.machines.keys()],
  };
}

function wake(runner: Runner): void {
  const waiting = [...runner.waiting];
  runner.waiting.clear();
  for (const resume of waiting) resume();
}
