import { describe, expect, it } from "vitest";

import { environmentSlug, slugOf } from "./slug.ts";

describe("slugs", () => {
  it.each([
    ["main", "main"],
    ["Feature/ABC_1", "feature-abc-1"],
    ["--x--", "x"],
    ["a".repeat(70), "a".repeat(63)],
    [`${"a".repeat(62)}-b`, "a".repeat(62)],
  ])("of %s is %s", (name, expected) => {
    expect(slugOf(name)).toBe(expected);
  });

  it("of environments stay when they can, and get a hash otherwise", () => {
    expect(environmentSlug("production")).toBe("production");
    expect(environmentSlug("review/feat")).toMatch(/^review-feat-[0-9a-z]{6}$/);
    expect(environmentSlug("1st")).toMatch(/^env-1st-[0-9a-z]{6}$/);
    const long = environmentSlug("review/a-very-long-branch-name");
    expect(long).toHaveLength(24);
    expect(environmentSlug("review/a-very-long-branch-other")).not.toBe(long);
  });
});
