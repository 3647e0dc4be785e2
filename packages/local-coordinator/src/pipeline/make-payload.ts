import type { PipelineJob } from "@fleetfoot/ci-config";
import type { JobPayload, JobVariable } from "@fleetfoot/coordinator-client";

import type { Core } from "../core.ts";
import type { HandingOut, JobRecord } from "../jobs/job-record.ts";
import { cachePayload } from "./cache-payload.ts";
import { dependencyNames } from "./dependencies.ts";
import { createFileIds } from "./file-ids.ts";
import { repositoryUrlWithToken } from "./git-info.ts";
import { jobVariables } from "./job-variables.ts";
import { pipelinePayload } from "./payload.ts";
import type { StartPipelineOptions } from "./pipeline-run.ts";

export interface PayloadMakerOptions {
  readonly core: Pick<Core, "settings" | "state">;
  readonly pipelineId: number;
  readonly options: StartPipelineOptions;
  /** Predefined variables that all jobs of the pipeline share. */
  readonly shared: readonly JobVariable[];
  /** The last attempt of the job of a name. */
  readonly recordOf: (name: string) => JobRecord | undefined;
}

/** Makes a job's payload when a runner takes it: only then its token, its dependencies' files and variables are known. */
export type MakePayload = (job: PipelineJob, manual: boolean, handingOut: HandingOut) => Promise<JobPayload>;

export function createPayloadMaker(maker: PayloadMakerOptions): MakePayload {
  const { core, pipelineId, options, shared, recordOf } = maker;
  const { settings, state } = core;
  const { pipeline, project, commit } = options;
  const idsOf = createFileIds(options);
  return async (job, manual, handingOut) => {
    const dependencies = dependencyNames(job, pipeline.jobs, pipeline.stages).flatMap((name) => recordOf(name) ?? []);
    const timeoutSeconds = job.timeoutSeconds ?? options.defaultTimeoutSeconds ?? 3600;
    const repositoryUrl = repositoryUrlWithToken(
      options.repositoryUrl.replace(/^\.\//, `${settings.url}/`),
      handingOut.token,
    );
    const variables = jobVariables({
      job,
      project,
      shared,
      given: options.variables ?? [],
      dotenv: Object.assign({}, ...dependencies.map(({ dotenv }) => dotenv)) as Record<string, string>,
      handingOut,
      url: settings.url,
      repositoryUrl,
      timeoutSeconds,
      protectedRef: commit.protected ?? false,
      manual,
    });
    // Without caches nothing needs to be looked up, and nothing delays the answer.
    const caches =
      job.cache.length === 0
        ? []
        : await cachePayload(job.cache, {
            clearIndex: options.cache?.clearIndex ?? (await state.clearIndex(project.id)),
            separateCaches: options.cache?.separateCaches ?? true,
            protectedRef: commit.protected ?? false,
            idsOf,
          });
    return pipelinePayload({
      job,
      pipelineId,
      project,
      commit,
      handingOut,
      variables,
      caches,
      dependencies,
      repositoryUrl,
      timeoutSeconds,
      tokenMaskPrefixes: settings.tokenMaskPrefixes,
    });
  };
}
