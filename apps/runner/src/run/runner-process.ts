import {
  CoordinatorError,
  type JobAssignment,
  type JobPayload,
  type Logger,
  normaliseInstanceUrl,
  Secret,
  shortToken,
  startPolling,
} from "@fleetfoot/coordinator-client";
import { sleep } from "@fleetfoot/coordinator-client/retry";
import { JobInterrupted, runJob, type UnfinishedJob, type UnfinishedJobs } from "@fleetfoot/job-runner";
import type { RunnerConfig, RunnerEntry } from "@fleetfoot/runner-config";
import { type StopSignals, StopReason } from "../context.ts";
import { trackChildGroups } from "../executors/child-groups.ts";
import { connect, type NetworkSettings } from "../instance/connect.ts";
import { type Connection, openConnections } from "./connections.ts";
import { finishLeftovers, type LeftoverAccess } from "./finish-leftovers.ts";
import type { GroupRecords } from "../executors/group-records.ts";
import { toRunnerSettings } from "./job-settings.ts";
import { noopObserver, type RunnerObserver } from "./observer.ts";
import type { RemoteCaches } from "../stores/remote-caches.ts";

export interface RunnerProcessOptions {
  readonly config: RunnerConfig;
  readonly systemId: string;
  /** Tells the jobs of this process, and of those that take its place, from those of another one with the same token here. */
  readonly instance: string;
  /** Absolute; `builds/` and `cache/` lie in it unless the configuration says otherwise. */
  readonly workingDirectory: string;
  /** Absolute; exists, and belongs to this process only. Files of running jobs lie in it. */
  readonly stateDirectory: string;
  /** Keeps records of jobs until the coordinator knows their end. @default nothing is kept */
  readonly unfinishedJobs?: UnfinishedJobs | undefined;
  /** Jobs of earlier processes, taken over from these records. @default none */
  readonly leftovers?: readonly UnfinishedJob[];
  /** Told of every process group that jobs start. @default nobody is told */
  readonly groupRecords?: GroupRecords | undefined;
  /** Where the caches of jobs are kept beside this host. */
  readonly caches: Pick<RemoteCaches, "of">;
  /** What jobs and git inherit. */
  readonly environment: Readonly<Record<string, string>>;
  readonly network: NetworkSettings;
  readonly logger: Logger;
  readonly stop: Pick<StopSignals, "graceful" | "forced" | "onAbandon">;
  /** Told what happens. @default nobody is told */
  readonly observer?: RunnerObserver;
  /** Takes no further job after so many. @default no limit */
  readonly maxJobs?: number;
  /** Told when a job was received. @default nobody listens */
  readonly onJobReceived?: () => void;
  /** Told after each job. @default nobody listens */
  readonly onJobEnded?: () => void;
}

/** The part of a runner that lives as long as the process: it takes jobs and runs them. */
export interface RunnerProcess {
  /** Takes over a new configuration; running jobs keep theirs. */
  update(config: RunnerConfig): void;
  /** Resolves when the process was told to stop and all is done: true when every job ended in time. */
  readonly stopped: Promise<boolean>;
  /** Stops it as a forced stop of the process does; resolves when all is done, at once when it was. */
  stop(): Promise<boolean>;
}

/** A runner that can be asked for jobs, with what belongs to it. */
interface ActiveRunner {
  readonly name: string;
  readonly url: string;
  readonly token: Secret;
  readonly limit: number;
  readonly requestConcurrency: number;
  readonly strictCheckInterval: boolean;
  readonly unhealthyRequestsLimit: number;
  readonly unhealthyIntervalMs: number;
  readonly entry: RunnerEntry;
  readonly connection: Connection;
}

const SIGNAL_WORDS: Readonly<Record<string, string>> = { SIGTERM: "terminated", SIGINT: "interrupt" };

/** Time for jobs to notice that the time is up. */
const GIVE_UP_MS = 1000;

