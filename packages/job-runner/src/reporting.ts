import { mapFailureReason, noopLogger, startJobReporter } from "@fleetfoot/coordinator-client";
import type { CallOptions, JobCredentials, JobReporter, ReportResult } from "@fleetfoot/coordinator-client";
import type { JobTrace } from "@fleetfoot/job-trace";

import type { JobRecord } from "./job-record.ts";
import type { JobSignals } from "./job-signals.ts";
import type { RunJobOptions } from "./options.ts";
import type { FailureReport } from "./outcome.ts";
import type { UnfinishedJobResult } from "./unfinished/index.ts";

/** Starts to send the log; the answers may cancel or abort the job. */
export function startReporting(
  options: RunJobOptions,
  credentials: JobCredentials,
  trace: JobTrace,
  debugTrace: boolean,
  signals: JobSignals,
  record: JobRecord,
): JobReporter {
  const { client, reporting = {}, logger = noopLogger, now, sleep, giveUpSignal } = options;
  return startJobReporter({
    calls: {
      updateJob: (update, call) => client.updateJob(credentials, update, call),
      patchTrace: (chunk, call) => client.patchTrace(credentials, chunk, call),
    },
    trace,
    debugTrace,
    onCancel: () => signals.cancel(),
    onAbort: () => signals.abort(),
    ...reporting,
    logger,
    onAcknowledged: (bytes) => record.acknowledge(bytes),
    ...(now === undefined ? {} : { now }),
    ...(sleep === undefined ? {} : { sleep }),
    ...(giveUpSignal === undefined ? {} : { signal: giveUpSignal }),
  });
}

/** What a call to the coordinator came to, or what stands for it when the coordinator was given up in the meantime. */
export async function unlessGivenUp<Answer>(
  { giveUpSignal }: Pick<RunJobOptions, "giveUpSignal">,
  call: (callOptions: CallOptions) => Promise<Answer>,
  otherwise: Answer,
): Promise<Answer> {
  try {
    return await call(giveUpSignal === undefined ? {} : { signal: giveUpSignal });
  } catch (error) {
    if (giveUpSignal?.aborted) return otherwise;
    throw error;
  }
}

/**
 * What the coordinator is told of the end of a job.
 *
 * @param supported - reasons that the coordinator knows; undefined sends the reason as it is
 */
export function resultOf(
  failure: FailureReport | undefined,
  supported: readonly string[] | undefined,
): UnfinishedJobResult {
  if (failure === undefined) return { state: "success" };
  const failureReason = supported === undefined ? failure.reason : mapFailureReason(failure.reason, supported);
  const { exitCode } = failure;
  return exitCode === undefined ? { state: "failed", failureReason } : { state: "failed", failureReason, exitCode };
}

/** Sends the rest of the log and the result. */
export function reportResult(reporter: JobReporter, result: UnfinishedJobResult): Promise<ReportResult> {
  if (result.state === "success") return reporter.succeed();
  const { failureReason: reason, exitCode } = result;
  return reporter.fail(exitCode === undefined ? { reason } : { reason, exitCode });
}
