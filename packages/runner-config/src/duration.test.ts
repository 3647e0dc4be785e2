import { describe, expect, it } from "vitest";
import { parseDurationMs } from "./duration.ts";

describe("parseDurationMs", () => {
  it.each([
    ["30m", 1_800_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    [".5s", 500],
    ["1h2m3s4ms", 3_723_004],
    ["100us", 0.1],
    ["-5s", -5000],
    ["0", 0],
  ])("%s is %d ms", (text, milliseconds) => {
    expect(parseDurationMs(text)).toBe(milliseconds);
  });

  it.each(["", "5", "1 h", "1d", "h", "1h 30m", "."])("%j is none", (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  });
});
