import type { Pipeline, PipelineJob } from "@fleetfoot/ci-config";

/**
 * Keeps the jobs that are named, by their own name or by the one that all parallel instances share.
 *
 * @param names - empty keeps all jobs
 * @param withNeeds - keeps what they need, too: the jobs of `needs`, or all earlier stages
 * @returns a pipeline in which no job waits for one that is not there
 */
export function selectJobs(pipeline: Pipeline, names: readonly string[], withNeeds: boolean): Pipeline {
  if (names.length === 0) return pipeline;
  const isNamed = (job: PipelineJob, name: string): boolean => job.name === name || job.baseName === name;
  const kept = new Set<PipelineJob>();
  const keep = (job: PipelineJob): void => {
    if (kept.has(job)) return;
    kept.add(job);
    if (withNeeds) for (const needed of neededJobs(pipeline, job)) keep(needed);
  };
  for (const job of pipeline.jobs) if (names.some((name) => isNamed(job, name))) keep(job);
  const jobs = pipeline.jobs.filter((job) => kept.has(job));
  const present = new Set(jobs.map((job) => job.name));
  return { ...pipeline, jobs: jobs.map((job) => withoutAbsent(job, present)) };
}

function neededJobs(pipeline: Pipeline, job: PipelineJob): readonly PipelineJob[] {
  if (job.needs !== undefined)
    return pipeline.jobs.filter((other) => job.needs?.some((need) => need.job === other.name));
  const stage = pipeline.stages.indexOf(job.stage);
  return pipeline.jobs.filter((other) => pipeline.stages.indexOf(other.stage) < stage && other.when !== "manual");
}

function withoutAbsent(job: PipelineJob, present: ReadonlySet<string>): PipelineJob {
  return {
    ...job,
    needs: job.needs?.filter((need) => present.has(need.job)),
    dependencies: job.dependencies?.filter((name) => present.has(name)),
  };
}
