import { FAILURE_REASONS } from "@fleetfoot/coordinator-client";
import type { FailureReason } from "@fleetfoot/coordinator-client";

import type { ClassifiedFailure } from "./executor.ts";

/** What is reported of a job that failed. */
export interface FailureReport {
  readonly reason: FailureReason;
  readonly exitCode?: number;
  /** Text for the log, without a prefix. */
  readonly message: string;
}

/**
 * Decides what to report for an error. What no package classified is the runner's own fault.
 *
 * @see job-execution 1.5
 */
export function reportOf(error: unknown): FailureReport {
  const message = error instanceof Error ? error.message : String(error);
  if (!isClassified(error)) return { reason: "runner_system_failure", message };
  const reason = isReason(error.failureReason) ? error.failureReason : "unknown_failure";
  return error.exitCode === undefined ? { reason, message } : { reason, message, exitCode: error.exitCode };
}

/** The last line of a failed job. */
export function failureText(report: FailureReport): string {
  const whose = report.reason === "runner_system_failure" ? " (system failure)" : "";
  return `Job failed${whose}: ${report.message}`;
}

/** Whether another try may help; an error that nobody classified may be a passing one. */
export function mayRetry(error: unknown): boolean {
  return isClassified(error) ? error.retryable : true;
}

function isClassified(error: unknown): error is ClassifiedFailure {
  return (
    typeof error === "object" && error !== null && "failureReason" in error && typeof error.failureReason === "string"
  );
}

function isReason(text: string): text is FailureReason {
  return (FAILURE_REASONS as readonly string[]).includes(text);
}
