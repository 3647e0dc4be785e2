import type { CoordinatorListener } from "../events.ts";
import type { Settings } from "../settings.ts";
import type { Keeper } from "../storage/keeper.ts";
import type { RunnerEntry } from "../storage/state-entry.ts";
import type { RunnerFeatures } from "./runner-features.ts";
import type { RunnerOptions, RunnerView } from "./runner-view.ts";

/** A runner as the coordinator keeps it. */
export interface Runner {
  readonly id: number;
  token: string;
  /** Token of the options that made it; after a reset it is no longer the runner's own. */
  readonly givenToken: string | undefined;
  description: string;
  tags: readonly string[];
  runUntagged: boolean;
  paused: boolean;
  tokenLifetimeMs: number | undefined;
  tokenObtainedAtMs: number;
  /** System id to the features that the machine last named. */
  readonly machines: Map<string, RunnerFeatures>;
  /** Changes whenever a job that this runner might take does. */
  version: string;
  /** Called, and forgotten, when `version` changes. */
  readonly waiting: Set<() => void>;
}

export interface RunnerRegistry {
  /** Makes a runner, or gives the one that was made with the same token these settings. */
  create(options: RunnerOptions): Runner;
  /** Brings back one of an earlier coordinator. */
  restore(entry: RunnerEntry): void;
  /** Keeps an id from being given again. */
  reserve(id: number): void;
  /** Notes which machine uses the runner's token, and what that machine can do. */
  remember(runner: Runner, systemId: string, features: RunnerFeatures): void;
  /** False when no such machine was known. */
  forget(runner: Runner, systemId: string): boolean;
  byToken(token: unknown): Runner | undefined;
  remove(runner: Runner): void;
  /** Gives the runner a new token; the old one is dead. */
  renewToken(runner: Runner): void;
  /** Tells every runner for whom `concerns` holds that there is something new. */
  announce(concerns: (runner: Runner) => boolean): void;
  readonly all: readonly Runner[];
}

export function createRunnerRegistry(
  settings: Pick<Settings, "now" | "randomHex">,
  keeper: Keeper,
  emit: CoordinatorListener,
): RunnerRegistry {
  const byToken = new Map<string, Runner>();
  let lastId = 0;
  const newToken = (): string => `glrt-${settings.randomHex(10)}`;
  const add = (runner: Runner): Runner => {
    byToken.set(runner.token, runner);
    lastId = Math.max(lastId, runner.id);
    mark(runner);
    return runner;
  };
  const markGone = (id: number): void => keeper.mark(`runner ${id}`, () => [{ kind: "runner-gone", id }]);
  const mark = (runner: Runner): void => keeper.mark(`runner ${runner.id}`, () => [entryOf(runner)]);
  return {
    create: (options) => {
      const existing = [...byToken.values()].find(
        ({ givenToken }) => givenToken !== undefined && givenToken === options.token,
      );
      const id = existing?.id ?? lastId + 1;
      const wanted = {
        description: options.description ?? `runner ${id}`,
        tags: options.tags ?? [],
        runUntagged: options.runUntagged ?? true,
        paused: options.paused ?? false,
        tokenLifetimeMs: options.tokenLifetimeMs,
      };
      if (existing !== undefined) {
        mark(existing);
        return Object.assign(existing, wanted);
      }
      const runner = add({
        id,
        token: options.token ?? newToken(),
        givenToken: options.token,
        ...wanted,
        tokenObtainedAtMs: settings.now(),
        machines: new Map(),
        version: settings.randomHex(8),
        waiting: new Set(),
      });
      emit({ kind: "runner", change: "added", runner: runnerView(runner) });
      return runner;
    },
    restore: (entry) => {
      add({
        id: entry.id,
        token: entry.token,
        givenToken: entry.givenToken,
        description: entry.description,
        tags: entry.tags,
        runUntagged: entry.runUntagged,
        paused: entry.paused,
        tokenLifetimeMs: entry.tokenLifetimeMs,
        tokenObtainedAtMs: entry.tokenObtainedAtMs,
        machines: new Map(Object.entries(entry.machines)),
        version: settings.randomHex(8),
        waiting: new Set(),
      });
    },
    reserve: (id) => {
      lastId = Math.max(lastId, id);
      if (![...byToken.values()].some((runner) => runner.id === id)) markGone(id);
    },
    byToken: (token) => (typeof token === "string" ? byToken.get(token) : undefined),
    remove: (runner) => {
      byToken.delete(runner.token);
      markGone(runner.id);
      emit({ kind: "runner", change: "removed", runner: runnerView(runner) });
      wake(runner);
    },
    renewToken: (runner) => {
      byToken.delete(runner.token);
      runner.token = newToken();
      runner.tokenObtainedAtMs = settings.now();
      byToken.set(runner.token, runner);
      mark(runner);
    },
    remember: (runner, systemId, features) => {
      const known = runner.machines.get(systemId);
      runner.machines.set(systemId, features);
      // Machines say the same with every poll.
      if (known === undefined || JSON.stringify(known) !== JSON.stringify(features)) mark(runner);
      if (known === undefined) emit({ kind: "runner", change: "machine-added", runner: runnerView(runner) });
    },
    forget: (runner, systemId) => {
      if (!runner.machines.delete(systemId)) return false;
      mark(runner);
      emit({ kind: "runner", change: "removed", runner: runnerView(runner) });
      return true;
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

function entryOf(runner: Runner): RunnerEntry {
  const { id, token, givenToken, description, tags, runUntagged, paused, tokenLifetimeMs, tokenObtainedAtMs } = runner;
  return {
    kind: "runner",
    id,
    token,
    givenToken,
    description,
    tags,
    runUntagged,
    paused,
    tokenLifetimeMs,
    tokenObtainedAtMs,
    machines: Object.fromEntries(runner.machines),
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
