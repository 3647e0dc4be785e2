import { getEventListeners } from "node:events";

import { describe, expect, it, vi } from "vitest";

import { createFakeTime, createRecordingLogger, dateIn, roundOfTheLoop } from "../test-support/fakes.ts";
import type { Reply } from "../test-support/recording-server.ts";
import { resetConnection, startServer } from "../test-support/recording-server.ts";
import { bytes, createTestClient, job, runner } from "../test-support/test-client.ts";
import { createRetrier } from "./retry.ts";
import { createRetryingFetch } from "./retrying-fetch.ts";
import { sleep } from "./sleep.ts";

const RESET = "RateLimit-ResetTime";
const AFTER = "Retry-After";
const SECOND = 1000;
const HOUR = 3_600_000;
const BACKOFF = 100;

interface Row {
  readonly row: string;
  readonly says: string;
  readonly status?: number;
  readonly headers: Reply["headers"];
  readonly waits: readonly number[];
  readonly warned?: readonly string[];
}

/** Each answers one PATCH with the status and the headers, and the next one with 202. */
const ROWS: readonly Row[] = [
  { row: "1", says: "waits until the reset time", headers: { [RESET]: dateIn(5 * SECOND) }, waits: [5 * SECOND] },
  {
    row: "2",
    says: "does not look at Retry-After when the reset time is ahead",
    headers: { [RESET]: dateIn(5 * SECOND), [AFTER]: "nonsense" },
    waits: [5 * SECOND],
  },
  {
    row: "3",
    says: "warns of an unparsable reset time and takes Retry-After",
    headers: { [RESET]: "soon", [AFTER]: "3" },
    waits: [3 * SECOND],
    warned: [RESET],
  },
  {
    row: "4",
    says: "takes Retry-After when the reset time has passed",
    headers: { [RESET]: dateIn(-SECOND), [AFTER]: "3" },
    waits: [3 * SECOND],
  },
  {
    row: "4, now",
    says: "takes Retry-After when the reset time is now",
    headers: { [RESET]: dateIn(0), [AFTER]: "3" },
    waits: [3 * SECOND],
  },
  { row: "5", says: "backs off when the reset time has passed", headers: { [RESET]: dateIn(-HOUR) }, waits: [BACKOFF] },
  { row: "6", says: "backs off without headers", headers: {}, waits: [BACKOFF] },
  {
    row: "7",
    says: "warns twice and backs off when both are unparsable",
    headers: { [RESET]: "soon", [AFTER]: "later" },
    waits: [BACKOFF],
    warned: [RESET, AFTER],
  },
  { row: "8", says: "takes empty headers as missing", headers: { [RESET]: "", [AFTER]: "" }, waits: [BACKOFF] },
  { row: "9, zero", says: "backs off without a warning", headers: { [AFTER]: "0" }, waits: [BACKOFF] },
  { row: "9, negative", says: "backs off without a warning", headers: { [AFTER]: "-7" }, waits: [BACKOFF] },
  { row: "10", says: "warns of a fraction", headers: { [AFTER]: "1.5" }, waits: [BACKOFF], warned: [AFTER] },
  {
    row: "11",
    says: "warns of a date in Retry-After",
    headers: { [AFTER]: dateIn(HOUR) },
    waits: [BACKOFF],
    warned: [AFTER],
  },
  { row: "12", says: "takes a plus sign", headers: { [AFTER]: "+5" }, waits: [5 * SECOND] },
  { row: "13", says: "takes no notice of blanks around a value", headers: { [AFTER]: "  4 \t" }, waits: [4 * SECOND] },
  {
    row: "14",
    says: "warns of a number beyond 64-bit nanoseconds",
    headers: { [AFTER]: "9223372037" },
    waits: [BACKOFF],
    warned: [AFTER],
  },
  { row: "15", says: "knows a header in any letter case", headers: { "rEtRy-aFTER": "6" }, waits: [6 * SECOND] },
  {
    row: "15, reset time",
    says: "knows a header in any letter case",
    headers: { "RATELIMIT-resettime": dateIn(6 * SECOND) },
    waits: [6 * SECOND],
  },
  {
    row: "16",
    says: "accepts the wrong weekday",
    headers: { [RESET]: "Mon, 21 Nov 2026 10:00:05 GMT" },
    waits: [5 * SECOND],
  },
  {
    row: "17",
    says: "does not accept a day of one digit",
    headers: { [RESET]: "Tue, 1 Dec 2026 10:00:00 GMT" },
    waits: [BACKOFF],
    warned: [RESET],
  },
  {
    row: "18, RFC 850",
    says: "does not accept the form",
    headers: { [RESET]: "Saturday, 21-Nov-26 10:00:05 GMT" },
    waits: [BACKOFF],
    warned: [RESET],
  },
  {
    row: "18, asctime",
    says: "does not accept the form",
    headers: { [RESET]: "Sat Nov 21 10:00:05 2026" },
    waits: [BACKOFF],
    warned: [RESET],
  },
  {
    row: "19",
    says: "takes UTC for GMT",
    headers: { [RESET]: "Sat, 21 Nov 2026 10:00:05 UTC" },
    waits: [5 * SECOND],
  },
  {
    row: "20",
    says: "does not accept another zone",
    headers: { [RESET]: "Sat, 21 Nov 2026 10:00:05 EST", [AFTER]: "2" },
    waits: [2 * SECOND],
    warned: [RESET],
  },
  {
    row: "21",
    says: "measures by the local clock alone",
    headers: { Date: dateIn(-HOUR), [RESET]: dateIn(5 * SECOND - HOUR), [AFTER]: "2" },
    waits: [2 * SECOND],
  },
  { row: "22", says: "honours Retry-After of a 503", status: 503, headers: { [AFTER]: "1" }, waits: [SECOND] },
  ...[500, 502, 504, 408].map((status) => ({
    row: `23, ${status}`,
    says: "backs off without headers",
    status,
    headers: {},
    waits: [BACKOFF],
  })),
  { row: "24", says: "retries a 520", status: 520, headers: {}, waits: [BACKOFF] },
  {
    row: "32, HTML",
    says: "does not look at the body",
    headers: { "content-type": "text/html", [AFTER]: "2" },
    waits: [2 * SECOND],
  },
  {
    row: "35",
    says: "ignores the other rate limit headers",
    headers: { "RateLimit-Reset": "4102444800", "RateLimit-Remaining": "0", "RateLimit-Limit": "10" },
    waits: [BACKOFF],
  },
  {
    row: "2.2, repeated header",
    says: "takes the first value",
    headers: { [AFTER]: ["3", "60"] },
    waits: [3 * SECOND],
  },
];

