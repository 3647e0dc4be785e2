import type { CoordinatorHandler, LocalCoordinator, LocalCoordinatorOptions } from "./coordinator.ts";
import type { Core } from "./core.ts";
import { ConnectionDroppedError, LocalCoordinatorError } from "./errors.ts";
import type { CoordinatorEvent, CoordinatorListener } from "./events.ts";
import { createHandler } from "./http/create-handler.ts";
import { rememberCore } from "./internals.ts";
import { cancelRecord } from "./jobs/cancel.ts";
import { viewOf } from "./jobs/job-record.ts";
import { createJobStore } from "./jobs/job-store.ts";
import { addSingleJob } from "./jobs/single-job.ts";
import { createResourceGroups } from "./pipeline/resource-groups.ts";
import { startPipeline } from "./pipeline/start-pipeline.ts";
import { createJobQueue } from "./queue/job-queue.ts";
import { createRunnerRegistry, runnerView } from "./runners/runner-registry.ts";
import { resolveSettings } from "./settings.ts";
import { openStateDirectory } from "./storage/state-directory.ts";

/**
 * Makes a coordinator in this process; nothing listens on a port.
 *
 * @throws {LocalCoordinatorError} `invalid-options`, `state-directory`
 */
export function createLocalCoordinator(options: LocalCoordinatorOptions): LocalCoordinator {
  const settings = resolveSettings(options);
  const state = openStateDirectory(options.stateDirectory);
  const closed = new AbortController();
  const work = new Set<Promise<void>>();
  const listeners = new Set<CoordinatorListener>(options.listener === undefined ? [] : [options.listener]);

  const emit = (event: CoordinatorEvent): void => {
    for (const listener of listeners) listener(event);
  };
  const track = (promise: Promise<void>): void => {
    const settled = promise
      .catch((error: unknown) => settings.logger.error("cannot write to the state directory", { error: String(error) }))
      .finally(() => work.delete(settled));
    work.add(settled);
  };
  const runners = createRunnerRegistry(settings);
  for (const runner of options.runners ?? []) runners.create(runner);
  const queue = createJobQueue(runners);
  const jobs = createJobStore({ settings, state, queue, emit, closing: track });
  const core: Core = { settings, state, runners, queue, jobs, emit, closed: closed.signal, track };
  const groups = createResourceGroups((record) => jobs.apply(record, "enqueue"));
  const handle = createHandler(core);

  const close = async (): Promise<void> => {
    if (!closed.signal.aborted) {
      closed.abort(new LocalCoordinatorError("closed", "the coordinator is closed"));
      for (const record of jobs.all) cancelRecord(jobs, record, true);
    }
    await Promise.all(work);
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
      return startPipeline(core, groups, pipelineOptions);
    },
    job: (id) => {
      const record = jobs.get(id);
      return record === undefined ? undefined : viewOf(record);
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
    clearCaches: (projectId) => state.clearCaches(projectId),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
  rememberCore(coordinator, core);
  return coordinator;
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
