import type { Pipeline, PipelineJob } from "@fleetfoot/ci-config";
import type { Output } from "../context.ts";

/** Prints the jobs of a pipeline as a table, stage by stage. */
export function printJobs(pipeline: Pipeline, output: Output): void {
  const rows = pipeline.jobs.map((job) => [job.name, job.stage, job.when, describeNeeds(job), describeFailure(job)]);
  const table = [["JOB", "STAGE", "WHEN", "NEEDS", "MAY FAIL"], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  for (const row of table)
    output.write(
      `${row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()}\n`,
    );
}

/** Prints the jobs of a pipeline as one JSON array. */
export function printJobsAsJson(pipeline: Pipeline, output: Output): void {
  const jobs = pipeline.jobs.map((job) => ({
    name: job.name,
    stage: job.stage,
    when: job.when,
    allowFailure:
      job.allowFailure.exitCodes.length > 0 ? { exitCodes: job.allowFailure.exitCodes } : job.allowFailure.allowed,
    needs: job.needs?.map((need) => need.job) ?? null,
    dependencies: job.dependencies ?? null,
    tags: job.tags,
    source: job.source,
  }));
  output.write(`${JSON.stringify(jobs, undefined, 2)}\n`);
}

function describeNeeds(job: PipelineJob): string {
  if (job.needs === undefined) return "earlier stages";
  return job.needs.length === 0 ? "nothing" : job.needs.map((need) => need.job).join(", ");
}

function describeFailure(job: PipelineJob): string {
  if (job.allowFailure.exitCodes.length > 0) return `exit code ${job.allowFailure.exitCodes.join(", ")}`;
  return job.allowFailure.allowed ? "yes" : "";
}
