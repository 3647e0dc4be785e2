import type { PipelineJob } from "@fleetfoot/ci-config";

/**
 * Names of the jobs whose artifacts and dotenv variables a job gets: those of `needs` that ask for artifacts, otherwise all of
 * earlier stages; `dependencies` narrows either.
 *
 * @param stages - of the pipeline, in order
 * @see https://docs.gitlab.com/ci/yaml/#dependencies
 */
export function dependencyNames(
  job: PipelineJob,
  jobs: readonly PipelineJob[],
  stages: readonly string[],
): readonly string[] {
  const stage = stages.indexOf(job.stage);
  const candidates =
    job.needs === undefined
      ? jobs.filter((other) => stages.indexOf(other.stage) < stage).map(({ name }) => name)
      : job.needs.filter(({ artifacts }) => artifacts).map((need) => need.job);
  const { dependencies } = job;
  if (dependencies === undefined) return candidates;
  const baseNames = new Map(jobs.map(({ name, baseName }) => [name, baseName]));
  return candidates.filter((name) => dependencies.includes(name) || dependencies.includes(baseNames.get(name) ?? name));
}
