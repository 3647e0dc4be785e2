import { FAILURE_REASONS, mapFailureReason } from "@fleetfoot/coordinator-client";
import { expect, it } from "vitest";

import { failureReasons } from "./failure-reasons.ts";

it("understands every reason that a runner sends as it is, and takes no part in what stays with the runner", () => {
  const sent = FAILURE_REASONS.filter((reason) => mapFailureReason(reason, failureReasons) === reason);
  expect(sent).toEqual(failureReasons);
  expect(FAILURE_REASONS.filter((reason) => !failureReasons.includes(reason))).toEqual(["job_canceled"]);
});
