import { prepareVariables } from "@fleetfoot/cache-key";
import type { PipelineImage, PipelineJob } from "@fleetfoot/ci-config";
import type {
  JobCache,
  JobDependency,
  JobImage,
  JobPayload,
  JobStep,
  JobVariable,
} from "@fleetfoot/coordinator-client";

import type { HandingOut, JobRecord } from "../jobs/job-record.ts";
import { serverFeatures } from "../jobs/server-features.ts";
import { artifactPayload } from "./artifact-payload.ts";
import type { CommitFacts, ProjectFacts } from "./facts.ts";
import { gitInfoOf } from "./git-info.ts";

export interface PayloadFacts {
  readonly job: PipelineJob;
  readonly pipelineId: number;
  readonly project: ProjectFacts;
  readonly commit: CommitFacts;
  readonly handingOut: HandingOut;
  readonly variables: readonly JobVariable[];
  readonly caches: readonly JobCache[];
  /** Jobs whose artifacts this one gets. */
  readonly dependencies: readonly JobRecord[];
  /** With the job's token in it. */
  readonly repositoryUrl: string;
  readonly timeoutSeconds: number;
  readonly tokenMaskPrefixes: readonly string[];
}

/** The job as a runner gets it. @see coordinator-protocol 5 */
export function pipelinePayload(facts: PayloadFacts): JobPayload {
  const { job, project, handingOut, variables, timeoutSeconds } = facts;
  const depth = prepareVariables(variables).lookup("GIT_DEPTH");
  const [projectName = project.fullPath] = project.fullPath.split("/").slice(-1);
  const { registry } = project;
  return {
    id: handingOut.id,
    token: handingOut.token,
    allow_git_fetch: true,
    job_info: {
      name: job.name,
      stage: job.stage,
      pipeline_id: facts.pipelineId,
      project_id: project.id,
      project_name: projectName,
      project_full_path: project.fullPath,
      time_in_queue_seconds: handingOut.queuedMs / 1000,
      project_jobs_running_on_instance_runners_count: "0",
    },
    git_info: gitInfoOf(facts.commit, facts.repositoryUrl, depth, project.gitDepth ?? 20),
    runner_info: { timeout: timeoutSeconds },
    variables,
    steps: stepsOf(job, timeoutSeconds),
    image: job.image === undefined ? null : imageOf(job.image),
    services: job.services.map(imageOf),
    artifacts: artifactPayload(job.artifacts),
    cache: facts.caches,
    credentials:
      registry === undefined
        ? []
        : [{ type: "registry", url: registry.host, username: registry.user, password: registry.password }],
    dependencies: facts.dependencies.map(dependencyOf),
    features: serverFeatures(facts.tokenMaskPrefixes),
    hooks:
      job.hooks.preGetSources.length === 0 ? [] : [{ name: "pre_get_sources_script", script: job.hooks.preGetSources }],
    secrets: {},
    inputs: [],
    run: "",
  };
}

/** Features that a runner must have, or else would run the job wrongly. @see coordinator-protocol 4.2 */
export function requiredFeatures(job: PipelineJob): readonly string[] {
  const uploads = artifactPayload(job.artifacts);
  const needed: readonly (readonly [string, boolean])[] = [
    ["upload_multiple_artifacts", uploads.some(({ artifact_type }) => artifact_type !== "archive")],
    ["artifacts_exclude", uploads.some(({ exclude = [] }) => exclude.length > 0)],
    ["fallback_cache_keys", job.cache.some(({ fallbackKeys }) => fallbackKeys.length > 0)],
    ["return_exit_code", job.allowFailure.exitCodes.length > 0 || job.retry.exitCodes.length > 0],
  ];
  return needed.flatMap(([feature, isNeeded]) => (isNeeded ? [feature] : []));
}

function stepsOf(job: PipelineJob, timeout: number): readonly JobStep[] {
  const script = [...job.beforeScript, ...job.script];
  const main: JobStep = { name: "script", script, timeout, when: "on_success", allow_failure: false };
  if (job.afterScript.length === 0) return [main];
  return [main, { name: "after_script", script: job.afterScript, timeout, when: "always", allow_failure: true }];
}

function imageOf(image: PipelineImage): JobImage {
  const { name, alias, entrypoint, command, pullPolicy, variables, dockerOptions } = image;
  return {
    name,
    ...(alias === undefined ? {} : { alias }),
    ...(entrypoint === undefined ? {} : { entrypoint }),
    ...(command === undefined ? {} : { command }),
    ...(pullPolicy === undefined ? {} : { pull_policy: pullPolicy }),
    ...(variables === undefined
      ? {}
      : { variables: variables.map(({ key, value, raw }) => ({ key, value, public: true, masked: false, raw })) }),
    ...(dockerOptions === undefined ? {} : { executor_opts: { docker: dockerOptions } }),
  };
}

function dependencyOf(record: JobRecord): JobDependency {
  const archive = record.artifacts.get("archive");
  return {
    id: record.id,
    name: record.definition.name,
    token: record.token ?? "",
    ...(archive === undefined ? {} : { artifacts_file: { filename: archive.fileName, size: archive.bytes } }),
  };
}
