import type { PipelineJob } from "@fleetfoot/ci-config";

import type { Core } from "../core.ts";
import type { JobRecord } from "../jobs/job-record.ts";
import { viewOf } from "../jobs/job-record.ts";
import { isOver } from "../jobs/job-state.ts";
import { cancelRecord } from "../jobs/cancel.ts";
import { expander } from "./job-variables.ts";
import { createPayloadMaker } from "./make-payload.ts";
import { requiredFeatures } from "./payload.ts";
import type { PipelineResult, PipelineRun, PipelineStatus, StartPipelineOptions } from "./pipeline-run.ts";
import type { ResourceGroups } from "./resource-groups.ts";
import { shouldRetry } from "./retry.ts";
import type { ScheduledJob } from "./schedule.ts";
import { decide, outcomeOf } from "./schedule.ts";
import { summaryOf } from "./summary.ts";
import { pipelineVariables } from "./variables.ts";

/** One job of the configuration with its attempts, the last of which counts. */
interface Entry {
  readonly job: PipelineJob;
  record: JobRecord;
  readonly earlier: JobRecord[];
  /** Somebody asked for a manual job. */
  played: boolean;
}

/** Makes the jobs of a pipeline and queues those that need not wait. */
export function startPipeline(core: Core, groups: ResourceGroups, options: StartPipelineOptions): PipelineRun {
  const { settings, jobs: store } = core;
  const { pipeline, project } = options;
  const id = core.state.nextPipelineId();
  const startedAtMs = settings.now();
  const shared = pipelineVariables({
    ...options,
    url: settings.url,
    name: pipeline.name,
    pipelineId: id,
    createdAt: new Date(startedAtMs).toISOString().replace(/\.\d+Z$/, "Z"),
  });
  const separateCaches = options.cache?.separateCaches ?? true;
  const warnings: string[] = [];
  const entries = new Map<string, Entry>();
  const { promise: finished, resolve: finish } = Promise.withResolvers<PipelineResult>();
  const over = new AbortController();
  let status: PipelineStatus = "running";
  const makePayload = createPayloadMaker({
    core,
    pipelineId: id,
    options,
    shared,
    recordOf: (name) => entries.get(name)?.record,
  });
  let deciding = false;
  let changedMeanwhile = false;

  const createRecord = (job: PipelineJob, retryOf: number | undefined): JobRecord =>
    store.create({
      name: job.name,
      stage: job.stage,
      pipelineId: id,
      tags: job.tags,
      ignoreTags: options.ignoreTags ?? false,
      allowFailure: job.allowFailure,
      requiredFeatures: requiredFeatures(job),
      retryOf,
      token: undefined,
      payload: (handingOut) => makePayload(job, entryOf(job.name).played, handingOut),
      changed: (record) => changed(entryOf(job.name), record),
    });
  const entryOf = (name: string): Entry => {
    const entry = entries.get(name);
    if (entry === undefined) throw new Error(`job ${name} does not belong to pipeline ${id}`);
    return entry;
  };

  const enqueue = ({ job, record }: Entry): void => {
    const group = job.resourceGroup;
    if (group === undefined) {
      store.apply(record, "enqueue");
      return;
    }
    const name = expander([...shared, ...job.variables, ...(options.variables ?? [])])(group);
    store.apply(record, groups.acquire(`${project.id}:${name}`, record) ? "enqueue" : "await-resource");
  };
  const start = (entry: Entry): void => {
    const { job, record } = entry;
    if (job.when !== "delayed" || options.ignoreDelays === true) {
      enqueue(entry);
      return;
    }
    store.apply(record, "delay");
    settings.sleep(job.startInMs ?? 0, over.signal).then(
      () => {
        if (record.state === "scheduled") enqueue(entry);
      },
      // The pipeline ended before.
      () => undefined,
    );
  };
  const play = (entry: Entry): void => {
    entry.played = true;
    enqueue(entry);
  };

  const scheduled = (): readonly ScheduledJob[] =>
    [...entries.values()].map(({ job, record }) => ({
      name: job.name,
      stage: pipeline.stages.indexOf(job.stage),
      when: job.when,
      needs: job.needs?.map((need) => need.job),
      state: record.state,
      allowFailure: record.state === "failed" ? viewOf(record).allowedToFail : job.allowFailure.allowed,
    }));

  const changed = (entry: Entry, record: JobRecord): void => {
    if (isOver(record.state)) groups.release(record);
    const failure = { reason: record.failureReason, exitCode: record.exitCode };
    if (record.state === "failed" && shouldRetry(entry.job.retry, entry.earlier.length + 1, failure)) {
      const next = createRecord(entry.job, record.id);
      record.retriedBy = next.id;
      entry.earlier.push(record);
      entry.record = next;
      enqueue(entry);
    }
    advance();
  };

  /** Changes come in while decisions are carried out; one loop sees to all of them. */
  const advance = (): void => {
    changedMeanwhile = true;
    if (deciding || status !== "running") return;
    deciding = true;
    while (changedMeanwhile) {
      changedMeanwhile = false;
      for (const { name, action } of decide(scheduled())) {
        const entry = entryOf(name);
        if (action === "skip") store.apply(entry.record, "skip");
        else if (action === "offer" && !isAskedFor(entry.job, options.play)) store.apply(entry.record, "offer");
        else if (action === "offer") play(entry);
        else start(entry);
      }
    }
    deciding = false;
    const outcome = outcomeOf(scheduled());
    if (outcome !== undefined) conclude(outcome);
  };

  const conclude = (outcome: Exclude<PipelineStatus, "running">): void => {
    status = outcome;
    over.abort();
    for (const { record } of entries.values()) if (record.state === "created") store.apply(record, "skip");
    const last = [...entries.values()].map(({ record }) => viewOf(record));
    const result: PipelineResult = {
      id,
      status: outcome,
      passedWithWarnings: outcome === "success" && last.some((job) => job.status === "failed"),
      jobs: last,
      retried: [...entries.values()].flatMap(({ earlier }) => earlier.map(viewOf)).sort((a, b) => a.id - b.id),
      warnings: [...warnings],
      startedAtMs,
      finishedAtMs: settings.now(),
    };
    core.track(core.state.savePipeline(id, summaryOf(result, options)));
    core.emit({ kind: "pipeline-finished", result });
    finish(result);
  };

  const warn = (message: string): void => {
    warnings.push(message);
    settings.logger.warn(message, { pipeline: id });
    core.emit({ kind: "warning", pipelineId: id, message });
  };

  if (!separateCaches && pipeline.jobs.some(({ cache }) => cache.length > 0)) {
    warn(
      "security: caches of protected and unprotected branches are not kept apart; what an unprotected branch writes, a protected one restores",
    );
  }
  for (const job of pipeline.jobs) {
    entries.set(job.name, { job, record: createRecord(job, undefined), earlier: [], played: false });
  }
  advance();

  return {
    id,
    get status() {
      return status;
    },
    get jobs() {
      return [...entries.values()].map(({ record }) => viewOf(record));
    },
    get warnings() {
      return [...warnings];
    },
    finished,
    play: (name) => {
      const entry = entries.get(name);
      if (entry?.record.state !== "manual" || status !== "running") return false;
      play(entry);
      return true;
    },
    cancel: ({ force = false } = {}) => {
      // Nothing is decided in between, or the end of one job would start another.
      deciding = true;
      for (const { record } of entries.values()) cancelRecord(store, record, force);
      deciding = false;
      advance();
    },
  };
}

function isAskedFor(job: PipelineJob, play: readonly string[] = []): boolean {
  return play.includes(job.name) || play.includes(job.baseName);
}
