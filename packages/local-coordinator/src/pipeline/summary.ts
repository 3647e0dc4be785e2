import type { PipelineResult, StartPipelineOptions } from "./pipeline-run.ts";

/** What the state directory keeps of a pipeline: enough to find its artifacts and to know when they expire. */
export function summaryOf(result: PipelineResult, { commit, project, source = "push" }: StartPipelineOptions): unknown {
  const { id, status, startedAtMs, finishedAtMs } = result;
  return {
    id,
    status,
    source,
    project: project.fullPath,
    ref: commit.ref,
    sha: commit.sha,
    startedAtMs,
    finishedAtMs,
    jobs: result.jobs.map((job) => ({
      id: job.id,
      name: job.name,
      stage: job.stage,
      status: job.status,
      artifacts: job.artifacts.map(({ type, path, bytes, expireIn, uploadedAtMs }) => ({
        type,
        path,
        bytes,
        expireIn,
        uploadedAtMs,
      })),
    })),
  };
}
