import { describe, expect, it } from "vitest";

import { JobControl, makeGrowingControl } from "./control.ts";

const nothing = (): void => undefined;

describe("the control of a job whose units are still being found", () => {
  it("lets a participant that another job wants go while it waits for a unit, which others then get", () => {
    const control = new JobControl(makeGrowingControl());
    const publishLate = (): void => {
      control.share = 1;
      control.publish(1, false);
    };
    expect(control.claim(1, publishLate)).toBeUndefined();
    expect(control.claim(0, nothing)).toBe(0);
    control.share = 2;
    const publishNothing = (): void => {
      control.share = 1;
    };
    expect(control.claim(1, publishNothing)).toBeUndefined();
    control.publish(2, true);
    expect(control.isExhausted).toBe(false);
    expect(control.claim(0, nothing)).toBe(1);
    expect(control.isExhausted).toBe(true);
    expect(control.claim(0, nothing)).toBeUndefined();
  });

  it("lets a participant that waits for a unit go when no more come, and when the job is aborted", () => {
    const ended = new JobControl(makeGrowingControl());
    expect(ended.claim(0, () => ended.publish(0, true))).toBeUndefined();
    expect(ended.isComplete).toBe(true);
    const aborted = new JobControl(makeGrowingControl());
    expect(aborted.claim(0, () => aborted.abort())).toBeUndefined();
    // Nobody has lost anything.
    expect(aborted.isUntouched).toBe(true);
  });
});