const CHUNK = { offset: 0, bytes: bytes("hello world\n") };

describe("waits between attempts", () => {
  it.each(ROWS)("2.4 row $row: $says", async ({ status = 429, headers = {}, waits, warned = [] }) => {
    await using server = await startServer({ status, headers, body: "<html>busy</html>" }, { status: 202 });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.patchTrace(job, CHUNK);

    expect(result).toMatchObject({ outcome: "ok", status: 202, attempts: 2, throttled: true });
    expect(test.time.waits).toEqual(waits);
    expect(test.logger.at("warn").map((line) => line.fields["header"])).toEqual(warned);
    expect(test.logger.at("info")).toHaveLength(1);
    expect(test.logger.at("info")[0]?.fields).toMatchObject({
      context: "coordinator-retry",
      method: "PATCH",
      url: `${server.url}/api/v4/jobs/7/trace`,
      duration: `${(waits[0] ?? 0) / 1000}s`,
    });
  });

  it("takes the same waits through a fetch-shaped function", async () => {
    for (const { status = 429, headers = {}, waits } of ROWS) {
      await using server = await startServer({ status, headers }, { status: 202 });
      const time = createFakeTime();
      const retryingFetch = createRetryingFetch({ now: time.now, sleep: time.sleep, random: () => 0 });

      const { response, attempts, throttled } = await retryingFetch({ url: server.url });

      expect([response.status, attempts, throttled]).toEqual([202, 2, true]);
      expect(time.waits).toEqual(waits);
    }
  });

  it("2.4 row 32, empty: does not look at the body", async () => {
    await using server = await startServer({ status: 429 }, { status: 202 });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "ok", attempts: 2 });
  });

  it("2.4 row 33: starts back-off at its first step when an earlier wait was told", async () => {
    await using server = await startServer(
      { status: 429, headers: { "retry-after": "2" } },
      { status: 429 },
      { status: 429 },
      { status: 202 },
    );
    await using test = createTestClient({ url: server.url, random: () => 1 });

    await test.client.patchTrace(job, CHUNK);

    expect(test.time.waits).toEqual([2000, 100, 200]);
  });

  it("2.4 row 34: ignores rate limit headers of a success", async () => {
    await using server = await startServer({ status: 202, headers: { [RESET]: dateIn(HOUR), [AFTER]: "60" } });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "ok", attempts: 1, throttled: false });
    expect(test.time.waits).toEqual([]);
  });

  it("adds jitter on top of a told wait only", async () => {
    await using server = await startServer(
      { status: 429, headers: { "retry-after": "60" } },
      { status: 429, headers: { "ratelimit-resettime": dateIn(120 * SECOND) } },
      { status: 429 },
      { status: 202 },
    );
    await using test = createTestClient({ url: server.url, retryJitterMs: 4000, random: () => 0.5 });

    await test.client.patchTrace(job, CHUNK);

    expect(test.time.waits).toEqual([62_000, 60_000, 100]);
  });
});

