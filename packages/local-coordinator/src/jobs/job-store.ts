import { join } from "node:path";

import type { CoordinatorListener } from "../events.ts";
import type { JobQueue } from "../queue/job-queue.ts";
import type { Settings } from "../settings.ts";
import type { Keeper } from "../storage/keeper.ts";
import type { StateDirectory } from "../storage/state-directory.ts";
import type { JobEntry } from "../storage/state-entry.ts";
import type { StoredTrace } from "../storage/trace-file.ts";
import { createTraceFile, traceName } from "../storage/trace-file.ts";
import type { JobDefinition, JobRecord } from "./job-record.ts";
import { entryOfJob, recordOfEntry } from "./job-entry.ts";
import { viewOf } from "./job-record.ts";
import type { JobAction } from "./job-state.ts";
import { isExecuting, isOver, nextState, statusOf } from "./job-state.ts";

/** What is learned together with a change of state. */
interface JobFacts {
  readonly failureReason?: string | undefined;
  readonly exitCode?: number | undefined;
  readonly message?: string;
}

/** All jobs, and the only place where their state changes. */
export interface JobStore {
  create(definition: JobDefinition): JobRecord;
  /** Brings back one of an earlier coordinator. It is queued by {@link JobStore.resume}. */
  restore(definition: JobDefinition, entry: JobEntry, trace: StoredTrace): JobRecord;
  /** Queues the restored jobs that wait for a runner, in the order in which they did. */
  resume(): void;
  /** To be called after a change of a record other than of its state. */
  changed(record: JobRecord): void;
  get(id: number): JobRecord | undefined;
  /** Resolves when the job is over. */
  whenOver(record: JobRecord): Promise<JobRecord>;
  readonly all: IterableIterator<JobRecord>;
  /** Those that a runner works on. */
  readonly executing: ReadonlySet<JobRecord>;
  /** Does what the action means now; false when it means nothing. */
  apply(record: JobRecord, action: JobAction, facts?: JobFacts): boolean;
}

export interface JobStoreParts {
  readonly settings: Pick<Settings, "now">;
  readonly state: StateDirectory;
  readonly queue: JobQueue;
  readonly emit: CoordinatorListener;
  readonly keeper: Keeper;
  /** Files that are still being closed. */
  readonly closing: (work: Promise<void>) => void;
}

export function createJobStore({ settings, state, queue, emit, keeper, closing }: JobStoreParts): JobStore {
  const records = new Map<number, JobRecord>();
  const executing = new Set<JobRecord>();
  const awaiting = new Map<JobRecord, ((record: JobRecord) => void)[]>();

  const changed = (record: JobRecord): void =>
    keeper.mark(`job ${record.id}`, (isFirst) => [
      ...(isFirst ? [{ kind: "job-origin" as const, id: record.id, origin: record.definition.origin }] : []),
      entryOfJob(record),
    ]);
  const enter = (record: JobRecord): void => {
    const now = settings.now();
    if (record.state === "pending") {
      record.token = undefined;
      record.runnerId = undefined;
      record.startedAtMs = undefined;
      record.queuedAtMs ??= now;
    }
    if (record.state === "held" || record.state === "running") {
      record.startedAtMs ??= now;
      record.lastSeenAtMs = now;
    }
    if (record.state !== "held") record.confirmation?.abort();
    if (isExecuting(record.state)) executing.add(record);
    else executing.delete(record);
    if (isOver(record.state)) {
      record.finishedAtMs = now;
      closing(record.trace.close());
    }
  };

  return {
    create: (definition) => {
      const id = state.nextJobId();
      const directory = state.jobDirectory(id);
      const record: JobRecord = {
        id,
        definition,
        directory,
        trace: createTraceFile(join(directory, traceName)),
        artifacts: new Map(),
        state: "created",
        token: undefined,
        handOuts: 0,
        traceRestricted: false,
        features: {},
        runnerId: undefined,
        failureReason: undefined,
        exitCode: undefined,
        message: undefined,
        createdAtMs: settings.now(),
        queuedAtMs: undefined,
        startsAtMs: undefined,
        startedAtMs: undefined,
        finishedAtMs: undefined,
        lastSeenAtMs: 0,
        retriedBy: undefined,
        finalUpdate: undefined,
        dotenv: {},
        confirmation: undefined,
      };
      records.set(id, record);
      changed(record);
      emit({ kind: "job-state", job: viewOf(record), previous: undefined });
      return record;
    },
    restore: (definition, entry, stored) => {
      const directory = state.jobDirectory(entry.id);
      const trace = createTraceFile(join(directory, traceName), stored);
      const record = recordOfEntry(entry, { definition, directory, trace, nowMs: settings.now() });
      state.reserve({ jobId: record.id });
      records.set(record.id, record);
      if (isExecuting(record.state)) executing.add(record);
      changed(record);
      emit({ kind: "job-state", job: viewOf(record), previous: undefined });
      return record;
    },
    resume: () => {
      const waiting = [...records.values()].filter((record) => record.state === "pending");
      for (const record of waiting.sort(byQueueTime)) queue.add(record);
    },
    changed,
    get: (id) => records.get(id),
    whenOver: (record) => {
      if (isOver(record.state)) return Promise.resolve(record);
      const { promise, resolve } = Promise.withResolvers<JobRecord>();
      const waiting = awaiting.get(record) ?? [];
      awaiting.set(record, waiting);
      waiting.push(resolve);
      return promise;
    },
    get all() {
      return records.values();
    },
    executing,
    apply: (record, action, facts = {}) => {
      const next = nextState(record.state, action);
      if (next === undefined) return false;
      const previous = statusOf(record.state);
      const wasQueued = record.state === "pending";
      record.state = next;
      if (facts.exitCode !== undefined) record.exitCode = facts.exitCode;
      if (facts.message !== undefined) record.message = facts.message;
      if (next === "failed") record.failureReason = facts.failureReason ?? "unknown_failure";
      enter(record);
      changed(record);
      if (wasQueued) queue.remove(record);
      if (previous !== statusOf(next)) emit({ kind: "job-state", job: viewOf(record), previous });
      if (next === "pending") queue.add(record);
      record.definition.changed(record);
      if (isOver(next)) {
        for (const resolve of awaiting.get(record) ?? []) resolve(record);
        awaiting.delete(record);
      }
      return true;
    },
  };
}

function byQueueTime(a: JobRecord, b: JobRecord): number {
  return (a.queuedAtMs ?? 0) - (b.queuedAtMs ?? 0) || a.id - b.id;
}
