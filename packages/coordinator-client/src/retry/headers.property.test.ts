import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { createFakeTime, createRecordingLogger } from "../test-support/fakes.ts";
import { startServer } from "../test-support/recording-server.ts";
import { bytes, createTestClient, job } from "../test-support/test-client.ts";
import { parseResetTime, parseRetryAfter } from "./headers.ts";
import { createRetryingFetch } from "./retrying-fetch.ts";
import { computeWait } from "./wait.ts";

const NOW = createFakeTime().now();
const RUNS = 10_000;
const LONG = 65_536;

/** What a header value may hold on the wire: visible ASCII, blanks in between, and bytes beyond ASCII. */
const wireText = fc
  .string({
    unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code === 0x7f ? 0x20 : code)),
  })
  .map((text) => text.trim());

const date = fc
  .integer({ min: -4_000_000_000, max: 250_000_000_000 })
  .map((seconds) => new Date(NOW + seconds * 1000).toUTCString());

/** Sound values, near misses, noise, and too much of each. */
const value = fc.oneof(
  wireText,
  fc.integer({ min: -1000, max: 100_000 }).map(String),
  fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }).map(String),
  fc.constantFrom("9223372036", "9223372037", "-9223372036", "-9223372037", "+7", "007", "-0", "1e3", "0x10", "1.5"),
  fc.double().map(String),
  date,
  date.map((text) => text.replace("GMT", "EST")),
  fc.tuple(date, wireText).map(([text, tail]) => `${text}${tail}`.trim()),
  fc.tuple(date, fc.nat({ max: 28 }), wireText).map(([text, at, piece]) => (text.slice(0, at) + piece).trim()),
  fc.constantFrom("9", "0", "-", "+", "x", "Sat, ", "1 ").map((piece) => piece.repeat(LONG / piece.length).trim()),
);

