export { finishUnfinishedJob } from "./finish-unfinished-job.ts";
export type { FinishUnfinishedJobOptions, UnfinishedJobOutcome } from "./finish-unfinished-job.ts";
export { removeTemporaryFiles } from "./remove-temporary-files.ts";
export type { UnfinishedJob, UnfinishedJobFacts, UnfinishedJobResult, UnfinishedJobs } from "./types.ts";
export { openUnfinishedJobs } from "./unfinished-jobs.ts";
export type { OpenUnfinishedJobsOptions } from "./unfinished-jobs.ts";
