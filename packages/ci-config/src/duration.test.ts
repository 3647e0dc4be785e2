import { describe, expect, it } from "vitest";
import { parseDuration } from "./duration.ts";

describe("parseDuration", () => {
  it.each([
    ["3600", 3600],
    ["1h", 3600],
    ["1h 30m", 5400],
    ["1h30m", 5400],
    ["2 hrs 20 min", 8400],
    ["90 seconds", 90],
    ["1 week and 1 day", 691_200],
    ["1.5h", 5400],
    ["3 mos 4 sec", 7_776_004],
    ["1 year", 31_557_600],
    ["1 day, 2 hours", 93_600],
    ["10:00", 600],
    ["1:30:00", 5400],
    ["  5 Minutes ", 300],
    ["0", 0],
  ])("reads %s as %i seconds", (text, seconds) => {
    expect(parseDuration(text)).toBe(seconds);
  });

  it.each(["", "soon", "1 fortnight", "never", "-5 minutes", "and", "1h later"])("refuses %j", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});
