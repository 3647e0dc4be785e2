import { KeptTrees } from "../cache/index.ts";
import type { CacheStageOptions } from "../cache/index.ts";
import type { PreparedJob } from "../job-context.ts";
import { goArchitecture, goPlatform } from "../variables/collect-variables.ts";
import { withHostPaths } from "./host-paths.ts";
import { stageEnvironment } from "./stage-environment.ts";

/** What the cache stages need to know of a job. */
export async function cacheOptions(job: PreparedJob): Promise<CacheStageOptions> {
  const { payload, plan, variables, environment, cacheStore } = job;
  return {
    entries: withHostPaths(job, payload.cache),
    job: { name: payload.job_info.name, ref: payload.git_info.ref, projectId: payload.job_info.project_id },
    lookup: variables.lookup,
    lookupContent: variables.lookupContent,
    environment: await stageEnvironment(job),
    projectDirectory: environment.workspace.directories.project,
    keptTrees: new KeptTrees(environment.workspace.directories.project, payload.id, job.log),
    cacheDirectory: environment.workspace.directories.cache,
    ...(cacheStore === undefined ? {} : { store: cacheStore }),
    hashKeys: plan.flags.FF_HASH_CACHE_KEYS,
    foreignArchitecture: job.runner.foreignArchitecture,
    platform: { os: goPlatform(), arch: goArchitecture() },
    log: job.log,
    events: (event) => job.events({ type: "cache", event }),
    signal: job.signals.job,
    jobTimeoutMs: plan.jobTimeoutMs,
    sleep: job.sleep,
  };
}
