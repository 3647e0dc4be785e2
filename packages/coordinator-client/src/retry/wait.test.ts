import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { parseResetTime, parseRetryAfter } from "./headers.ts";
import { computeWait } from "./wait.ts";

const NOW = Date.UTC(2026, 10, 21, 10, 0, 0);

/** Things that headers hold: sound values, near misses, and noise. */
const headerValue = fc.option(
  fc.oneof(
    fc.string(),
    fc.integer().map(String),
    fc.bigInt().map(String),
    fc.double().map(String),
    fc.integer({ min: -100_000, max: 100_000 }).map((s) => new Date(NOW + s * 1000).toUTCString()),
    fc.integer({ min: -100_000, max: 100_000 }).map((s) => new Date(NOW + s * 1000).toISOString()),
  ),
  { nil: undefined },
);
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const step = fc.integer({ min: 0, max: 2000 });
const jitter = fc.integer({ min: 0, max: 100_000 });

describe("computeWait", () => {
  it("gives a finite time of more than zero for any headers", () => {
    fc.assert(
      fc.property(headerValue, headerValue, random, step, jitter, (resetTime, retryAfter, r, backoffStep, jitterMs) => {
        const { waitMs } = computeWait({ resetTime, retryAfter }, { now: NOW, backoffStep, random: () => r, jitterMs });
        return Number.isFinite(waitMs) && waitMs > 0;
      }),
    );
  });

  it("never comes back earlier than told", () => {
    const told = fc.integer({ min: 1, max: 1_000_000_000 });
    fc.assert(
      fc.property(
        told,
        fc.boolean(),
        random,
        jitter,
        fc.integer({ min: 0, max: 999 }),
        (s, asDate, r, jitterMs, ms) => {
          const now = NOW + ms;
          const until = NOW + s * 1000 + 1000;
          const headers = asDate
            ? { resetTime: new Date(until).toUTCString(), retryAfter: "1" }
            : { resetTime: undefined, retryAfter: String(s) };
          const { waitMs } = computeWait(headers, { now, backoffStep: 0, random: () => r, jitterMs });
          const least = asDate ? until - now : s * 1000;
          return waitMs >= least && waitMs <= least + jitterMs;
        },
      ),
    );
  });

  it("falls through to back-off for headers that say nothing, and names exactly the ones that are unparsable", () => {
    const garbage = fc.string().filter((text) => parseResetTime(text) === undefined);
    const nonsense = fc.string().filter((text) => parseRetryAfter(text) === undefined);
    fc.assert(
      fc.property(garbage, nonsense, random, step, (resetTime, retryAfter, r, backoffStep) => {
        const wait = computeWait({ resetTime, retryAfter }, { now: NOW, backoffStep, random: () => r, jitterMs: 9 });
        expect(wait.source).toBe("backoff");
        expect(wait.unparsable.map(({ value }) => value)).toEqual([resetTime, retryAfter].filter(Boolean));
        expect(wait.waitMs).toBeGreaterThanOrEqual(100);
        expect(wait.waitMs).toBeLessThanOrEqual(Math.min(60_000, 100 * 2 ** backoffStep));
      }),
    );
  });

  it("keeps a wait of many years", () => {
    const headers = { resetTime: undefined, retryAfter: "9223372036" };
    expect(computeWait(headers, { now: NOW, backoffStep: 0, random: () => 0, jitterMs: 0 }).waitMs).toBe(
      9_223_372_036_000,
    );
  });
});