describe("header values of any shape", () => {
  it(`are read as a naive reader reads them (${RUNS} Retry-After)`, () => {
    fc.assert(
      fc.property(value, (text) => parseRetryAfter(text) === naiveRetryAfter(text)),
      { numRuns: RUNS },
    );
  });

  it(`are read as a naive reader reads them (${RUNS} RateLimit-ResetTime)`, () => {
    fc.assert(
      fc.property(value, (text) => parseResetTime(text) === naiveResetTime(text)),
      { numRuns: RUNS },
    );
  });

  it(`give the wait of the first that names a time to come, else a back-off (${RUNS} pairs)`, () => {
    const maybe = fc.option(value, { nil: undefined });
    fc.assert(
      fc.property(maybe, maybe, fc.nat({ max: 10 }), (resetTime, retryAfter, backoffStep) => {
        const wait = computeWait({ resetTime, retryAfter }, { now: NOW, backoffStep, random: () => 1, jitterMs: 0 });
        expect(wait.waitMs).toBe(naiveWait(resetTime, retryAfter) ?? Math.min(60_000, 100 * 2 ** backoffStep));
      }),
      { numRuns: RUNS },
    );
  });

  it(`lead to one more attempt after that wait, through anything shaped like fetch (${RUNS} answers)`, async () => {
    const several = fc.array(value, { maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(several, several, async (resetTimes, retryAfters) => {
        // Joined values of one header can only be told apart where they cannot be mistaken for a single one.
        fc.pre([...resetTimes, ...retryAfters].every((text) => !/,(?: |$)/.test(text) || isDate(text)));
        const headers = new Headers();
        for (const text of resetTimes) headers.append("RateLimit-ResetTime", text);
        for (const text of retryAfters) headers.append("Retry-After", text);
        const answers = [new Response("busy", { status: 429, headers }), new Response("done")];
        const time = createFakeTime();
        const retryingFetch = createRetryingFetch({
          fetch: async () => answers.shift() ?? Response.error(),
          now: time.now,
          sleep: time.sleep,
          random: () => 0,
        });

        const { response, attempts } = await retryingFetch({ url: "http://coordinator.internal/" });

        expect([response.status, attempts]).toEqual([200, 2]);
        expect(time.waits).toEqual([naiveWait(resetTimes[0], retryAfters[0]) ?? 100]);
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  it("lead to one more attempt after that wait, over sockets (500 answers, each value up to 64 KiB)", async () => {
    let next: { readonly resetTimes: readonly string[]; readonly retryAfters: readonly string[] } | undefined;
    await using server = await startServer((request, response) => {
      request.resume();
      if (next === undefined) {
        response.writeHead(202).end();
        return;
      }
      response.setHeader("RateLimit-ResetTime", next.resetTimes);
      response.setHeader("Retry-After", next.retryAfters);
      next = undefined;
      response.writeHead(503).end("busy");
    });
    const several = fc.array(value, { minLength: 1, maxLength: 2 });
    await using shared = createTestClient({ url: server.url });
    await fc.assert(
      fc.asyncProperty(several, several, async (resetTimes, retryAfters) => {
        next = { resetTimes, retryAfters };
        shared.time.set(NOW);
        const counted = shared.time.waits.length;

        const result = await shared.client.patchTrace(job, { offset: 0, bytes: bytes("x") });

        expect(result).toMatchObject({ outcome: "ok", attempts: 2 });
        expect(shared.time.waits.slice(counted)).toEqual([naiveWait(resetTimes[0], retryAfters[0]) ?? 100]);
      }),
      { numRuns: 500 },
    );
    // What came in a header must not flood the log.
    expect(Math.max(...shared.logger.lines.map((line) => JSON.stringify(line).length))).toBeLessThan(2000);
  }, 120_000);

  it("do not flood the log, nor break its lines", async () => {
    const logger = createRecordingLogger();
    const time = createFakeTime();
    const answers = [new Response(null, { status: 429, headers: { "retry-after": `${"x".repeat(LONG)}\ty` } })];
    const retryingFetch = createRetryingFetch({
      fetch: async () => answers.shift() ?? new Response("done"),
      logger,
      sleep: time.sleep,
    });

    await retryingFetch({ url: "http://coordinator.internal/" });

    expect(String(logger.at("warn")[0]?.fields["headerValue"]).length).toBeLessThan(1100);
  });
});

function isDate(text: string): boolean {
  return naiveResetTime(text) !== undefined;
}

function naiveWait(resetTime: string | undefined, retryAfter: string | undefined): number | undefined {
  const reset = naiveResetTime(resetTime ?? "");
  if (reset !== undefined && reset > NOW) return reset - NOW;
  const after = naiveRetryAfter(retryAfter ?? "");
  return after !== undefined && after > 0 ? after : undefined;
}

/** Digit by digit, with numbers of any length. */
function naiveRetryAfter(text: string): number | undefined {
  const digits = text.startsWith("+") || text.startsWith("-") ? text.slice(1) : text;
  if (digits === "") return undefined;
  for (const digit of digits) if (!"0123456789".includes(digit)) return undefined;
  const seconds = BigInt(digits) * (text.startsWith("-") ? -1n : 1n);
  const nanoseconds = seconds * 1_000_000_000n;
  return nanoseconds >= 2n ** 63n || nanoseconds <= -(2n ** 63n) ? undefined : Number(seconds) * 1000;
}

/** Field by field; what it makes is accepted when the platform writes the same day and time. */
function naiveResetTime(text: string): number | undefined {
  const [weekday = "", day = "", month = "", year = "", time = "", zone = "", ...rest] = text.split(" ");
  if (rest.length > 0 || !/^(sun|mon|tue|wed|thu|fri|sat),$/i.test(weekday)) return undefined;
  if (!/^(gmt|utc)$/i.test(zone) || !/^[0-9]{2}$/.test(day) || !/^[0-9]{4}$/.test(year)) return undefined;
  const index = "janfebmaraprmayjunjulaugsepoctnovdec".indexOf(month.toLowerCase());
  if (month.length !== 3 || index % 3 !== 0 || !/^[0-9]{2}:[0-9]{2}:[0-9]{2}$/.test(time)) return undefined;
  const iso = `${year}-${String(index / 3 + 1).padStart(2, "0")}-${day}T${time}.000Z`;
  const epoch = Date.parse(iso);
  return Number.isNaN(epoch) || new Date(epoch).toISOString() !== iso ? undefined : epoch;
}
