import { spawn as spawnProcess } from "node:child_process";

import { Secret, noopLogger } from "@fleetfoot/coordinator-client";
import type { JobCredentials } from "@fleetfoot/coordinator-client";
import { sleep as realSleep } from "@fleetfoot/coordinator-client/retry";
import type { JobTrace } from "@fleetfoot/job-trace";

import { announceJob } from "./announce-job.ts";
import { createEnvironmentHolder } from "./environment-holder.ts";
import { JobInterrupted } from "./interruption.ts";
import type { JobContext } from "./job-context.ts";
import { createRunnerLog } from "./job-log.ts";
import { beginRecord } from "./job-record.ts";
import type { JobRecord } from "./job-record.ts";
import { createJobSignals } from "./job-signals.ts";
import type { JobSignals } from "./job-signals.ts";
import { openTrace } from "./open-trace.ts";
import type { JobResult } from "./job-result.ts";
import type { RunJobOptions } from "./options.ts";
import { failureText, reportOf } from "./outcome.ts";
import type { FailureReport } from "./outcome.ts";
import { planJob } from "./plan.ts";
import type { JobPlan } from "./plan.ts";
import { releaseEnvironment } from "./release-environment.ts";
import { reportResult, resultOf } from "./report-result.ts";
import { startReporting, unlessGivenUp } from "./reporting.ts";
import { runStages } from "./run-stages.ts";
import { withinWindDown } from "./wind-down.ts";

/**
 * Runs one job: tells the coordinator that it runs, goes through its stages, reports how it ended.
 *
 * Nothing that happens in the job makes it reject; an error of the runner itself is reported as `runner_system_failure`. When
 * it resolves, the result has been reported or given up, the executor's environment is released, and outside of the builds
 * and cache directories no file of the job is left.
 *
 * @see job-execution 1, coordinator-protocol 12
 */
export async function runJob(options: RunJobOptions): Promise<JobResult> {
  const { job, now = Date.now } = options;
  const startedAtMs = now();
  const credentials = { id: job.id, token: new Secret(job.token) };
  const plan = planJob(options);
  // From the announcement on the coordinator counts on this runner, also if it is killed.
  const record = await beginRecord(options, credentials, plan);
  const [answer, opened] = await Promise.all([
    announceJob(options, credentials),
    openTrace(options, plan, record).then(
      (trace) => ({ trace }),
      (error: unknown) => ({ error }),
    ),
  ]);
  let end: JobEnd;
  try {
    if (answer.outcome === "abort") end = DROPPED;
    else if ("trace" in opened)
      end = await runAnnounced(options, credentials, plan, opened.trace, answer.cancelRequested, record);
    else end = await failWithoutLog(options, credentials, opened.error, record);
  } finally {
    if ("trace" in opened) await opened.trace[Symbol.asyncDispose]();
  }
  await record.end(end.isSettled);
  const result = { ...end.result, durationMs: now() - startedAtMs };
  options.events?.({ type: "finished", result });
  return result;
}

interface JobEnd {
  readonly result: Omit<JobResult, "durationMs">;
  /** Whether the coordinator knows the end of the job, or does not want to. */
  readonly isSettled: boolean;
}

const NO_LOG = { bytes: 0, checksum: "crc32:00000000" };

const DROPPED: JobEnd = {
  result: {
    outcome: "dropped",
    message: "the coordinator did not want the job any longer",
    delivered: false,
    trace: NO_LOG,
  },
  isSettled: true,
};

