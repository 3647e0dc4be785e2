import { describe, expect, it } from "vitest";

import type { ScheduledJob } from "./schedule.ts";
import { decide, outcomeOf } from "./schedule.ts";

/** `name stage state [option...]`, options being `when=`, `needs=a,b` and `forgiven`. */
function job(text: string): ScheduledJob {
  const [name = "", stage = "0", state = "created", ...options] = text.split(" ");
  const value = (key: string): string | undefined =>
    options.find((option) => option.startsWith(`${key}=`))?.slice(key.length + 1);
  return {
    name,
    stage: Number(stage),
    state: state as ScheduledJob["state"],
    when: (value("when") ?? "on_success") as ScheduledJob["when"],
    needs: value("needs")?.split(",").filter(Boolean),
    allowFailure: options.includes("forgiven"),
  };
}

function decisions(...jobs: string[]): string {
  return decide(jobs.map(job))
    .map(({ name, action }) => `${name} ${action}`)
    .join("; ");
}

describe("what becomes of a job of a later stage", () => {
  it.each([
    ["a 0 running", "b 1 created", ""],
    ["a 0 pending", "b 1 created when=always", ""],
    ["a 0 success", "b 1 created", "b enqueue"],
    ["a 0 success", "b 1 created when=always", "b enqueue"],
    ["a 0 success", "b 1 created when=on_failure", "b skip"],
    ["a 0 success", "b 1 created when=manual", "b offer"],
    ["a 0 success", "b 1 created when=delayed", "b delay"],
    ["a 0 failed", "b 1 created", "b skip"],
    ["a 0 failed", "b 1 created when=always", "b enqueue"],
    ["a 0 failed", "b 1 created when=on_failure", "b enqueue"],
    ["a 0 failed", "b 1 created when=manual", "b skip"],
    ["a 0 failed forgiven", "b 1 created", "b enqueue"],
    ["a 0 failed forgiven", "b 1 created when=on_failure", "b skip"],
    ["a 0 skipped", "b 1 created", "b enqueue"],
    ["a 0 canceled", "b 1 created", "b skip"],
    ["a 0 canceled", "b 1 created when=always", "b skip"],
    ["a 0 manual forgiven", "b 1 created", "b enqueue"],
    ["a 0 manual", "b 1 created", ""],
    ["a 0 scheduled", "b 1 created", ""],
    ["a 0 canceling", "b 1 created", ""],
    ["a 0 held", "b 1 created", ""],
  ])("after %s: %s gives '%s'", (before, after, expected) => {
    expect(decisions(before, after)).toBe(expected);
  });

  it("looks at all earlier stages, and not at its own", () => {
    expect(decisions("a 0 failed", "b 1 success", "c 2 created")).toBe("c skip");
    expect(decisions("a 0 success", "b 1 running", "c 1 created")).toBe("c enqueue");
  });
});

describe("what becomes of a job with needs", () => {
  it.each([
    [["a 0 running", "b 1 created needs=a"], ""],
    [["a 0 success", "slow 0 running", "b 1 created needs=a"], "b enqueue"],
    [["slow 0 running", "b 2 created needs="], "b enqueue"],
    [["a 0 failed", "slow 0 running", "b 1 created needs=a"], "b skip"],
    [["a 0 failed", "b 1 created needs=a when=on_failure"], "b enqueue"],
    [["a 0 skipped", "b 1 created needs=a"], "b skip"],
    [["a 0 skipped", "slow 0 running", "b 1 created needs=a,slow"], "b skip"],
    [["a 0 skipped", "b 1 created needs=a when=always"], "b enqueue"],
    [["a 0 manual forgiven", "b 1 created needs=a"], "b skip"],
    [["a 0 manual", "b 1 created needs=a"], ""],
    [["a 0 success", "b 0 created needs=a"], "b enqueue"],
    [["b 1 created needs=absent"], "b enqueue"],
  ])("%j gives '%s'", (jobs, expected) => {
    expect(decisions(...jobs)).toBe(expected);
  });
});

describe("the outcome of a pipeline", () => {
  it.each([
    [["a 0 success", "b 1 running"], undefined],
    [["a 0 success", "b 1 canceling"], undefined],
    [["a 0 success", "b 1 success"], "success"],
    [["a 0 success", "b 1 skipped"], "success"],
    [["a 0 success", "b 1 failed"], "failed"],
    [["a 0 success", "b 1 failed forgiven"], "success"],
    [["a 0 failed", "b 1 canceled"], "failed"],
    [["a 0 success", "b 1 canceled"], "canceled"],
    [["a 0 skipped"], "skipped"],
    [["a 0 manual forgiven"], "skipped"],
    [["a 0 success", "b 1 manual forgiven"], "success"],
    [["a 0 success", "b 1 manual", "c 2 created"], "manual"],
    [["a 0 failed", "b 0 manual", "c 2 created"], "failed"],
    [[], "success"],
  ])("of %j is %s", (jobs, expected) => {
    expect(outcomeOf(jobs.map(job))).toBe(expected);
  });
});