describe("attempts", () => {
  it.each([
    { row: "25", status: 501 },
    { row: "25", status: 505 },
    { row: "25", status: 511 },
    { row: "25", status: 409 },
    { row: "25", status: 423 },
    { row: "25", status: 425 },
  ])("2.4 row $row: returns a $status at once", async ({ status }) => {
    await using server = await startServer({ status });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ status, attempts: 1, throttled: false });
    expect(server.requests).toHaveLength(1);
  });

  it("2.4 row 26: hands the fifth 429 to the caller with its body still readable", async () => {
    await using server = await startServer({ status: 429, body: "slow down" });
    const time = createFakeTime();
    const retryingFetch = createRetryingFetch({ now: time.now, sleep: time.sleep, random: () => 1 });

    const { response, attempts, throttled } = await retryingFetch({ url: server.url });

    expect(server.requests).toHaveLength(5);
    expect([response.status, attempts, throttled]).toEqual([429, 5, true]);
    expect(await response.text()).toBe("slow down");
    expect(time.waits).toEqual([100, 200, 400, 800]);
  });

  it("2.4 row 27: shows the caller only the 201 after two 429s", async () => {
    await using server = await startServer(
      { status: 429 },
      { status: 429 },
      { status: 201, body: { id: 3, token: "glrt-new" } },
    );
    await using test = createTestClient({ url: server.url });

    const result = await test.client.registerRunner({ token: runner.token });

    expect(result).toMatchObject({ status: 201, attempts: 3, throttled: true, runner: { id: 3 } });
    expect(test.logger.lines.filter((line) => line.level === "error" || line.level === "warn")).toEqual([]);
  });

  it("2.4 row 28: stops at a connection reset after a 429", async () => {
    await using server = await startServer({ status: 429 }, resetConnection);
    await using test = createTestClient({ url: server.url });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({
      outcome: "failed",
      status: -1,
      attempts: 2,
      throttled: true,
    });
    expect(server.requests).toHaveLength(2);
  });

  it("2.4 row 28, fetch-shaped: rejects with the number of attempts", async () => {
    await using server = await startServer({ status: 429 }, resetConnection);
    const { sleep: noWait } = createFakeTime();
    const retryingFetch = createRetryingFetch({ sleep: noWait });

    await expect(retryingFetch({ url: server.url })).rejects.toMatchObject({
      name: "TransportError",
      code: "no-answer",
      attempts: 2,
      throttled: true,
    });
  });

  it("2.4 row 30: sends the same bytes, headers and path on each attempt", async () => {
    await using server = await startServer({ status: 503 }, { status: 503 }, { status: 202 });
    await using test = createTestClient({ url: server.url });

    await test.client.patchTrace(job, { offset: 4, bytes: bytes("naïve\n\0") });

    const [first, ...others] = server.requests;
    expect(first?.body.toString()).toBe("naïve\n\0");
    expect(first?.headers["content-range"]).toBe("4-11");
    const same = { method: first?.method, path: first?.path, headers: first?.headers, body: first?.body };
    expect(others.map(({ method, path, headers, body }) => ({ method, path, headers, body }))).toEqual([same, same]);
  });

  it("2.4 row 31: opens a streamed body again for each attempt", async () => {
    await using server = await startServer({ status: 502 }, { status: 201 });
    await using test = createTestClient({ url: server.url });
    let opened = 0;

    await test.client.uploadArtifacts(job, {
      fileName: "artifacts.zip",
      open() {
        opened += 1;
        return new Blob(["PK", "content"]).stream();
      },
    });

    expect(opened).toBe(2);
    expect(server.requests[0]?.body.toString()).toContain("PKcontent");
    expect(server.requests[1]?.body).toEqual(server.requests[0]?.body);
    expect(server.requests[1]?.headers).toEqual(server.requests[0]?.headers);
  });

  it("gives the connection back before the wait, so that the next attempt uses it again", async () => {
    await using server = await startServer({ status: 503, body: "x".repeat(300_000) }, { status: 202 });
    await using test = createTestClient({ url: server.url, sleep: roundOfTheLoop });

    await test.client.patchTrace(job, CHUNK);

    expect(server.requests[1]?.connection).toBe(server.requests[0]?.connection);
  });

  it("drops the connection of a body that is longer than it is worth", async () => {
    await using server = await startServer({ status: 503, body: "x".repeat(20_000_000) }, { status: 202 });
    await using test = createTestClient({ url: server.url, sleep: roundOfTheLoop });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "ok", attempts: 2 });
    expect(server.requests[1]?.connection).not.toBe(server.requests[0]?.connection);
  });

  it("drops the connection of a body that does not end", async () => {
    await using server = await startServer(
      (_request, response) => {
        response.writeHead(503).write("first part");
      },
      { status: 202 },
    );
    await using test = createTestClient({ url: server.url, sleep: roundOfTheLoop });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "ok", attempts: 2 });
    expect(server.requests[1]?.connection).not.toBe(server.requests[0]?.connection);
  });

  it.each([{ maxAttempts: 0 }, { maxAttempts: 1.5 }, { maxAttempts: Number.NaN }, { retryJitterMs: -1 }])(
    "refuses the options %o",
    (options) => {
      expect(() => createRetrier(options)).toThrow(RangeError);
    },
  );
});