/** Without a log there is nothing to show, but the coordinator must not wait for the job for ever. */
async function failWithoutLog(
  options: RunJobOptions,
  credentials: JobCredentials,
  error: unknown,
  record: JobRecord,
): Promise<JobEnd> {
  const { client, logger = noopLogger } = options;
  const message = `the job's log cannot be kept: ${String(error)}`;
  logger.error(message, { job: credentials.id });
  const failureReason = "runner_system_failure";
  await record.conclude({ state: "failed", failureReason });
  const delivered = await unlessGivenUp(
    options,
    async (call) => {
      const { outcome } = await client.updateJob(credentials, { state: "failed", failureReason }, call);
      return outcome === "succeeded" || outcome === "accepted";
    },
    false,
  );
  return { result: { outcome: "failed", failureReason, message, delivered, trace: NO_LOG }, isSettled: delivered };
}

async function runAnnounced(
  options: RunJobOptions,
  credentials: JobCredentials,
  plan: JobPlan,
  trace: JobTrace,
  canceled: boolean,
  record: JobRecord,
): Promise<JobEnd> {
  const { job, logger = noopLogger, sleep = realSleep } = options;
  using signals = createJobSignals(options.signal, plan.jobTimeoutMs, sleep);
  const context = contextOf(options, credentials, plan, trace, signals);
  const reporter = startReporting(options, credentials, trace, plan.settings.debugTrace, signals, record);
  const holder = createEnvironmentHolder((environment) => releaseEnvironment(environment, logger, sleep));
  if (canceled) signals.cancel();

  const failure = await failureOf(context, () => runStages(context, options.rejection, holder));
  if (failure === undefined) context.log.info("Job succeeded");
  else context.log.error(failureText(failure));
  await closeTrace(context);

  // A job that was canceled at the door is reported by its own reason. @see coordinator-protocol 6.3
  const supported = canceled ? undefined : (job.features.failure_reasons ?? []);
  const result = resultOf(failure, supported);
  await record.conclude(result);
  // The result need not wait until the place is gone.
  const [report] = await Promise.all([
    unlessGivenUp(options, () => reportResult(reporter, result), undefined),
    holder.release(),
  ]);
  const { size: bytes, checksum } = trace;
  return {
    result: {
      outcome: result.state,
      message: failure?.message ?? "Job succeeded",
      delivered: report?.delivered ?? false,
      trace: { bytes, checksum },
      ...(failure === undefined ? {} : { failureReason: failure.reason }),
      ...(failure?.exitCode === undefined ? {} : { exitCode: failure.exitCode }),
    },
    isSettled: report !== undefined && report.outcome !== "undeliverable",
  };
}

function contextOf(
  options: RunJobOptions,
  credentials: JobCredentials,
  plan: JobPlan,
  trace: JobTrace,
  signals: JobSignals,
): JobContext {
  const { job, runner, client, executor, cacheStore, now = Date.now } = options;
  return {
    payload: job,
    credentials,
    runner,
    client,
    executor,
    cacheStore,
    plan,
    concurrentProjectId: options.concurrentProjectId,
    trace,
    log: createRunnerLog({
      stream: trace.openStream({ source: "runner", channel: "stdout" }),
      sections: job.features.trace_sections === true,
      now,
    }),
    signals,
    events: options.events ?? (() => undefined),
    logger: options.logger ?? noopLogger,
    hostEnvironment: options.environment ?? {},
    now,
    sleep: options.sleep ?? realSleep,
    spawn: options.spawn ?? spawnProcess,
  };
}

/** What ended the job as a whole outranks what went wrong because of it. */
async function failureOf(job: JobContext, work: () => Promise<void>): Promise<FailureReport | undefined> {
  try {
    await withinWindDown(job, work());
    job.signals.job.throwIfAborted();
    return undefined;
  } catch (error) {
    const cause: unknown = job.signals.job.aborted ? job.signals.job.reason : error;
    if (!JobInterrupted.is(cause)) job.logger.debug("the job failed", { job: job.payload.id, error: String(cause) });
    return reportOf(cause);
  }
}

async function closeTrace({ trace, logger, payload }: JobContext): Promise<void> {
  try {
    await trace.close();
  } catch (error) {
    logger.error("the end of the job's log is lost", { job: payload.id, error: String(error) });
  }
}
