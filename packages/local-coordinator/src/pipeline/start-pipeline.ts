import type { PipelineJob } from "@fleetfoot/ci-config";

import type { Core } from "../core.ts";
import { LocalCoordinatorError } from "../errors.ts";
import type { JobRecord } from "../jobs/job-record.ts";
import { viewOf } from "../jobs/job-record.ts";
import type { JobDefinition } from "../jobs/job-record.ts";
import { isOver } from "../jobs/job-state.ts";
import { cancelRecord } from "../jobs/cancel.ts";
import type { PipelineEntry, PipelineOrigin } from "../storage/state-entry.ts";
import type { Attempts } from "./attempts.ts";
import { expander } from "./job-variables.ts";
import type { KeptJob, RestoredPipeline } from "./kept-pipeline.ts";
import { hasClaim, originOfPipeline } from "./kept-pipeline.ts";
import { createPayloadMaker } from "./make-payload.ts";
import { requiredFeatures } from "./payload.ts";
import { DEFAULT_CONFIG_PATH } from "./facts.ts";
import type { PipelineResult, PipelineRun, PipelineStatus, StartPipelineOptions } from "./pipeline-run.ts";
import type { ResourceGroups } from "./resource-groups.ts";
import { shouldRetry } from "./retry.ts";
import type { ScheduledJob } from "./schedule.ts";
import { decide, outcomeOf } from "./schedule.ts";
import { pipelineResult } from "./result.ts";
import { summaryOf } from "./summary.ts";
import { pipelineVariables } from "./variables.ts";

/** Makes the jobs of a pipeline and queues those that need not wait. */
export function startPipeline(core: Core, groups: ResourceGroups, options: StartPipelineOptions): PipelineRun {
  const id = core.state.nextPipelineId();
  const { run } = assemblePipeline(core, groups, { id, options, startedAtMs: core.settings.now() });
  return run;
}

/**
 * Brings back a pipeline of an earlier coordinator.
 *
 * @param jobs - all jobs of the pipeline, oldest first
 * @returns `resume` lets it go on, once its claims to resources and those of others are known
 */
export function restorePipeline(
  core: Core,
  groups: ResourceGroups,
  kept: { readonly origin: PipelineOrigin; readonly entry: PipelineEntry; readonly jobs: readonly KeptJob[] },
): RestoredPipeline {
  const { startedAtMs, ...options } = kept.origin;
  return assemblePipeline(core, groups, { id: kept.entry.id, options, startedAtMs, kept });
}

interface PipelineParts {
  readonly id: number;
  readonly options: StartPipelineOptions;
  readonly startedAtMs: number;
  readonly kept?: { readonly entry: PipelineEntry; readonly jobs: readonly KeptJob[] };
}

