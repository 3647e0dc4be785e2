import type { RetryPolicy } from "@fleetfoot/ci-config";

/**
 * Whether a failed job runs once more.
 *
 * With neither reasons nor exit codes every failure counts; with both, one of them is enough.
 *
 * @param attempts - how often the job has run, at least 1
 * @see https://docs.gitlab.com/ci/yaml/#retry
 */
export function shouldRetry(
  policy: RetryPolicy,
  attempts: number,
  failure: { readonly reason: string | undefined; readonly exitCode: number | undefined },
): boolean {
  if (attempts > policy.max) return false;
  if (policy.when.length === 0 && policy.exitCodes.length === 0) return true;
  if (policy.when.includes("always")) return true;
  if (failure.reason !== undefined && policy.when.includes(failure.reason)) return true;
  return failure.exitCode !== undefined && policy.exitCodes.includes(failure.exitCode);
}
