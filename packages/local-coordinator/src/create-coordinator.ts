import type { CoordinatorHandler, LocalCoordinator, LocalCoordinatorOptions } from "./coordinator.ts";
import type { Core } from "./core.ts";
import { ConnectionDroppedError, LocalCoordinatorError } from "./errors.ts";
import type { CoordinatorEvent, CoordinatorListener } from "./events.ts";
import { createHandler } from "./http/create-handler.ts";
import { rememberCore } from "./internals.ts";
import { cancelRecord } from "./jobs/cancel.ts";
import type { JobRecord } from "./jobs/job-record.ts";
import { viewOf } from "./jobs/job-record.ts";
import { isOver } from "./jobs/job-state.ts";
import { createJobStore } from "./jobs/job-store.ts";
import { addSingleJob } from "./jobs/single-job.ts";
import type { PipelineRun } from "./pipeline/pipeline-run.ts";
import type { ResourceGroups } from "./pipeline/resource-groups.ts";
import { createResourceGroups } from "./pipeline/resource-groups.ts";
import { startPipeline } from "./pipeline/start-pipeline.ts";
import { createJobQueue } from "./queue/job-queue.ts";
import { inspectFiles, restoreState } from "./restore-state.ts";
import { createRunnerRegistry, runnerView } from "./runners/runner-registry.ts";
import type { Settings } from "./settings.ts";
import { resolveSettings } from "./settings.ts";
import type { Keeper } from "./storage/keeper.ts";
import { createKeeper, forgetfulKeeper } from "./storage/keeper.ts";
import { readJournal } from "./storage/read-journal.ts";
import type { StateDirectory } from "./storage/state-directory.ts";
import { openStateDirectory } from "./storage/state-directory.ts";

/**
 * Makes a coordinator in this process; nothing listens on a port. Its jobs, pipelines and runners end with it.
 *
 * @throws {LocalCoordinatorError} `invalid-options`, `state-directory`
 */
export function createLocalCoordinator(options: LocalCoordinatorOptions): LocalCoordinator {
  const settings = resolveSettings(options);
  const state = openStateDirectory(options.stateDirectory);
  const { coordinator, core } = assemble({ options, settings, state, makeKeeper: () => forgetfulKeeper });
  for (const runner of options.runners ?? []) core.runners.create(runner);
  return coordinator;
}

/**
 * The same, but what an earlier coordinator kept in the state directory goes on: its queue, jobs that runners work on, logs,
 * artifacts, pipelines, runners and their tokens. It may have been killed at any moment.
 *
 * @throws {LocalCoordinatorError} `invalid-options`, `state-directory`
 */
export async function openLocalCoordinator(options: LocalCoordinatorOptions): Promise<LocalCoordinator> {
  const settings = resolveSettings(options);
  const state = openStateDirectory(options.stateDirectory);
  const kept = await readJournal(state.journalPath);
  const files = await inspectFiles(kept, state);
  const { coordinator, core, groups, pipelines } = assemble({
    options,
    settings,
    state,
    makeKeeper: (track) => createKeeper(state.journalPath, track),
  });
  restoreState({ core, groups, kept, files, pipelines });
  for (const runner of options.runners ?? []) core.runners.create(runner);
  await core.keeper.flush();
  return coordinator;
}

interface Assembled {
  readonly coordinator: LocalCoordinator;
  readonly core: Core;
  readonly groups: ResourceGroups;
  readonly pipelines: Map<number, PipelineRun>;
}

