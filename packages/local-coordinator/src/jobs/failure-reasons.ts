import { FAILURE_REASONS } from "@fleetfoot/coordinator-client";

/** Reasons that a runner may give; jobs are told that these are understood. @see coordinator-protocol 6.3 */
export const failureReasons: readonly string[] = FAILURE_REASONS.filter((reason) => reason !== "job_canceled");
