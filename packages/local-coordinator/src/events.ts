import type { JobStatus, JobView } from "./jobs/job-view.ts";
import type { PipelineResult } from "./pipeline/pipeline-run.ts";

/** Something that a live view wants to know at once. */
export type CoordinatorEvent =
  | { readonly kind: "job-state"; readonly job: JobView; readonly previous: JobStatus | undefined }
  | {
      readonly kind: "trace";
      readonly jobId: number;
      /** Offset of the first of `bytes` in the log. */
      readonly offset: number;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: "pipeline-finished"; readonly result: PipelineResult }
  | { readonly kind: "warning"; readonly pipelineId: number; readonly message: string };

/** Called synchronously, in the order of what happened; must not throw. */
export type CoordinatorListener = (event: CoordinatorEvent) => void;
