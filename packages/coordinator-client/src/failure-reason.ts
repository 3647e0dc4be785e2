/**
 * Why a job may have failed. All but `job_canceled` may be sent to a server that lists them; that one is for this side alone.
 *
 * @see coordinator-protocol 6.3
 */
export const FAILURE_REASONS = [
  "script_failure",
  "runner_system_failure",
  "job_execution_timeout",
  "image_pull_failure",
  "unknown_failure",
  "runner_configuration_error",
  "runner_external_dependency_failure",
  "runner_interrupted",
  "job_canceled",
] as const;

export type FailureReason = (typeof FAILURE_REASONS)[number];

/** Reasons that every server knows, whether it lists them or not. */
const ALWAYS_SUPPORTED: ReadonlySet<string> = new Set([
  "script_failure",
  "runner_system_failure",
  "job_execution_timeout",
]);

const OLDER_REASON: Readonly<Partial<Record<FailureReason, FailureReason>>> = {
  image_pull_failure: "runner_system_failure",
  runner_configuration_error: "script_failure",
  runner_external_dependency_failure: "runner_system_failure",
};

/**
 * The reason to report to a server that may not know the real one.
 *
 * @param reason - why the job failed; empty means `script_failure`
 * @param supported - `features.failure_reasons` of the job
 * @see coordinator-protocol 6.3
 */
export function mapFailureReason(reason: FailureReason | "", supported: readonly string[]): FailureReason {
  for (let known = reason || "script_failure"; ;) {
    if (ALWAYS_SUPPORTED.has(known) || supported.includes(known)) {
      return known;
    }
    const older = OLDER_REASON[known];
    if (older === undefined) {
      return "unknown_failure";
    }
    known = older;
  }
}

/** An exit code as signed 32-bit integer: 4294967295 becomes -1. @see coordinator-protocol 6.3 */
export function normaliseExitCode(exitCode: number): number {
  return exitCode | 0;
}
