import { noopLogger, startJobReporter } from "@fleetfoot/coordinator-client";
import type { Logger, ReportResult, TraceSource } from "@fleetfoot/coordinator-client";
import { errorLine, JobTraceError, openJobTrace, reopenJobTrace } from "@fleetfoot/job-trace";
import type { JobTrace } from "@fleetfoot/job-trace";

import type { JobCoordinator, ReportingSettings } from "../job-coordinator.ts";
import type { Sleep } from "../platform.ts";
import { failureText } from "../outcome.ts";
import { reportResult } from "../report-result.ts";
import type { UnfinishedJob, UnfinishedJobResult } from "./types.ts";

/** How an unfinished job is reported. */
export interface FinishUnfinishedJobOptions {
  readonly client: Pick<JobCoordinator, "updateJob" | "patchTrace">;
  /** Settings of the reporter, in its own words. @default the reporter's */
  readonly reporting?: ReportingSettings;
  /** Ends the attempt: it rejects with the reason, and the record is left for the next one. */
  readonly signal?: AbortSignal;
  /** @default noopLogger */
  readonly logger?: Logger;
  /** Epoch milliseconds. @default Date.now */
  readonly now?: () => number;
  /** Waits; rejects with the signal's reason when it is aborted. @default a timer */
  readonly sleep?: Sleep;
}

/**
 * `delivered`: the coordinator took the result. `unwanted`: it does not want to hear of the job any longer. `refused`: it refuses the
 * result. After all three the record is gone. `kept`: the coordinator could not be told, or the log is there and could not be
 * opened; the record is left for another try.
 */
export type UnfinishedJobOutcome = "delivered" | "unwanted" | "refused" | "kept";

/**
 * Tells the coordinator how a job ended whose process ended before it could: the rest of the log, then the result. A job that still ran
 * then has failed with `runner_system_failure`, and says so in its log.
 *
 * @throws the signal's reason when it is aborted
 * @see coordinator-protocol 8.3
 */
export async function finishUnfinishedJob(
  job: UnfinishedJob,
  options: FinishUnfinishedJobOptions,
): Promise<UnfinishedJobOutcome> {
  try {
    const outcome = await report(job, options);
    if (outcome !== "kept") await job.forget();
    return outcome;
  } finally {
    await job.release();
  }
}

async function report(job: UnfinishedJob, options: FinishUnfinishedJobOptions): Promise<UnfinishedJobOutcome> {
  const { client, signal, logger = noopLogger } = options;
  const credentials = { id: job.facts.id, token: job.facts.token };
  // Before the first word to the coordinator: one that keeps hearing of a job does not give it up.
  const trace = await openTrace(job, logger);
  if (trace === "unreadable") return "kept";
  try {
    // Also confirms a job whose process was killed before it could.
    const standing = await client.updateJob(credentials, { state: "running" }, signal === undefined ? {} : { signal });
    if (standing.outcome === "abort") return "unwanted";
    const result = job.result ?? (await concludeKilled(job, trace, logger));
    const { outcome } = await send(job, trace ?? NO_TRACE, result, options);
    if (outcome === "succeeded") return "delivered";
    if (outcome === "abort") return "unwanted";
    return outcome === "undeliverable" ? "kept" : "refused";
  } finally {
    await trace?.[Symbol.asyncDispose]();
  }
}

function send(
  job: UnfinishedJob,
  trace: TraceSource,
  result: UnfinishedJobResult,
  options: FinishUnfinishedJobOptions,
): Promise<ReportResult> {
  const { client, reporting = {}, signal, logger = noopLogger, now, sleep } = options;
  const credentials = { id: job.facts.id, token: job.facts.token };
  const reporter = startJobReporter({
    calls: {
      updateJob: (update, call) => client.updateJob(credentials, update, call),
      patchTrace: (chunk, call) => client.patchTrace(credentials, chunk, call),
    },
    trace,
    debugTrace: job.facts.debugTrace,
    acknowledgedBytes: job.acknowledgedBytes,
    onAcknowledged: (bytes) => job.acknowledge(bytes),
    onCancel: nothingRuns,
    onAbort: nothingRuns,
    ...reporting,
    logger,
    ...(signal === undefined ? {} : { signal }),
    ...(now === undefined ? {} : { now }),
    ...(sleep === undefined ? {} : { sleep }),
  });
  return reportResult(reporter, result);
}

const KILLED = { reason: "runner_system_failure", message: "the runner was killed while the job ran" } as const;

/** The last line of the log comes first, so that it is there if this process is killed, too. */
async function concludeKilled(
  job: UnfinishedJob,
  trace: JobTrace | undefined,
  logger: Logger,
): Promise<UnfinishedJobResult> {
  if (trace !== undefined) {
    trace.openStream({ source: "runner", channel: "stdout" }).write(`\n${errorLine(failureText(KILLED))}`);
    await trace
      .close()
      .catch((error: unknown) => logger.error("the end of the job's log is lost", { job: job.facts.id, error }));
  }
  const result = { state: "failed", failureReason: KILLED.reason } as const;
  await job.conclude(result);
  return result;
}

/** A log that cannot be made does not keep the result back; one that is there and cannot be opened does, since that may pass. */
async function openTrace(job: UnfinishedJob, logger: Logger): Promise<JobTrace | "unreadable" | undefined> {
  const { timestamps, outputLimitBytes: limitBytes } = job.facts;
  const options = { file: job.traceFile, timestamps, limitBytes };
  try {
    return await reopenJobTrace(options);
  } catch (error) {
    if (!isAbsence(error)) {
      logger.error("The log of an unfinished job cannot be opened; that is tried again later", {
        job: job.facts.id,
        error,
      });
      return "unreadable";
    }
    logger.debug("There is no log of the unfinished job yet", { job: job.facts.id });
  }
  try {
    return await openJobTrace(options);
  } catch (error) {
    logger.error("No log of an unfinished job can be made; its result is reported without", {
      job: job.facts.id,
      error,
    });
    return undefined;
  }
}

function isAbsence(error: unknown): boolean {
  return JobTraceError.isInstance(error) && (error.cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT";
}

const NO_TRACE: TraceSource = {
  size: 0,
  checksum: "crc32:00000000",
  read: () => Promise.resolve(new Uint8Array()),
};

function nothingRuns(): void {
  // There is nothing left to stop.
}
