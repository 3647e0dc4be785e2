import { describe, expect, it } from "vitest";

import { tokenRotationAtMs } from "./token-rotation.ts";

const HOUR_MS = 3_600_000;
const obtainedAt = "2026-01-01T00:00:00Z";

describe("tokenRotationAtMs", () => {
  it("CP A10: a token that is valid for 100 hours is due after 75", () => {
    const expiresAt = new Date(Date.parse(obtainedAt) + 100 * HOUR_MS).toISOString();
    expect(tokenRotationAtMs(obtainedAt, expiresAt)).toBe(Date.parse(obtainedAt) + 75 * HOUR_MS);
  });

  it.each([
    ["no expiry", obtainedAt, undefined],
    ["no time of receipt", undefined, obtainedAt],
    ["times that cannot be read", "yesterday", "tomorrow"],
  ])("is never due with %s", (_what, obtained, expires) => {
    expect(tokenRotationAtMs(obtained, expires)).toBeUndefined();
  });
});
