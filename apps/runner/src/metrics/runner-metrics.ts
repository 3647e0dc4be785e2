import { type JobPayload, type Logger, shortToken } from "@fleetfoot/coordinator-client";
import { createCoordinatorMetrics } from "@fleetfoot/coordinator-client/metrics";
import type { RunnerEntry } from "@fleetfoot/runner-config";
import { collectDefaultMetrics, Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { JobObserver, RunnerObserver, RunnerState } from "../run/observer.ts";
import { version } from "../version.ts";

/** What the metrics are made of. */
export interface RunnerMetricsOptions {
  readonly registry: Registry;
  readonly systemId: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export interface RunnerMetrics extends RunnerObserver {
  /** The jobs that run. */
  readonly jobs: ReadonlySet<RunningJob>;
  readonly state: RunnerState;
  /** The same log, which counts its warnings and errors. */
  countingLog(logger: Logger): Logger;
}

/** A job as it is now. */
interface RunningJob {
  /** Address of its page. */
  readonly url: string;
  readonly stage: string;
  readonly startedAtMs: number;
}

const JOB_BUCKETS = [30, 60, 300, 600, 1800, 3600, 7200, 10_800, 18_000, 36_000];
const QUEUE_BUCKETS = [1, 3, 10, 30, 60, 120, 300, 900, 1800, 3600];
const RUNNER_LABELS = ["runner", "runner_name", "system_id"] as const;

/** All jobs run as scripts; the other mode that dashboards know is that of step definitions. */
const MODE = "traditional";

/**
 * Counts what a runner does, under the names that dashboards of GitLab's runner know, with memory, processor and event loop of the
 * process.
 *
 * @see job-execution 4.5
 */
export function createRunnerMetrics({ registry, systemId, now }: RunnerMetricsOptions): RunnerMetrics {
  const registers = [registry];
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 10 });
  const coordinatorMetrics = createCoordinatorMetrics({ registry });
  const running = new Gauge({
    name: "gitlab_runner_jobs",
    help: "Jobs that run now.",
    labelNames: [...RUNNER_LABELS, "state", "stage", "executor_stage"],
    registers,
  });
  const received = new Counter({
    name: "gitlab_runner_jobs_total",
    help: "Jobs that were received.",
    labelNames: RUNNER_LABELS,
    registers,
  });
  const failed = new Counter({
    name: "gitlab_runner_failed_jobs_total",
    help: "Jobs that failed, by their reason.",
    labelNames: ["runner", "runner_name", "failure_reason", "mode"],
    registers,
  });
  const durations = new Histogram({
    name: "gitlab_runner_job_duration_seconds",
    help: "Duration of jobs, from their arrival until their end was reported.",
    labelNames: [...RUNNER_LABELS, "mode"],
    buckets: JOB_BUCKETS,
    registers,
  });
  const queued = new Histogram({
    name: "gitlab_runner_job_queue_duration_seconds",
    help: "How long jobs waited at the instance, as that tells.",
    labelNames: [...RUNNER_LABELS, "project_jobs_running"],
    buckets: QUEUE_BUCKETS,
    registers,
  });
  const concurrent = new Gauge({ name: "gitlab_runner_concurrent", help: "Value of concurrent.", registers });
  const limits = new Gauge({
    name: "gitlab_runner_limit",
    help: "Value of limit of each runner.",
    labelNames: RUNNER_LABELS,
    registers,
  });
  const errors = new Counter({
    name: "gitlab_runner_errors_total",
    help: "Lines of the log of the process, by their level.",
    labelNames: ["level"],
    registers,
  });
  const loaded = new Counter({
    name: "gitlab_runner_configuration_loaded_total",
    help: "Configurations that came into force.",
    registers,
  });
  const notLoaded = new Counter({
    name: "gitlab_runner_configuration_loading_error_total",
    help: "Configurations that were refused.",
    registers,
  });
  const info = new Gauge({
    name: "gitlab_runner_version_info",
    help: "Always 1; the labels say what runs.",
    labelNames: ["name", "version", "os", "architecture"],
    registers,
  });
  const processState = new Gauge({
    name: "gitlab_runner_process_state_info",
    help: "1 for the state of the process.",
    labelNames: ["state"],
    registers,
  });
  info.set({ name: "fleetfoot", version, os: process.platform, architecture: process.arch }, 1);
  for (const level of ["warning", "error"]) errors.inc({ level }, 0);
  const jobs = new Set<RunningJob>();
  let state: RunnerState = "starting";
  processState.set({ state }, 1);

  const labelsOf = ({
    name,
    token,
  }: Pick<RunnerEntry, "name" | "token">): Record<(typeof RUNNER_LABELS)[number], string> => ({
    runner: shortToken(token),
    runner_name: name,
    system_id: systemId,
  });

  function jobReceived(entry: RunnerEntry, payload: JobPayload): JobObserver {
    const labels = labelsOf(entry);
    const { runner, runner_name } = labels;
    const startedAtMs = now();
    const job = { url: pageOf(payload, entry.url), stage: "", startedAtMs };
    let row: (typeof labels & { state: string; stage: string; executor_stage: string }) | undefined;
    const enter = (stage: string): void => {
      leave();
      job.stage = stage;
      row = { ...labels, state: stage === "" ? "pending" : "running", stage, executor_stage: "" };
      running.inc(row);
    };
    const leave = (): void => {
      if (row === undefined) return;
      running.dec(row);
      row = undefined;
    };
    jobs.add(job);
    enter("");
    received.inc(labels);
    const { time_in_queue_seconds: seconds, project_jobs_running_on_instance_runners_count: others } = payload.job_info;
    if (seconds !== undefined) queued.observe({ ...labels, project_jobs_running: others ?? "" }, seconds);
    return {
      stageStarted: enter,
      ended(result) {
        leave();
        jobs.delete(job);
        durations.observe({ ...labels, mode: MODE }, (now() - startedAtMs) / 1000);
        if (result.outcome === "failed")
          failed.inc({ runner, runner_name, failure_reason: result.failureReason ?? "unknown_failure", mode: MODE });
      },
    };
  }

  return {
    jobs,
    get state() {
      return state;
    },
    jobReceived,
    configured(config) {
      loaded.inc();
      concurrent.set(config.concurrent);
      limits.reset();
      for (const entry of config.runners) {
        const labels = labelsOf(entry);
        limits.set(labels, entry.limit);
        // Keeps the metric there while nothing runs.
        running.set({ ...labels, state: "idle", stage: "idle", executor_stage: "idle" }, 0);
      }
    },
    configurationFailed: () => notLoaded.inc(),
    stateChanged(next) {
      processState.set({ state }, 0);
      state = next;
      processState.set({ state }, 1);
    },
    clientOf: ({ token }) => coordinatorMetrics.forRunner({ runner: shortToken(token), systemId }),
    countingLog: (logger) => ({
      ...logger,
      warn(message, fields) {
        errors.inc({ level: "warning" });
        logger.warn(message, fields);
      },
      error(message, fields) {
        errors.inc({ level: "error" });
        logger.error(message, fields);
      },
    }),
  };
}

function pageOf(job: JobPayload, instance: string): string {
  const url = job.variables.find(({ key }) => key === "CI_JOB_URL")?.value;
  return url ?? `${instance.replace(/\/+$/, "")}/-/jobs/${job.id}`;
}
