import type { FailureReason } from "@fleetfoot/coordinator-client";

import type { CacheEvent } from "./cache/index.ts";

/** How a job ended. */
export interface JobResult {
  /** `dropped`: the coordinator did not want the job any longer before it began; nothing ran. */
  readonly outcome: "success" | "failed" | "dropped";
  /** Why it failed, before it was mapped to what the coordinator knows. */
  readonly failureReason?: FailureReason;
  /** Exit code of the script that failed. */
  readonly exitCode?: number;
  /** Text of the log's last line. */
  readonly message: string;
  /** Whether the coordinator took the result. */
  readonly delivered: boolean;
  readonly durationMs: number;
  /** The log as it was reported. */
  readonly trace: { readonly bytes: number; readonly checksum: string };
}

/** What happens in a job, for a live view. Times are epoch milliseconds. */
export type JobEvent =
  | { readonly type: "stage-started"; readonly stage: string; readonly atMs: number }
  | {
      readonly type: "stage-ended";
      readonly stage: string;
      readonly atMs: number;
      readonly durationMs: number;
      readonly succeeded: boolean;
    }
  | { readonly type: "cache"; readonly event: CacheEvent }
  | { readonly type: "finished"; readonly result: JobResult };
