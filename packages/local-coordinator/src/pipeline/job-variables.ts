import { prepareVariables } from "@fleetfoot/cache-key";
import type { PipelineJob } from "@fleetfoot/ci-config";
import type { JobVariable } from "@fleetfoot/coordinator-client";

import type { HandingOut } from "../jobs/job-record.ts";
import type { GivenVariable, ProjectFacts } from "./facts.ts";
import { environmentSlug, slugOf } from "./slug.ts";

export interface JobVariablesOptions {
  readonly job: PipelineJob;
  readonly project: ProjectFacts;
  /** Predefined ones that all jobs of the pipeline share. */
  readonly shared: readonly JobVariable[];
  readonly given: readonly GivenVariable[];
  /** From dotenv reports of jobs that this one gets artifacts of. */
  readonly dotenv: Readonly<Record<string, string>>;
  readonly handingOut: HandingOut;
  readonly url: string;
  /** With the job's token in it. */
  readonly repositoryUrl: string;
  readonly timeoutSeconds: number;
  readonly protectedRef: boolean;
  /** Started by a person. */
  readonly manual: boolean;
}

/**
 * All variables of a job, the strongest last: predefined, of the configuration, from dotenv reports, given from outside.
 *
 * @see https://docs.gitlab.com/ci/variables/#cicd-variable-precedence
 */
export function jobVariables(options: JobVariablesOptions): readonly JobVariable[] {
  const { job, given, protectedRef } = options;
  const configured = job.variables.map(({ key, value, raw }) => visible(key, value, raw));
  const reported = Object.entries(options.dotenv).map(([key, value]) => visible(key, value, false));
  const outside = given
    .filter((variable) => variable.protected !== true || protectedRef)
    .map(({ key, value, file = false, masked = false, raw = false }) => ({
      key,
      value,
      public: false,
      file,
      masked,
      raw,
    }));
  const withoutEnvironment = [...options.shared, ...predefined(options), ...configured, ...reported, ...outside];
  if (job.environment === undefined) return withoutEnvironment;
  // Its address may be made of the job's variables, but not the other way round.
  const environment = environmentVariables(job.environment, withoutEnvironment);
  return [...options.shared, ...predefined(options), ...environment, ...configured, ...reported, ...outside];
}

function predefined(options: JobVariablesOptions): readonly JobVariable[] {
  const { job, project, handingOut, url } = options;
  const { id, token, runner, atMs } = handingOut;
  return [
    visible("CI_JOB_ID", String(id)),
    visible("CI_JOB_URL", `${url}/${project.fullPath}/-/jobs/${id}`),
    { key: "CI_JOB_TOKEN", value: token, public: false, masked: true },
    visible("CI_JOB_NAME", job.name),
    visible("CI_JOB_NAME_SLUG", slugOf(job.name)),
    visible("CI_JOB_STAGE", job.stage),
    visible("CI_JOB_STARTED_AT", new Date(atMs).toISOString().replace(/\.\d+Z$/, "Z")),
    visible("CI_JOB_TIMEOUT", String(options.timeoutSeconds)),
    ...(options.manual ? [visible("CI_JOB_MANUAL", "true")] : []),
    visible("CI_NODE_TOTAL", String(job.parallel?.total ?? 1)),
    ...(job.parallel === undefined ? [] : [visible("CI_NODE_INDEX", String(job.parallel.index))]),
    { key: "CI_REPOSITORY_URL", value: options.repositoryUrl, public: false, masked: false },
    visible("CI_RUNNER_ID", String(runner.id)),
    visible("CI_RUNNER_DESCRIPTION", runner.description),
    visible("CI_RUNNER_TAGS", JSON.stringify(runner.tags)),
    ...(job.image === undefined ? [] : [visible("CI_JOB_IMAGE", job.image.name)]),
    ...(project.registry === undefined
      ? []
      : [{ key: "CI_REGISTRY_PASSWORD", value: project.registry.password, public: false, masked: true }]),
  ];
}

function environmentVariables(
  environment: NonNullable<PipelineJob["environment"]>,
  variables: readonly JobVariable[],
): readonly JobVariable[] {
  const name = expander(variables)(environment.name);
  const shown = [
    visible("CI_ENVIRONMENT_NAME", name),
    visible("CI_ENVIRONMENT_SLUG", environmentSlug(name)),
    visible("CI_ENVIRONMENT_ACTION", environment.action ?? "start"),
    ...(environment.tier === undefined ? [] : [visible("CI_ENVIRONMENT_TIER", environment.tier)]),
  ];
  if (environment.url === undefined) return shown;
  return [...shown, visible("CI_ENVIRONMENT_URL", expander([...variables, ...shown])(environment.url))];
}

/** Replaces references to variables in a text of the configuration. */
export function expander(variables: readonly JobVariable[]): (text: string) => string {
  const key = "expanded text";
  return (text) => prepareVariables([...variables, { key, value: text }]).lookup(key) ?? "";
}

function visible(key: string, value: string, raw = false): JobVariable {
  return { key, value, public: true, masked: false, raw };
}
