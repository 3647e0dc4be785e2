import type { JobStatus, JobView } from "./jobs/job-view.ts";
import type { PipelineResult } from "./pipeline/pipeline-run.ts";
import type { RunnerView } from "./runners/runner-view.ts";

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
  /** A runner was made; a machine used its token for the first time; the runner, or one of its machines, was unregistered. */
  | { readonly kind: "runner"; readonly change: "added" | "machine-added" | "removed"; readonly runner: RunnerView }
  | { readonly kind: "warning"; readonly pipelineId: number; readonly message: string };

/** Called synchronously, in the order of what happened; must not throw. */
export type CoordinatorListener = (event: CoordinatorEvent) => void;
