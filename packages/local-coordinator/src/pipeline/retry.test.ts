import { describe, expect, it } from "vitest";

import { shouldRetry } from "./retry.ts";

describe("running a failed job once more", () => {
  const any = { max: 2, when: ["always"], exitCodes: [] };
  const script = { reason: "script_failure", exitCode: 1 };
  it.each([
    { what: "no retries", policy: { ...any, max: 0 }, attempts: 1, failure: script, expected: false },
    { what: "the first failure of three attempts", policy: any, attempts: 1, failure: script, expected: true },
    { what: "the second", policy: any, attempts: 2, failure: script, expected: true },
    { what: "the third", policy: any, attempts: 3, failure: script, expected: false },
    { what: "nothing said about when", policy: { ...any, when: [] }, attempts: 1, failure: script, expected: true },
    {
      what: "another reason",
      policy: { ...any, when: ["runner_system_failure"] },
      attempts: 1,
      failure: script,
      expected: false,
    },
    {
      what: "the reason",
      policy: { ...any, when: ["runner_system_failure"] },
      attempts: 1,
      failure: { reason: "runner_system_failure", exitCode: undefined },
      expected: true,
    },
    {
      what: "another exit code",
      policy: { max: 1, when: [], exitCodes: [42] },
      attempts: 1,
      failure: script,
      expected: false,
    },
    {
      what: "the exit code",
      policy: { max: 1, when: [], exitCodes: [42] },
      attempts: 1,
      failure: { reason: "script_failure", exitCode: 42 },
      expected: true,
    },
    {
      what: "the exit code but another reason",
      policy: { max: 1, when: ["job_execution_timeout"], exitCodes: [42] },
      attempts: 1,
      failure: { reason: "script_failure", exitCode: 42 },
      expected: true,
    },
  ])("with $what: $expected", ({ policy, attempts, failure, expected }) => {
    expect(shouldRetry(policy, attempts, failure)).toBe(expected);
  });
});
