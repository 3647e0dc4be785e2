import { createHash } from "node:crypto";

import type { DockerJob, DockerRunner } from "../types.ts";

/** Names of what is made for one job. @see job-execution 2.1 */
export interface JobNames {
  /** Host name of the containers. */
  readonly host: string;
  /** Beginning of the names of containers and temporary volumes. */
  readonly job: string;
  readonly network: string;
  /** Beginning of the names of kept volumes: the same for every job of this project and number. */
  readonly kept: string;
}

export interface NameFacts {
  readonly runner: DockerRunner;
  readonly projectId: number;
  readonly concurrentProjectId: number;
  readonly jobId: number;
  readonly random: string;
}

export function jobNames({ runner, projectId, concurrentProjectId, jobId, random }: NameFacts): JobNames {
  const host = clean(`runner-${runner.shortToken}-project-${projectId}-concurrent-${concurrentProjectId}`);
  const identity = `${runner.token.reveal()}-${runner.systemId}-${projectId}-${concurrentProjectId}`;
  return {
    host,
    job: `${host}-${random}`,
    network: clean(`runner-${runner.shortToken}-${projectId}-${concurrentProjectId}-${jobId}`),
    kept: `runner-${createHash("sha256").update(identity).digest("hex").slice(0, 32)}`,
  };
}

/** Last part of the name of a volume. @param destination - path in the container */
export function volumeSuffix(destination: string): string {
  return `cache-${createHash("md5").update(destination).digest("hex")}`;
}

function clean(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, "")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, 63);
}

const PREFIX = "com.gitlab.gitlab-runner.";

/** Which program and which of its processes made it; GitLab Runner's own things do not have it. */
const INSTANCE = "fleetfoot.runner.instance";

/** Full name of a label. */
export function labelName(name: string): string {
  return PREFIX + name;
}

export interface LabelFacts {
  readonly job: DockerJob;
  readonly runner: DockerRunner;
  readonly hostDirectory: string;
  /** Address of the job's page. */
  readonly jobUrl: string;
}

/** Labels of everything that is made for a job, by which the operator and the sweep find it. */
export function jobLabels({ job, runner, hostDirectory, jobUrl }: LabelFacts): Record<string, string> {
  const facts = {
    "job.id": job.id,
    "job.url": jobUrl,
    "job.sha": job.git_info.sha,
    "job.before_sha": job.git_info.before_sha ?? "",
    "job.ref": job.git_info.ref,
    "job.timeout": `${job.runner_info.timeout}s`,
    "project.id": job.job_info.project_id,
    "pipeline.id": job.job_info.pipeline_id ?? "",
    "runner.id": runner.shortToken,
    "runner.system_id": runner.systemId,
    managed: "true",
  };
  return {
    ...Object.fromEntries(Object.entries(facts).map(([name, value]) => [labelName(name), String(value)])),
    [INSTANCE]: instanceOf(hostDirectory),
  };
}

/** Labels that everything of a runner on a machine has, `name=value` as the engine filters by them. */
export function ownLabels(runner: DockerRunner, hostDirectory: string): string[] {
  return [
    `${labelName("managed")}=true`,
    `${labelName("runner.id")}=${runner.shortToken}`,
    `${labelName("runner.system_id")}=${runner.systemId}`,
    `${INSTANCE}=${instanceOf(hostDirectory)}`,
  ];
}

function instanceOf(hostDirectory: string): string {
  return createHash("sha256").update(hostDirectory).digest("hex").slice(0, 16);
}
