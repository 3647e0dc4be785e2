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
  for (const policy of [...requested, ...allowed]) {
    if (!POLICIES.includes(policy)) {
      throw new DockerConfigurationError(
        `unsupported pull_policy ${JSON.stringify(policy)}; it is one of ${POLICIES.join(", ")}`,
      );
    }
  }
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

const DEFAULT: readonly string[] = ["always"];

function nonEmpty(list: readonly string[] | undefined): readonly string[] | undefined {
  return list === undefined || list.length === 0 ? undefined : list;
}

function format(policies: readonly string[]): string {
  return `[${policies.join(" ")}]`;
}
