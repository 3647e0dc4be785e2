import { describe, expect, it } from "vitest";
import { isExecuting, isOver, nextState, statusOf } from "./job-state.ts";
import type { JobAction, JobState } from "./job-state.ts";

const states = [
  "created",
  "manual",
  "scheduled",
  "waiting_for_resource",
  "pending",
  "held",
  "running",
  "canceling",
  "canceled",
  "success",
  "failed",
  "skipped",
] as const satisfies readonly JobState[];

const actions = [
  "enqueue",
  "offer",
  "delay",
  "await-resource",
  "skip",
  "assign",
  "hold",
  "confirm",
  "release",
  "succeed",
  "fail",
  "cancel-gracefully",
  "cancel",
] as const satisfies readonly JobAction[];

/** Rows are states, columns the actions above; a dash means that the action is refused. */
const expected: Readonly<Record<(typeof states)[number], string>> = {
  created: "pending manual scheduled waiting_for_resource skipped - - - - - failed - canceled",
  manual: "pending - scheduled waiting_for_resource skipped - - - - - - - canceled",
  scheduled: "pending - - waiting_for_resource - - - - - - - - canceled",
  waiting_for_resource: "pending - - - - - - - - - - - canceled",
  pending: "- - - - - running held - - - failed - canceled",
  held: "- - - - - - - running pending - failed - canceled",
  running: "- - - - - - - - pending success failed canceling canceled",
  canceling: "- - - - - - - - - canceled canceled - canceled",
  canceled: "- - - - - - - - - - - - -",
  success: "- - - - - - - - - - - - -",
  failed: "- - - - - - - - - - - - -",
  skipped: "- - - - - - - - - - - - -",
};

describe("job states", () => {
  it.each(states)("follows the table from %s", (state) => {
    expect(actions.map((action) => nextState(state, action) ?? "-").join(" ")).toBe(expected[state]);
  });

  it("shows a job that waits for its runner's confirmation as pending", () => {
    expect(states.filter((state) => statusOf(state) !== state)).toEqual(["held"]);
    expect(statusOf("held")).toBe("pending");
  });

  it("takes updates of running and canceling jobs only", () => {
    expect(states.filter(isExecuting)).toEqual(["running", "canceling"]);
  });

  it("leaves no way out of a job that is over", () => {
    expect(states.filter(isOver)).toEqual(["canceled", "success", "failed", "skipped"]);
    for (const state of states.filter(isOver)) {
      expect(actions.filter((action) => nextState(state, action) !== undefined)).toEqual([]);
    }
  });
});