function assemblePipeline(core: Core, groups: ResourceGroups, parts: PipelineParts): RestoredPipeline {
  const { settings, jobs: store, keeper } = core;
  const { id, startedAtMs, kept } = parts;
  const options = { ...settings.fileLookups, ...parts.options };
  const { pipeline, project } = options;
  const shared = pipelineVariables({
    ...options,
    url: settings.url,
    name: pipeline.name,
    pipelineId: id,
    createdAt: new Date(startedAtMs).toISOString().replace(/\.\d+Z$/, "Z"),
  });
  const separateCaches = options.cache?.separateCaches ?? true;
  const warnings: string[] = [...(kept?.entry.warnings ?? [])];
  const entries = new Map<string, Attempts>();
  const { promise: finished, resolve: finish } = Promise.withResolvers<PipelineResult>();
  const over = new AbortController();
  let status: PipelineStatus = kept?.entry.status ?? "running";
  let finishedAtMs = kept?.entry.finishedAtMs;
  const makePayload = createPayloadMaker({
    core,
    pipelineId: id,
    options,
    shared,
    recordOf: (name) => entries.get(name)?.record,
  });
  let deciding = false;
  let changedMeanwhile = false;

  const changedItself = (): void =>
    keeper.mark(`pipeline ${id}`, (isFirst) => [
      ...(isFirst ? [{ kind: "pipeline-origin" as const, id, origin: originOfPipeline(options, startedAtMs) }] : []),
      { kind: "pipeline" as const, id, status, finishedAtMs, warnings, played: namesOfPlayed() },
    ]);
  const namesOfPlayed = (): readonly string[] =>
    [...entries.values()].filter(({ played }) => played).map(({ job }) => job.name);

  const define = (job: PipelineJob, retryOf: number | undefined): JobDefinition => ({
    name: job.name,
    stage: job.stage,
    pipelineId: id,
    tags: job.tags,
    ignoreTags: options.ignoreTags ?? false,
    allowFailure: job.allowFailure,
    requiredFeatures: requiredFeatures(job),
    retryOf,
    origin: { kind: "pipeline", pipelineId: id, name: job.name, retryOf },
    token: undefined,
    payload: (handingOut) => makePayload(job, entryOf(job.name).played, handingOut),
    changed: (record) => changed(entryOf(job.name), record),
  });
  const createRecord = (job: PipelineJob, retryOf: number | undefined): JobRecord => store.create(define(job, retryOf));
  const entryOf = (name: string): Attempts => {
    const entry = entries.get(name);
    if (entry === undefined) throw new Error(`job ${name} does not belong to pipeline ${id}`);
    return entry;
  };

  const enqueue = ({ job, record }: Attempts): void => {
    const group = job.resourceGroup;
    if (group === undefined) {
      store.apply(record, "enqueue");
      return;
    }
    store.apply(record, groups.acquire(groupName(job, group), record) ? "enqueue" : "await-resource");
  };
  const groupName = (job: PipelineJob, group: string): string =>
    `${project.id}:${expander([...shared, ...job.variables, ...(options.variables ?? [])])(group)}`;
  const start = (entry: Attempts): void => {
    const { job, record } = entry;
    if (job.when !== "delayed" || options.ignoreDelays === true) {
      enqueue(entry);
      return;
    }
    const { startInMs = 0 } = job;
    record.startsAtMs = settings.now() + startInMs;
    store.apply(record, "delay");
    startLater(entry, startInMs);
  };
  const startLater = (entry: Attempts, leftMs: number): void => {
    const { record } = entry;
    settings.sleep(leftMs, AbortSignal.any([over.signal, core.closed])).then(
      () => {
        if (record.state === "scheduled") enqueue(entry);
      },
      // The pipeline ended before, or the coordinator.
      () => undefined,
    );
  };
  const play = (entry: Attempts): void => {
    entry.played = true;
    changedItself();
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

  const changed = (entry: Attempts, record: JobRecord): void => {
    if (isOver(record.state)) groups.release(record);
    const failure = { reason: record.failureReason, exitCode: record.exitCode };
    if (record.state === "failed" && shouldRetry(entry.job.retry, entry.earlier.length + 1, failure)) {
      const next = createRecord(entry.job, record.id);
      record.retriedBy = next.id;
      store.changed(record);
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
    finishedAtMs = settings.now();
    changedItself();
    const result = resultOf(outcome);
    core.track(core.state.savePipeline(id, summaryOf(result, options)));
    core.emit({ kind: "pipeline-finished", result });
    finish(result);
  };

  const resultOf = (outcome: Exclude<PipelineStatus, "running">): PipelineResult =>
    pipelineResult({
      id,
      status: outcome,
      attempts: [...entries.values()],
      warnings: [...warnings],
      startedAtMs,
      finishedAtMs: finishedAtMs ?? settings.now(),
    });

  const warn = (message: string): void => {
    warnings.push(message);
    settings.logger.warn(message, { pipeline: id });
    core.emit({ kind: "warning", pipelineId: id, message });
  };

  /** Attempts of the jobs, all but the last of each being earlier ones. */
  const restore = (jobs: readonly KeptJob[], played: readonly string[]): void => {
    core.state.reserve({ pipelineId: id });
    for (const job of pipeline.jobs) {
      const records = jobs
        .filter(({ name }) => name === job.name)
        .map(({ retryOf, entry, trace }) => store.restore(define(job, retryOf), entry, trace));
      const record = records.pop();
      // Of a pipeline that was written, every job was.
      if (record === undefined)
        throw new LocalCoordinatorError("state-directory", `job ${job.name} of pipeline ${id} is gone`);
      entries.set(job.name, { job, record, earlier: records, played: played.includes(job.name) });
    }
    changedItself();
  };
  const claims = (): RestoredPipeline["claims"] =>
    [...entries.values()].flatMap(({ job, record }) =>
      job.resourceGroup !== undefined && hasClaim(record) ? [{ group: groupName(job, job.resourceGroup), record }] : [],
    );
  const resume = (): void => {
    if (status !== "running") {
      finish(resultOf(status));
      return;
    }
    for (const entry of entries.values()) {
      const { state, startsAtMs = 0 } = entry.record;
      if (state === "scheduled") startLater(entry, Math.max(0, startsAtMs - settings.now()));
    }
    advance();
  };

  if (kept === undefined) {
    if (!separateCaches && pipeline.jobs.some(({ cache }) => cache.length > 0)) {
      warn(
        "security: caches of protected and unprotected branches are not kept apart; what an unprotected branch writes, a protected one restores",
      );
    }
    for (const job of pipeline.jobs) {
      entries.set(job.name, { job, record: createRecord(job, undefined), earlier: [], played: false });
    }
    changedItself();
    advance();
  } else {
    restore(kept.jobs, kept.entry.played);
  }

  const run: PipelineRun = {
    id,
    configPath: options.project.configPath ?? DEFAULT_CONFIG_PATH,
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
  return { run, claims: kept === undefined ? [] : claims(), resume };
}

function isAskedFor(job: PipelineJob, play: readonly string[] = []): boolean {
  return play.includes(job.name) || play.includes(job.baseName);
}
