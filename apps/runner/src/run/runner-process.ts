import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type CoordinatorClient,
  type JobAssignment,
  type JobPayload,
  type Logger,
  Secret,
  shortToken,
  startPolling,
} from "@fleetfoot/coordinator-client";
import { type Executor, JobInterrupted, runJob } from "@fleetfoot/job-runner";
import type { RunnerConfig, RunnerEntry } from "@fleetfoot/runner-config";
import { type StopSignals, StopReason } from "../context.ts";
import { connect } from "./connect.ts";
import { createExecutor } from "./executors.ts";
import { toRunnerSettings } from "./job-settings.ts";

export interface RunnerProcessOptions {
  readonly config: RunnerConfig;
  readonly systemId: string;
  /** Absolute; `builds/` and `cache/` lie in it unless the configuration says otherwise. */
  readonly workingDirectory: string;
  /** What jobs and git inherit. */
  readonly environment: Readonly<Record<string, string>>;
  readonly logger: Logger;
  readonly stop: Pick<StopSignals, "graceful" | "forced">;
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
  readonly client: CoordinatorClient;
  readonly executor: Executor;
}

const SIGNAL_WORDS: Readonly<Record<string, string>> = { SIGTERM: "terminated", SIGINT: "interrupt" };

/** Starts to poll every runner of a configuration, and runs the jobs that come. */
export async function startRunnerProcess(options: RunnerProcessOptions): Promise<RunnerProcess> {
  const { logger, stop } = options;
  const stateDirectory = await mkdtemp(join(tmpdir(), "fleetfoot-run-"));
  const clients = new Map<string, CoordinatorClient>();
  const stopJobs = new AbortController();
  let config = options.config;
  let jobsReceived = 0;

  const poller = startPolling<ActiveRunner>({
    ...pollingConfig(),
    logger,
    request: (runner, { signal }) =>
      runner.client.requestJob({ token: runner.token, systemId: options.systemId }, { signal }),
    dispatch: runOne,
  });
  return {
    update(next) {
      config = next;
      poller.update(pollingConfig());
    },
    stopped: untilStopped(),
  };

  function pollingConfig(): {
    readonly runners: readonly ActiveRunner[];
    readonly concurrent: number;
    readonly checkIntervalMs: number;
  } {
    const runners = config.runners.flatMap((entry) => activate(entry) ?? []);
    return { runners, concurrent: config.concurrent, checkIntervalMs: config.checkIntervalMs };
  }

  function activate(entry: RunnerEntry): ActiveRunner | undefined {
    const executor = createExecutor(entry, options.environment);
    if (executor === undefined) {
      logger.error("Runner is left out: its executor is not supported", {
        runner_name: entry.name,
        executor: entry.executor,
      });
      return undefined;
    }
    const key = `${entry.url} ${entry.token} ${entry.executor} ${entry.shell}`;
    const client = clients.get(key) ?? connect(entry, logger);
    clients.set(key, client);
    return { ...entry, token: new Secret(entry.token), entry, client, executor };
  }

  async function runOne(runner: ActiveRunner, job: JobPayload, assignment: JobAssignment): Promise<void> {
    const fields = {
      job: job.id,
      project: job.job_info.project_id,
      runner: shortToken(runner.token.reveal()),
      runner_name: runner.name,
    };
    logger.info("Job received", fields);
    jobsReceived += 1;
    // Stopping now, not after the job, keeps a further one from being asked for in the meantime.
    if (jobsReceived >= (options.maxJobs ?? Number.POSITIVE_INFINITY)) void poller.stop();
    options.onJobReceived?.();
    const result = await runJob({
      ...assignment,
      job,
      runner: toRunnerSettings(runner.entry, {
        systemId: options.systemId,
        workingDirectory: options.workingDirectory,
      }),
      client: runner.client,
      executor: runner.executor,
      stateDirectory,
      environment: options.environment,
      signal: stopJobs.signal,
      reporting: { maxFinalRounds: runner.entry.jobStatusFinalUpdateRetryLimit },
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

  async function untilStopped(): Promise<boolean> {
    try {
      await abortOf(stop.graceful);
      logger.info("Stopping: no new jobs are taken", { running: poller.runningJobs });
      const finished = poller.stop().then(() => true);
      return await Promise.race([finished, interruptJobs(finished)]);
    } finally {
      await Promise.allSettled([...clients.values()].map((client) => client.close()));
      await rm(stateDirectory, { recursive: true, force: true });
    }
  }

  /** Stops all jobs when that is wanted, and gives them the configured time to be reported. */
  async function interruptJobs(finished: Promise<boolean>): Promise<boolean> {
    await abortOf(stop.forced);
    const signalName = stop.forced.reason instanceof StopReason ? stop.forced.reason.signalName : "SIGTERM";
    logger.warn("Stopping: running jobs are interrupted", { running: poller.runningJobs });
    stopJobs.abort(JobInterrupted.processStopped(SIGNAL_WORDS[signalName] ?? signalName));
    void poller.stop({ cancelRequests: true });
    return Promise.race([finished, timeIsUp(config.shutdownTimeoutMs)]);
  }
}

function abortOf(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function timeIsUp(milliseconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), milliseconds).unref();
  });
}
