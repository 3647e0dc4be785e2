import type { JobPayload, JobStep } from "@fleetfoot/coordinator-client";

import { cacheProblem } from "./cache/index.ts";
import { jobDirectories, moveProject } from "./directories.ts";
import { JobConfigurationError } from "./errors.ts";
import type { JobDirectories } from "./executor.ts";
import type { RunJobOptions } from "./options.ts";
import { gitStrategy } from "./sources/strategy.ts";
import type { GitStrategy } from "./sources/strategy.ts";
import { collectVariables } from "./variables/collect-variables.ts";
import { lengthProblem, nameWarning } from "./variables/exported-limits.ts";
import { resolveFeatureFlags } from "./variables/feature-flags.ts";
import type { FeatureFlags } from "./variables/feature-flags.ts";
import { prepareJobVariables } from "./variables/job-variables.ts";
import type { JobVariables } from "./variables/job-variables.ts";
import { readSettings } from "./variables/settings.ts";
import type { JobSettings } from "./variables/settings.ts";

/** Everything about a job that can be decided before anything is done. */
export interface JobPlan {
  readonly jobTimeoutMs: number;
  readonly flags: FeatureFlags;
  readonly settings: JobSettings;
  readonly strategy: GitStrategy;
  readonly directories: JobDirectories;
  /** The variables as far as they are known without the executor. */
  readonly variables: JobVariables;
  /** The same once the executor has said what it sets. */
  readonly variablesWith: (executorVariables: Readonly<Record<string, string>>) => JobVariables;
  /** Steps to run, in order. */
  readonly steps: readonly JobStep[];
  readonly afterScript: JobStep | undefined;
  /** Lines for the log about settings that cannot be used. */
  readonly warnings: readonly string[];
  /** What makes the job impossible on this runner. */
  readonly problem: JobConfigurationError | undefined;
}

export type PlanOptions = Pick<RunJobOptions, "job" | "runner" | "concurrentId" | "concurrentProjectId">;

/** Plans a job. Pure, and never throws for what the job says: that is for the job's own log. */
export function planJob(options: PlanOptions): JobPlan {
  const { job, runner } = options;
  const jobTimeoutMs = timeoutOf(job);
  const flags = resolveFeatureFlags(runner.featureFlags ?? {}, job.variables);
  const prepare = (directories: JobDirectories, executorVariables: Readonly<Record<string, string>>): JobVariables =>
    prepareJobVariables(
      collectVariables({ ...options, payload: job, flags, directories, jobTimeoutMs, executorVariables }),
      (name) => `${directories.temporary}/${name}`,
    );
  const place = (emptyCheckout: boolean): JobDirectories =>
    jobDirectories({
      buildsDirectory: runner.buildsDirectory,
      cacheDirectory: runner.cacheDirectory,
      shared: runner.sharedBuildsDirectory ?? true,
      runnerToken: runner.token.reveal(),
      concurrentProjectId: options.concurrentProjectId,
      repositoryUrl: job.git_info.repo_url,
      projectId: job.job_info.project_id,
      emptyCheckout,
    });

  // The directories depend on two variables, and other variables on the directories.
  const asUsual = place(false);
  const first = prepare(asUsual, {});
  const { strategy, warning } = gitStrategy(first.lookupContent("GIT_STRATEGY"), job.allow_git_fetch);
  const moved = placeProject(strategy === "empty" ? place(true) : asUsual, first, runner.customBuildDirectory ?? false);
  const variables = moved.directories === asUsual ? first : prepare(moved.directories, {});
  const settings = readSettings({
    lookup: variables.lookupContent,
    jobTimeoutMs,
    debugTraceDisabled: runner.debugTraceDisabled ?? false,
  });
  return {
    jobTimeoutMs,
    flags,
    settings,
    strategy,
    directories: moved.directories,
    variables,
    variablesWith: (executorVariables) => prepare(moved.directories, executorVariables),
    steps: job.steps.filter((step) => step.name !== AFTER_SCRIPT && step.script.length > 0),
    afterScript: job.steps.find((step) => step.name === AFTER_SCRIPT && step.script.length > 0),
    warnings: [...settings.warnings, warning, nameWarning(variables)].filter((line) => line !== undefined),
    problem:
      moved.problem ?? fileProblem(variables) ?? lengthProblem(variables) ?? cacheProblem(job.cache, variables.lookup),
  };
}

const AFTER_SCRIPT = "after_script";
const DEFAULT_TIMEOUT_S = 7_200;

function timeoutOf(job: JobPayload): number {
  return (job.runner_info.timeout > 0 ? job.runner_info.timeout : DEFAULT_TIMEOUT_S) * 1_000;
}

function placeProject(
  directories: JobDirectories,
  variables: JobVariables,
  allowed: boolean,
): { directories: JobDirectories; problem?: JobConfigurationError } {
  const path = variables.lookupContent("GIT_CLONE_PATH");
  if (path === undefined || path === "") return { directories };
  try {
    return { directories: moveProject(directories, path, allowed) };
  } catch (error) {
    if (error instanceof JobConfigurationError) return { directories, problem: error };
    throw error;
  }
}

/** Names of file variables become names of files, which must stay where they belong. */
function fileProblem({ files }: JobVariables): JobConfigurationError | undefined {
  const bad = [...files.keys()].find((name) => name === "" || name === "." || name === ".." || /[/\\\0]/.test(name));
  return bad === undefined
    ? undefined
    : new JobConfigurationError(`the file variable ${JSON.stringify(bad)} has a name that no file can have`);
}
