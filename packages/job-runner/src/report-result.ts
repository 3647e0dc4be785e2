import { mapFailureReason } from "@fleetfoot/coordinator-client";
import type { JobReporter, ReportResult } from "@fleetfoot/coordinator-client";

import type { FailureReport } from "./outcome.ts";
import type { UnfinishedJobResult } from "./unfinished/types.ts";

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
