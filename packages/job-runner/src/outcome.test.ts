import { FAILURE_REASONS } from "@fleetfoot/coordinator-client";
import { describe, expect, it } from "vitest";

import { reportOf } from "./outcome.ts";

describe("reportOf", () => {
  it.each(FAILURE_REASONS)("keeps the reason %s that an executor names", (failureReason) => {
    const error = Object.assign(new Error("broken"), { failureReason, retryable: false, exitCode: 3 });
    expect(reportOf(error)).toEqual({ reason: failureReason, message: "broken", exitCode: 3 });
  });

  it("reports a reason that nobody knows as unknown, and an error without one as the runner's own", () => {
    const error = Object.assign(new Error("broken"), { failureReason: "moon_phase", retryable: false });
    expect(reportOf(error)).toEqual({ reason: "unknown_failure", message: "broken" });
    expect(reportOf(new Error("broken"))).toEqual({ reason: "runner_system_failure", message: "broken" });
  });
});