/** Starts to poll every runner of a configuration, and runs the jobs that come. */
export function startRunnerProcess(options: RunnerProcessOptions): RunnerProcess {
  const { logger, environment, network, caches, unfinishedJobs, leftovers = [], observer = noopObserver } = options;
  const ownProcesses = trackChildGroups(options.groupRecords);
  const connections = openConnections({
    environment,
    systemId: options.systemId,
    instance: options.instance,
    workingDirectory: options.workingDirectory,
    network,
    spawn: ownProcesses.spawn,
    logger,
    observer,
  });
  const stopSelf = new AbortController();
  const graceful = AbortSignal.any([options.stop.graceful, stopSelf.signal]);
  const forced = AbortSignal.any([options.stop.forced, stopSelf.signal]);
  const stopJobs = new AbortController();
  const giveUp = new AbortController();
  let config = options.config;
  let jobsReceived = 0;

  const poller = startPolling<ActiveRunner>({
    ...pollingConfig(config),
    logger,
    acquire: async ({ connection }) => connection.hold(),
    request: ({ connection, token }, { signal }) =>
      connection.client.requestJob({ token, systemId: options.systemId }, { signal }),
    dispatch: runOne,
  });
  observer.configured(config);
  observer.stateChanged("running");
  const finisher =
    unfinishedJobs === undefined
      ? undefined
      : finishLeftovers({ unfinishedJobs, leftovers, reach: reachInstance, logger, sleep });
  const stopped = untilStopped();
  return {
    update(next) {
      poller.update(pollingConfig(next));
      connections.keepOnly(next);
      config = next;
      observer.configured(next);
    },
    stopped,
    stop() {
      stopSelf.abort(new StopReason("SIGTERM"));
      return stopped;
    },
  };

  function pollingConfig(wanted: RunnerConfig): {
    readonly runners: readonly ActiveRunner[];
    readonly concurrent: number;
    readonly checkIntervalMs: number;
  } {
    const runners = wanted.runners.flatMap((entry) => activate(entry, wanted) ?? []);
    return { runners, concurrent: wanted.concurrent, checkIntervalMs: wanted.checkIntervalMs };
  }

  function activate(entry: RunnerEntry, wanted: RunnerConfig): ActiveRunner | undefined {
    const connection = connections.of(entry, wanted);
    if (connection === undefined) {
      logger.error("Runner is left out: its executor is not supported", {
        runner_name: entry.name,
        executor: entry.executor,
      });
      return undefined;
    }
    return { ...entry, token: new Secret(entry.token), entry, connection };
  }

  async function runOne(
    runner: ActiveRunner,
    job: JobPayload,
    { certificates, ...assignment }: JobAssignment,
  ): Promise<void> {
    const fields = {
      job: job.id,
      project: job.job_info.project_id,
      runner: shortToken(runner.token.reveal()),
      runner_name: runner.name,
    };
    logger.info("Job received", fields);
    const observed = observer.jobReceived(runner.entry, job);
    jobsReceived += 1;
    // Stopping now, not after the job, keeps a further one from being asked for in the meantime.
    if (jobsReceived >= (options.maxJobs ?? Number.POSITIVE_INFINITY)) void poller.stop();
    options.onJobReceived?.();
    // A job without caches does not wait for the library of a store to be loaded.
    const cacheStore = job.cache.length === 0 ? undefined : await caches.of(runner.entry);
    const result = await runJob({
      ...assignment,
      job,
      runner: toRunnerSettings(
        runner.entry,
        { systemId: options.systemId, workingDirectory: options.workingDirectory },
        certificates,
      ),
      client: runner.connection.client,
      executor: runner.connection.executor,
      ...(cacheStore === undefined ? {} : { cacheStore }),
      stateDirectory: options.stateDirectory,
      ...(unfinishedJobs === undefined ? {} : { unfinishedJobs }),
      environment,
      signal: stopJobs.signal,
      giveUpSignal: giveUp.signal,
      spawn: ownProcesses.spawn,
      reporting: { maxFinalRounds: runner.entry.jobStatusFinalUpdateRetryLimit },
      events: (event) => {
        if (event.type === "stage-started") observed.stageStarted(event.stage);
        if (event.type === "finished") observed.ended(event.result);
      },
      logger,
    });
    logger.info(result.outcome === "success" ? "Job succeeded" : "Job failed", {
      ...fields,
      "job-status": result.outcome,
      duration_s: result.durationMs / 1000,
      ...(result.failureReason === undefined ? {} : { failure_reason: result.failureReason }),
      ...(result.exitCode === undefined ? {} : { exit_code: result.exitCode }),
    });
    if (!result.delivered) logger.warn("The coordinator did not confirm how the job ended", fields);
    options.onJobEnded?.();
  }

  /** By the runner of the same instance, whose certificates it may need; by an ordinary connection when there is none any longer. */
  function reachInstance(url: string): LeftoverAccess {
    const entry = config.runners.find((runner) => isSameInstance(runner.url, url));
    const connection = entry === undefined ? undefined : connections.of(entry, config);
    const maxFinalRounds = entry?.jobStatusFinalUpdateRetryLimit;
    const reporting = maxFinalRounds === undefined ? {} : { maxFinalRounds };
    if (connection !== undefined) {
      const { release } = connection.hold();
      return { client: connection.client, reporting, release };
    }
    const client = connect({ url, executor: "shell", shell: "bash" }, network, logger, config.connectionMaxAgeMs);
    return { client, reporting, release: () => void client.close() };
  }

  async function untilStopped(): Promise<boolean> {
    const endAbandon = options.stop.onAbandon(abandon);
    try {
      await abortOf(graceful);
      observer.stateChanged("graceful-shutdown");
      logger.info("Stopping: no new jobs are taken", { running: poller.runningJobs });
      // What it has not told yet is kept for the next process.
      void finisher?.end();
      const finished = poller.stop();
      return await Promise.race([finished.then(() => !giveUp.signal.aborted), interruptJobs(finished)]);
    } finally {
      endAbandon();
      await finisher?.end();
      // Whatever is still open, nobody waits for its answer any longer.
      await connections.close();
    }
  }

  /** Stops all jobs when that is wanted, and gives them the configured time to be reported. */
  async function interruptJobs(finished: Promise<void>): Promise<boolean> {
    await abortOf(forced);
    observer.stateChanged("forceful-shutdown");
    const signalName = forced.reason instanceof StopReason ? forced.reason.signalName : "SIGTERM";
    const level = poller.runningJobs > 0 ? "warn" : "info";
    logger[level]("Stopping: running jobs are interrupted", { running: poller.runningJobs });
    stopJobs.abort(JobInterrupted.processStopped(SIGNAL_WORDS[signalName] ?? signalName));
    void poller.stop({ cancelRequests: true });
    if (await endsWithin(config.shutdownTimeoutMs, finished)) return true;
    logger.error("Stopping: the time is up, running jobs are killed and not reported", {
      running: poller.runningJobs,
    });
    killAll();
    giveUp.abort(new Error("the time for stopping is up"));
    await endsWithin(GIVE_UP_MS, finished);
    return false;
  }

  function abandon(): string {
    const { runningJobs } = poller;
    killAll();
    if (runningJobs === 0) return "No job was running.";
    const jobs =
      runningJobs === 1
        ? "1 running job is killed and not reported"
        : `${runningJobs} running jobs are killed and not reported`;
    return unfinishedJobs === undefined ? `${jobs}.` : `${jobs}; the next start reports what this one could not.`;
  }

  function killAll(): void {
    connections.killAll();
    ownProcesses.killAll();
  }
}

function isSameInstance(one: string, other: string): boolean {
  try {
    return normaliseInstanceUrl(one) === normaliseInstanceUrl(other);
  } catch (error) {
    if (CoordinatorError.isInstance(error)) return one === other;
    throw error;
  }
}

function abortOf(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

async function endsWithin(milliseconds: number, work: Promise<void>): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => late.resolve(false), milliseconds);
  try {
    return await Promise.race([work.then(() => true), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
