import type { JobPayload, JobVariable } from "@fleetfoot/coordinator-client";

import type { AddedJob, NewJob } from "../coordinator.ts";
import type { Core } from "../core.ts";
import type { JobEntry } from "../storage/state-entry.ts";
import type { StoredTrace } from "../storage/trace-file.ts";
import type { HandingOut, JobDefinition, JobRecord } from "./job-record.ts";
import { viewOf } from "./job-record.ts";
import { serverFeatures } from "./server-features.ts";

/** Queues a job that belongs to no pipeline. */
export function addSingleJob(core: Core, job: NewJob): AddedJob {
  const record = core.jobs.create(defineSingleJob(core, job));
  const finished = core.jobs.whenOver(record).then(viewOf);
  core.jobs.apply(record, "enqueue");
  return { id: record.id, finished };
}

/** Brings back a job of an earlier coordinator. */
export function restoreSingleJob(core: Core, job: NewJob, entry: JobEntry, trace: StoredTrace): JobRecord {
  return core.jobs.restore(defineSingleJob(core, job), entry, trace);
}

function defineSingleJob(core: Core, job: NewJob): JobDefinition {
  return {
    name: job.job_info?.name ?? "job",
    stage: job.job_info?.stage ?? "test",
    pipelineId: undefined,
    tags: job.tags ?? [],
    ignoreTags: false,
    allowFailure: { allowed: false, exitCodes: [] },
    requiredFeatures: [],
    retryOf: undefined,
    origin: { kind: "single", job },
    token: job.token,
    payload: (handingOut) => completePayload(job, handingOut, core.settings.tokenMaskPrefixes),
    changed: () => undefined,
  };
}

/** Fills in what is missing; every default is a small job that needs no sources. */
function completePayload(job: NewJob, handingOut: HandingOut, tokenMaskPrefixes: readonly string[]): JobPayload {
  const { tags: _, ...given } = job;
  const { id, token, queuedMs } = handingOut;
  return {
    allow_git_fetch: false,
    steps: [],
    image: null,
    services: [],
    artifacts: [],
    cache: [],
    credentials: [],
    dependencies: [],
    hooks: [],
    secrets: {},
    inputs: [],
    run: "",
    ...given,
    id,
    token,
    job_info: {
      name: "job",
      stage: "test",
      project_id: 1,
      project_name: "project",
      time_in_queue_seconds: queuedMs / 1000,
      ...given.job_info,
    },
    git_info: {
      repo_url: "http://localhost/group/project.git",
      ref: "main",
      sha: "0".repeat(40),
      before_sha: "0".repeat(40),
      ref_type: "branch",
      ...given.git_info,
    },
    runner_info: { timeout: 3600, ...given.runner_info },
    features: { ...serverFeatures(tokenMaskPrefixes), ...given.features },
    variables: withToken(given.variables ?? [noSources], id, token),
  };
}

/** The job's own token, which runners mask because it stands here; one of an earlier handing out does not count any more. */
function withToken(variables: readonly JobVariable[], id: number, token: string): readonly JobVariable[] {
  const own: readonly JobVariable[] = [
    { key: "CI_JOB_ID", value: String(id), public: true, masked: false },
    { key: "CI_JOB_TOKEN", value: token, public: false, masked: true },
  ];
  return [...own, ...variables.filter(({ key }) => key !== "CI_JOB_TOKEN" && key !== "CI_JOB_ID")];
}

const noSources: JobVariable = { key: "GIT_STRATEGY", value: "none", public: true, masked: false };
