import { PayloadRejectedError } from "../errors.ts";
import type { JobPayload } from "@fleetfoot/coordinator-client";

/**
 * Refuses a job with parts that this runner cannot honour, before anything of it runs.
 *
 * @param rejection - what the request for the job found already
 * @throws {PayloadRejectedError}
 * @see coordinator-protocol 5.3
 */
export function checkPayload(job: JobPayload, rejection: string | undefined): void {
  if (rejection !== undefined) throw new PayloadRejectedError(rejection);
  if (job.run === "") return;
  if (job.steps.some((step) => step.script.length > 0)) {
    throw new PayloadRejectedError("the job has both `run` and `script`; only one of them can be used");
  }
  throw new PayloadRejectedError(
    "the job is made of step definitions (`run`), which this runner cannot execute; use `script`",
  );
}
