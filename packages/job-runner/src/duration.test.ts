import { describe, expect, it } from "vitest";

import { formatDuration, parseDuration } from "./duration.ts";

describe("durations", () => {
  it.each([
    ["90s", 90_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    ["-5s", -5_000],
    ["+1m", 60_000],
    ["100ms", 100],
    ["0", 0],
    ["60", undefined],
    ["", undefined],
    ["s", undefined],
    ["1 h", undefined],
    ["1d", undefined],
  ])("%j is %s ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    [5_000, "5s"],
    [1_500, "1.5s"],
    [60_000, "1m0s"],
    [90_000, "1m30s"],
    [3_600_000, "1h0m0s"],
    [90_061_000, "25h1m1s"],
    [0, "0s"],
  ])("%i ms are written %s", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});
