import { DEFAULT_TOKEN_PREFIXES, openJobTrace } from "@fleetfoot/job-trace";
import type { JobTrace } from "@fleetfoot/job-trace";

import type { JobRecord } from "./job-record.ts";
import type { RunJobOptions } from "./options.ts";
import type { JobPlan } from "./plan.ts";

/** Opens the log of a job, with everything that it must not show, in the job's record when it has one. */
export function openTrace(options: RunJobOptions, plan: JobPlan, record: JobRecord): Promise<JobTrace> {
  const { job, runner, stateDirectory, now } = options;
  return openJobTrace({
    ...(record.traceFile === undefined ? { directory: stateDirectory } : { file: record.traceFile }),
    // A coordinator masks its token by sending it as a masked variable; one that forgot must not leak it.
    maskedValues: [
      ...plan.variables.maskedValues,
      job.token,
      ...job.dependencies.map((dependency) => dependency.token),
    ],
    tokenPrefixes: [...DEFAULT_TOKEN_PREFIXES, ...(job.features.token_mask_prefixes ?? [])],
    timestamps: plan.flags.FF_TIMESTAMPS,
    ...(runner.outputLimitBytes === undefined ? {} : { limitBytes: runner.outputLimitBytes }),
    ...(now === undefined ? {} : { now }),
  });
}
