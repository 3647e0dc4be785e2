import { DockerConfigurationError } from "../errors.ts";
import type { DockerSettings, PullPolicy } from "../types.ts";

const POLICIES: readonly string[] = ["always", "if-not-present", "never"];

/**
 * Decides which pull policies are tried, in order; one that stands there twice is tried twice.
 *
 * @param wanted - what the job says of the image
 * @throws {DockerConfigurationError} none of the wanted ones is allowed, or one is not known
 * @see job-execution 2.3
 */
export function effectivePolicies(
  wanted: readonly string[] | undefined,
  { pullPolicy, allowedPullPolicies }: DockerSettings,
): readonly PullPolicy[] {
  const configured = nonEmpty(pullPolicy);
  const requested = nonEmpty(wanted) ?? configured ?? DEFAULT;
  const allowed = nonEmpty(allowedPullPolicies) ?? configured ?? DEFAULT;
  checkPolicies([...requested, ...allowed]);
  const effective = requested.filter((policy) => allowed.includes(policy));
  if (effective.length > 0) return effective as PullPolicy[];
  const source =
    nonEmpty(wanted) !== undefined
      ? "GitLab pipeline config"
      : configured === undefined
        ? "Runner config (default)"
        : "Runner config";
  throw new DockerConfigurationError(
    `pull_policy (${format(requested)}) defined in ${source} is not one of the allowed_pull_policies (${format(allowed)})`,
  );
}

/** @throws {DockerConfigurationError} one of them is not known */
export function checkPolicies(policies: readonly string[]): void {
  const unknown = policies.find((policy) => !isPolicy(policy));
  if (unknown === undefined) return;
  throw new DockerConfigurationError(
    `unsupported pull_policy ${JSON.stringify(unknown)}; it is one of ${POLICIES.join(", ")}`,
  );
}

export function isPolicy(text: string): text is PullPolicy {
  return POLICIES.includes(text);
}

const DEFAULT: readonly string[] = ["always"];

function nonEmpty(list: readonly string[] | undefined): readonly string[] | undefined {
  return list === undefined || list.length === 0 ? undefined : list;
}

function format(policies: readonly string[]): string {
  return `[${policies.join(" ")}]`;
}
