import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { parseResetTime, parseRetryAfter } from "./headers.ts";

describe("parseResetTime", () => {
  it.each([
    ["Sat, 21 Nov 2026 10:00:05 GMT", Date.UTC(2026, 10, 21, 10, 0, 5)],
    ["Sat, 21 Nov 2026 10:00:05 UTC", Date.UTC(2026, 10, 21, 10, 0, 5)],
    ["Mon, 29 Feb 2028 00:00:00 GMT", Date.UTC(2028, 1, 29)],
    ["Fri, 31 Dec 9999 23:59:59 GMT", Date.UTC(9999, 11, 31, 23, 59, 59)],
  ])("reads %s", (value, expected) => {
    expect(parseResetTime(value)).toBe(expected);
  });

  it("reads a year of less than 100 as that year", () => {
    expect(new Date(parseResetTime("Sat, 01 Jan 0050 00:00:00 GMT") ?? 0).getUTCFullYear()).toBe(50);
  });

  it.each([
    "",
    "garbage",
    "1700000000",
    "2026-11-21T10:00:05Z",
    "Sat, 31 Nov 2026 10:00:05 GMT",
    "Mon, 29 Feb 2027 00:00:00 GMT",
    "Sat, 00 Nov 2026 10:00:05 GMT",
    "Sat, 21 Nov 2026 24:00:00 GMT",
    "Sat, 21 Nov 2026 10:60:00 GMT",
    "Sat, 21 Nov 2026 10:00:60 GMT",
    "Xyz, 21 Nov 2026 10:00:05 GMT",
    "Sat, 21 Nvm 2026 10:00:05 GMT",
    "Sat, 21 Nov 26 10:00:05 GMT",
    "Sat, 21 Nov 2026 10:00:05",
    "Sat, 21 Nov 2026 10:00:05 +0000",
    "Sat, 21 Nov 2026 10:00:05 GMT, Sat, 21 Nov 2026 10:00:06 GMT",
  ])("does not read %j", (value) => {
    expect(parseResetTime(value)).toBeUndefined();
  });

  it("reads every whole second back that an HTTP date can name", () => {
    const seconds = fc.integer({ min: -62_135_596_800, max: 253_402_300_799 });
    fc.assert(fc.property(seconds, (s) => parseResetTime(new Date(s * 1000).toUTCString()) === s * 1000));
  });
});

describe("parseRetryAfter", () => {
  it.each([
    ["0", 0],
    ["007", 7000],
    ["+5", 5000],
    ["-5", -5000],
    ["9223372036", 9_223_372_036_000],
    ["-9223372036", -9_223_372_036_000],
  ])("reads %s", (value, expected) => {
    expect(parseRetryAfter(value)).toBe(expected);
  });

  it.each(["", "1.5", "1e3", "0x10", "1_000", "++5", "5 5", "5s", "9223372037", "9".repeat(400), "-9223372037"])(
    "does not read %j",
    (value) => {
      expect(parseRetryAfter(value)).toBeUndefined();
    },
  );
});