function assemble(parts: {
  readonly options: LocalCoordinatorOptions;
  readonly settings: Settings;
  readonly state: StateDirectory;
  readonly makeKeeper: (track: (work: Promise<void>) => void) => Keeper;
}): Assembled {
  const { options, settings, state } = parts;
  const closed = new AbortController();
  const draining = new AbortController();
  const work = new Set<Promise<void>>();
  const listeners = new Set<CoordinatorListener>(options.listener === undefined ? [] : [options.listener]);
  const pipelines = new Map<number, PipelineRun>();

  const emit = (event: CoordinatorEvent): void => {
    for (const listener of listeners) listener(event);
  };
  const track = (promise: Promise<void>): void => {
    const settled = promise
      .catch((error: unknown) => settings.logger.error("cannot write to the state directory", { error: String(error) }))
      .finally(() => work.delete(settled));
    work.add(settled);
  };
  const keeper = parts.makeKeeper(track);
  const runners = createRunnerRegistry(settings, keeper, emit);
  const queue = createJobQueue(runners);
  const jobs = createJobStore({ settings, state, queue, emit, keeper, closing: track });
  const signals = { closed: closed.signal, draining: draining.signal };
  const core: Core = { settings, state, runners, queue, jobs, emit, keeper, ...signals, track };
  const groups = createResourceGroups((record) => jobs.apply(record, "enqueue"));
  const answerRequest = createHandler(core);
  const inFlight = new Set<Promise<Response>>();
  const handle: CoordinatorHandler = (request, facts) => {
    const answer = answerRequest(request, facts);
    inFlight.add(answer);
    const forget = (): void => void inFlight.delete(answer);
    answer.then(forget, forget);
    return answer;
  };

  const close = async (): Promise<void> => {
    if (!closed.signal.aborted) {
      closed.abort(new LocalCoordinatorError("closed", "the coordinator is closed"));
      draining.abort(closed.signal.reason);
      if (!keeper.isLasting) for (const record of jobs.all) cancelRecord(jobs, record, true);
      // What a runner has said already is to count; whoever takes too long says it again.
      const grace = new AbortController();
      const late = settings.sleep(closeGraceMs, grace.signal).catch(() => undefined);
      await Promise.race([Promise.allSettled(inFlight), late]);
      grace.abort();
      for (const record of jobs.all) leave(core, record);
    }
    await Promise.all(work);
    await keeper.close();
  };

  const coordinator: LocalCoordinator = {
    handle,
    fetch: fetchOf(handle),
    createRunner: (runnerOptions = {}) => {
      const { id, token } = runners.create(runnerOptions);
      return { id, token };
    },
    get runners() {
      return runners.all.map(runnerView);
    },
    addJob: (job) => {
      closed.signal.throwIfAborted();
      return addSingleJob(core, job);
    },
    startPipeline: (pipelineOptions) => {
      closed.signal.throwIfAborted();
      const run = startPipeline(core, groups, pipelineOptions);
      pipelines.set(run.id, run);
      return run;
    },
    get pipelines() {
      return [...pipelines.values()];
    },
    flush: () => keeper.flush(),
    whenOver: (id) => {
      const record = jobs.get(id);
      return record === undefined ? undefined : jobs.whenOver(record).then(viewOf);
    },
    job: (id) => {
      const record = jobs.get(id);
      return record === undefined ? undefined : viewOf(record);
    },
    jobByToken: (token) => {
      for (const record of jobs.all) {
        if (record.token === token && !isOver(record.state)) return viewOf(record);
      }
      return undefined;
    },
    get jobs() {
      return [...jobs.all].map(viewOf);
    },
    readTrace: async (id, { offset = 0, maxBytes = Number.POSITIVE_INFINITY } = {}) => {
      const record = jobs.get(id);
      if (record === undefined) throw new LocalCoordinatorError("unknown-job", `there is no job ${id}`);
      const bytes = await record.trace.read(offset, maxBytes);
      // Reading opens the file; a job that is over keeps none open.
      if (record.finishedAtMs !== undefined) await record.trace.close();
      return bytes;
    },
    cancelJob: (id, { force = false } = {}) => {
      const record = jobs.get(id);
      return record !== undefined && cancelRecord(jobs, record, force);
    },
    stopHandingOut: () => draining.abort(),
    clearCaches: (projectId) => state.clearCaches(projectId),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
  rememberCore(coordinator, core);
  return { coordinator, core, groups, pipelines };
}

/** Ends the waits for a job, and closes its log. */
function leave({ track }: Core, record: JobRecord): void {
  record.confirmation?.abort();
  track(record.trace.close());
}

/** A handler in the shape of `fetch`: what cuts a connection there is a network failure here. */
export function fetchOf(handle: CoordinatorHandler): LocalCoordinator["fetch"] {
  return async (input, init) => {
    const request = input instanceof Request && init === undefined ? input : new Request(input, init);
    request.signal.throwIfAborted();
    try {
      return await handle(request);
    } catch (error) {
      throw error instanceof ConnectionDroppedError ? new TypeError("fetch failed", { cause: error }) : error;
    }
  };
}

/** How long closing waits for requests that are being answered. */
const closeGraceMs = 5000;
