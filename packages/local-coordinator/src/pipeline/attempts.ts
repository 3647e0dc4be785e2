import type { PipelineJob } from "@fleetfoot/ci-config";

import type { JobRecord } from "../jobs/job-record.ts";

/** One job of the configuration with its attempts, the last of which counts. */
export interface Attempts {
  readonly job: PipelineJob;
  record: JobRecord;
  readonly earlier: JobRecord[];
  /** Somebody asked for a manual job. */
  played: boolean;
}