describe("aborts", () => {
  it("2.4 row 29, CP A21: rejects with the reason in the middle of a wait and leaves neither timer nor listener", async () => {
    await using server = await startServer({ status: 429, headers: { "retry-after": "60" } });
    const setTimer = vi.spyOn(globalThis, "setTimeout");
    const clearTimer = vi.spyOn(globalThis, "clearTimeout");
    const controller = new AbortController();
    const reason = new Error("stopped");
    const logger = createRecordingLogger();
    // The real sleep: the test is about its timer.
    await using test = createTestClient({
      url: server.url,
      logger,
      sleep(ms, signal) {
        const sleeping = sleep(ms, signal);
        controller.abort(reason);
        return sleeping;
      },
    });

    await expect(test.client.patchTrace(job, CHUNK, { signal: controller.signal })).rejects.toBe(reason);

    const waiting = setTimer.mock.calls.findIndex(([, ms]) => ms === 60_000);
    expect(waiting).toBeGreaterThanOrEqual(0);
    expect(clearTimer).toHaveBeenCalledWith(setTimer.mock.results[waiting]?.value);
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
    expect(server.requests).toHaveLength(1);
  });

  it("makes no request when the signal is aborted already", async () => {
    await using server = await startServer({ status: 202 });
    await using test = createTestClient({ url: server.url });

    await expect(test.client.patchTrace(job, CHUNK, { signal: AbortSignal.abort("no") })).rejects.toBe("no");
    expect(server.requests).toEqual([]);
  });

  it("ends an attempt that is under way and leaves no listener", async () => {
    const controller = new AbortController();
    await using server = await startServer(() => controller.abort("enough"));
    await using test = createTestClient({ url: server.url });

    await expect(test.client.requestJob(runner, { signal: controller.signal })).rejects.toBe("enough");
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
  });

  it("rejects when it is aborted between the headers and the body of an answer", async () => {
    const controller = new AbortController();
    await using server = await startServer((_request, response) => {
      response.writeHead(201, { "content-type": "application/json" }).write('{"id":');
    });
    await using test = createTestClient({ url: server.url, onCall: () => controller.abort("stopped") });

    await expect(test.client.requestJob(runner, { signal: controller.signal })).rejects.toBe("stopped");
    expect(test.logger.lines).toEqual([]);
  });

  it("leaves no listener behind a call that ended by itself", async () => {
    const { signal } = new AbortController();
    await using server = await startServer({ status: 429, headers: { "retry-after": "1" } }, { status: 202 });
    const test = createTestClient({ url: server.url });

    await test.client.patchTrace(job, CHUNK, { signal });
    await test.client.close();

    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});

describe("log lines of a call that gives up", () => {
  it.each([
    { row: "CP A71", maxAttempts: undefined, attempts: 5 },
    { row: "CP A71", maxAttempts: 2, attempts: 2 },
    { row: "CP A71", maxAttempts: 1, attempts: 1 },
  ])(
    "$row: $attempts attempts with maxAttempts $maxAttempts, then one line by the caller",
    async ({ maxAttempts, attempts }) => {
      await using server = await startServer({ status: 503 });
      const limit = maxAttempts === undefined ? {} : { maxAttempts };
      await using test = createTestClient({ url: server.url, ...limit });

      const patched = await test.client.patchTrace(job, CHUNK);
      expect(patched).toMatchObject({ outcome: "failed", status: 503, attempts, throttled: true });
      expect(server.requests).toHaveLength(attempts);
      expect(test.logger.at("info")).toHaveLength(attempts - 1);
      expect(test.logger.lines.filter((line) => line.level !== "info")).toMatchObject([
        {
          level: "error",
          fields: { method: "PATCH", path: "/api/v4/jobs/7/trace", status: "503 Service Unavailable", attempts },
        },
      ]);

      await using polling = createTestClient({ url: server.url, ...limit });
      const polled = await polling.client.requestJob(runner);
      expect(polled).toMatchObject({ job: undefined, healthy: true, status: 503, attempts, throttled: true });
      const closing = polling.logger.lines.filter((line) => line.fields["attempts"] !== undefined);
      expect(closing).toMatchObject([
        {
          level: "warn",
          fields: { method: "POST", path: "/api/v4/jobs/request", status: "503 Service Unavailable", attempts },
        },
      ]);
      expect(polling.logger.at("error")).toEqual([]);
    },
  );

  it("warns of every repeated job request with its id", async () => {
    await using server = await startServer({ status: 502 }, { status: 204 });
    await using test = createTestClient({ url: server.url, requestId: () => "f".repeat(32) });

    await test.client.requestJob(runner);

    expect(test.logger.at("warn")).toMatchObject([
      { message: "Job request repeated", fields: { attempt: 1, status: 502, requestId: "f".repeat(32) } },
    ]);
  });

  it("counts the call once for the observer, with the status that a retry hid", async () => {
    await using server = await startServer({ status: 429 }, { status: 202 });
    const records: unknown[] = [];
    await using test = createTestClient({ url: server.url, onCall: (record) => records.push(record) });

    await test.client.patchTrace(job, CHUNK);

    expect(records).toEqual([
      { method: "PATCH", endpoint: "jobs/{id}/trace", status: 202, attempts: 2, throttled: true, durationMs: 100 },
    ]);
  });
});
