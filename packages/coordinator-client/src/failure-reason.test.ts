import { describe, expect, it } from "vitest";

import { mapFailureReason, normaliseExitCode } from "./failure-reason.ts";

describe("mapFailureReason", () => {
  it("CP A47: reports a pull failure as a system failure to a server that knows no other", () => {
    expect(mapFailureReason("image_pull_failure", ["script_failure"])).toBe("runner_system_failure");
  });

  it("CP A48: reports an interruption as unknown to a server that does not list it", () => {
    expect(mapFailureReason("runner_interrupted", ["script_failure"])).toBe("unknown_failure");
    expect(mapFailureReason("runner_interrupted", ["runner_interrupted"])).toBe("runner_interrupted");
  });

  it.each([
    ["", "script_failure"],
    ["script_failure", "script_failure"],
    ["job_execution_timeout", "job_execution_timeout"],
    ["runner_configuration_error", "script_failure"],
    ["runner_external_dependency_failure", "runner_system_failure"],
    ["job_canceled", "unknown_failure"],
    ["unknown_failure", "unknown_failure"],
  ] as const)("maps '%s' to %s when the server lists nothing", (reason, expected) => {
    expect(mapFailureReason(reason, [])).toBe(expected);
  });

  it("keeps a reason that the server lists", () => {
    expect(mapFailureReason("image_pull_failure", ["image_pull_failure"])).toBe("image_pull_failure");
  });
});

describe("normaliseExitCode", () => {
  it.each([
    [0, 0],
    [255, 255],
    [2_147_483_647, 2_147_483_647],
    [2_147_483_648, -2_147_483_648],
    [4_294_967_295, -1],
    [3_221_225_477, -1_073_741_819],
  ])("of %i is %i", (exitCode, expected) => {
    expect(normaliseExitCode(exitCode)).toBe(expected);
  });
});
