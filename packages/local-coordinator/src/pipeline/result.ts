import { viewOf } from "../jobs/job-record.ts";
import type { Attempts } from "./attempts.ts";
import type { PipelineResult } from "./pipeline-run.ts";

/** What became of a pipeline, from what became of its jobs. */
export function pipelineResult(
  facts: Pick<PipelineResult, "id" | "status" | "warnings" | "startedAtMs" | "finishedAtMs"> & {
    /** In order of the configuration. */
    readonly attempts: readonly Attempts[];
  },
): PipelineResult {
  const { attempts, ...rest } = facts;
  const jobs = attempts.map(({ record }) => viewOf(record));
  return {
    ...rest,
    passedWithWarnings: rest.status === "success" && jobs.some((job) => job.status === "failed"),
    jobs,
    retried: attempts.flatMap(({ earlier }) => earlier.map(viewOf)).sort((a, b) => a.id - b.id),
  };
}
