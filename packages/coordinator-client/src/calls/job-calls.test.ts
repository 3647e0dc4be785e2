import { describe, expect, it } from "vitest";

import type { JobUpdate } from "../results.ts";
import { createRecordingLogger } from "../test-support/fakes.ts";
import { resetConnection, startServer } from "../test-support/recording-server.ts";
import { bytes, createTestClient, job, JOB_TOKEN } from "../test-support/test-client.ts";
import { readUpdateInterval } from "./job-signals.ts";

const RUNNING: JobUpdate = { state: "running" };
const CHUNK = { offset: 100, bytes: bytes("hello world\n") };

async function sentUpdate(update: JobUpdate): Promise<Record<string, unknown>> {
  await using server = await startServer({ status: 200 });
  await using test = createTestClient({ url: server.url });
  await test.client.updateJob(job, update);
  return JSON.parse(String(server.requests[0]?.body)) as Record<string, unknown>;
}

describe("updateJob", () => {
  it("sends the first running update with an empty output", async () => {
    await using server = await startServer({ status: 200, body: "200" });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.updateJob(job, RUNNING)).toMatchObject({
      outcome: "succeeded",
      status: 200,
      attempts: 1,
      message: "",
      cancelRequested: false,
      updateIntervalMs: undefined,
    });
    expect(server.requests).toMatchObject([
      {
        method: "PUT",
        path: "/api/v4/jobs/7",
        headers: { "job-token": JOB_TOKEN, "content-type": "application/json" },
      },
    ]);
    expect(JSON.parse(String(server.requests[0]?.body))).toEqual({
      info: { name: "gitlab-runner", features: {}, config: { gpus: "" } },
      token: JOB_TOKEN,
      state: "running",
      output: {},
    });
    expect(test.logger.lines).toEqual([]);
  });

  it("sends checksum and size twice, but not a size of zero", async () => {
    const trace = { checksum: "crc32:96d3cd7f", bytes: 7 };
    expect(await sentUpdate({ state: "failed", failureReason: "script_failure", exitCode: 2, trace })).toMatchObject({
      state: "failed",
      failure_reason: "script_failure",
      checksum: "crc32:96d3cd7f",
      output: { checksum: "crc32:96d3cd7f", bytesize: 7 },
      exit_code: 2,
    });
    const empty = await sentUpdate({ state: "success", trace: { checksum: "crc32:00000000", bytes: 0 } });
    expect(empty["output"]).toEqual({ checksum: "crc32:00000000" });
  });

  it("sends the key of an environment that is kept", async () => {
    expect(await sentUpdate({ state: "success", runtimeEnvironmentKey: "env-1" })).toMatchObject({
      runtime_environment_key: "env-1",
    });
  });

  it.each([
    { status: 200, outcome: "succeeded" },
    { status: 409, outcome: "failed" },
    { status: 400, outcome: "failed" },
  ])("extends the hold of a job that is not confirmed yet: $status is $outcome", async ({ status, outcome }) => {
    await using server = await startServer({ status });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.updateJob(job, { state: "pending" })).toMatchObject({ outcome, status, attempts: 1 });
    expect(JSON.parse(String(server.requests[0]?.body))).toMatchObject({ state: "pending", output: {} });
  });

  it.each([
    { row: "CP A46", exitCode: 0, sent: undefined },
    { row: "CP A46", exitCode: 1, sent: 1 },
    { row: "CP A46", exitCode: 4_294_967_295, sent: -1 },
  ])("$row: sends exit code $exitCode as $sent", async ({ exitCode, sent }) => {
    expect((await sentUpdate({ state: "failed", exitCode }))["exit_code"]).toBe(sent);
  });

  it("CP A16: succeeds after two 502s, three attempts of one update", async () => {
    await using server = await startServer({ status: 502 }, { status: 502 }, { status: 200 });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.updateJob(job, RUNNING)).toMatchObject({ outcome: "succeeded", attempts: 3 });
    expect(new Set(server.requests.map((request) => request.headers["x-request-id"])).size).toBe(1);
  });

  it("CP A17: fails at once on 501", async () => {
    await using server = await startServer({ status: 501 });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.updateJob(job, RUNNING)).toMatchObject({ outcome: "failed", attempts: 1 });
    expect(server.requests).toHaveLength(1);
    expect(test.logger.lines).toMatchObject([
      { level: "error", fields: { method: "PUT", path: "/api/v4/jobs/7", status: "501 Not Implemented", attempts: 1 } },
    ]);
  });

  it.each([
    { status: 200, jobStatus: "canceled", outcome: "abort" },
    { status: 200, jobStatus: "failed", outcome: "abort" },
    { status: 500, jobStatus: "failed", outcome: "abort" },
    { status: 202, jobStatus: "failed", outcome: "abort" },
    { status: 403, jobStatus: "running", outcome: "abort" },
    { status: 200, jobStatus: "running", outcome: "succeeded" },
    { status: 202, jobStatus: "", outcome: "accepted" },
    { status: 412, jobStatus: "", outcome: "trace-rejected" },
    { status: 404, jobStatus: "", outcome: "abort" },
    { status: 201, jobStatus: "", outcome: "failed" },
    { status: 400, jobStatus: "", outcome: "failed" },
    { status: 409, jobStatus: "", outcome: "failed" },
    { status: 429, jobStatus: "", outcome: "failed" },
    { status: 500, jobStatus: "success", outcome: "failed" },
  ])("takes $status with job status '$jobStatus' as $outcome", async ({ status, jobStatus, outcome }) => {
    await using server = await startServer({ status, headers: { "job-status": jobStatus } });
    await using test = createTestClient({ url: server.url, maxAttempts: 1 });

    expect(await test.client.updateJob(job, RUNNING)).toMatchObject({ outcome, status, cancelRequested: false });
  });

  it.each([200, 202, 412, 500])("hears of a cancel request alongside a %i", async (status) => {
    await using server = await startServer({ status, headers: { "Job-Status": "canceling" } });
    await using test = createTestClient({ url: server.url, maxAttempts: 1 });

    expect(await test.client.updateJob(job, RUNNING)).toMatchObject({ status, cancelRequested: true });
  });

  it("gives up on an unusable URL and fails on a lost connection", async () => {
    await using nowhere = createTestClient({ url: "not a url" });
    expect(await nowhere.client.updateJob(job, RUNNING)).toMatchObject({ outcome: "abort", status: -100, attempts: 0 });

    await using server = await startServer(resetConnection);
    await using test = createTestClient({ url: server.url });
    expect(await test.client.updateJob(job, RUNNING)).toMatchObject({ outcome: "failed", status: -1, attempts: 1 });
  });
});

describe("patchTrace", () => {
  it("CP A31: names the first and the last byte it sends", async () => {
    await using server = await startServer({ status: 202 });
    await using test = createTestClient({ url: server.url });

    const result = await test.client.patchTrace(job, { offset: 0, bytes: bytes("hello world\n") });

    expect(result).toMatchObject({ outcome: "ok", nextOffset: 12 });
    const [request] = server.requests;
    expect(request).toMatchObject({ method: "PATCH", path: "/api/v4/jobs/7/trace?debug_trace=false" });
    expect(request?.headers).toMatchObject({
      "content-range": "0-11",
      "content-length": "12",
      "content-type": "text/plain",
      "job-token": JOB_TOKEN,
    });
    expect(request?.body.toString()).toBe("hello world\n");
  });

  it("names one byte as a range of its own, and says when the trace is a debug trace", async () => {
    await using server = await startServer({ status: 202 });
    await using test = createTestClient({ url: server.url });

    await test.client.patchTrace(job, { offset: 4, bytes: bytes("x"), debugTrace: true });

    expect(server.requests[0]).toMatchObject({
      path: "/api/v4/jobs/7/trace?debug_trace=true",
      headers: { "content-range": "4-4" },
    });
  });

  it("refuses an empty piece", async () => {
    await using test = createTestClient({ url: "http://127.0.0.1:1" });
    await expect(test.client.patchTrace(job, { offset: 0, bytes: bytes("") })).rejects.toThrow(RangeError);
  });

  it.each([
    { row: "CP A34", says: "continues at the offset that a 416 names", range: "0-40", nextOffset: 40 },
    { row: "CP A35", says: "continues at 0 when a 416 names no range", range: undefined, nextOffset: 0 },
    { row: "CP A35", says: "continues at 0 when the range has three parts", range: "0-40-50", nextOffset: 0 },
    { row: "CP A35", says: "continues at 0 when the range is not a number", range: "0-abc", nextOffset: 0 },
  ])("$row: $says", async ({ range, nextOffset }) => {
    await using server = await startServer({ status: 416, headers: range === undefined ? {} : { range } });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "range-mismatch", nextOffset });
  });

  it("CP A36: keeps the offset when a 404 says that the job is not found", async () => {
    await using server = await startServer({ status: 404 });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "not-found", nextOffset: 100 });
  });

  it("CP A15: makes exactly five attempts in less than 2 s of waits on endless 429s, then fails", async () => {
    await using server = await startServer({ status: 429 });
    await using test = createTestClient({ url: server.url, random: () => 0.999_999 });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "failed", attempts: 5, nextOffset: 100 });
    expect(server.requests).toHaveLength(5);
    expect(test.time.waits.reduce((sum, wait) => sum + wait, 0)).toBeLessThan(2000);
  });

  it("CP A18: is fine after a 599", async () => {
    await using server = await startServer({ status: 599 }, { status: 202 });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "ok", attempts: 2, nextOffset: 112 });
  });

  it("CP A20: backs off when Retry-After is negative, without a warning", async () => {
    await using server = await startServer({ status: 429, headers: { "retry-after": "-5" } }, { status: 202 });
    await using test = createTestClient({ url: server.url });

    await test.client.patchTrace(job, CHUNK);

    expect(test.time.waits).toEqual([100]);
    expect(test.logger.at("warn")).toEqual([]);
  });

  it.each([
    { status: 202, jobStatus: "canceled", outcome: "abort" },
    { status: 416, jobStatus: "failed", outcome: "abort" },
    { status: 403, jobStatus: "", outcome: "abort" },
    { status: 200, jobStatus: "running", outcome: "failed" },
    { status: 400, jobStatus: "", outcome: "failed" },
    { status: 413, jobStatus: "", outcome: "failed" },
  ])("takes $status with job status '$jobStatus' as $outcome", async ({ status, jobStatus, outcome }) => {
    await using server = await startServer({ status, headers: { "job-status": jobStatus } });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome, status, nextOffset: 100 });
    expect(test.logger.lines).toHaveLength(1);
  });

  it("hears of a cancel request and a new interval, also on a failure", async () => {
    const headers = { "Job-Status": "canceling", "X-GitLab-Trace-Update-Interval": "10" };
    await using server = await startServer({ status: 202, headers }, { status: 400, headers });
    await using test = createTestClient({ url: server.url });

    const signals = { cancelRequested: true, updateIntervalMs: 10_000 };
    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "ok", ...signals });
    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "failed", ...signals });
  });
});

describe("readUpdateInterval", () => {
  it.each([
    { row: "CP A38", value: "0", interval: undefined, warnings: 0 },
    { row: "CP A38", value: "-3", interval: undefined, warnings: 0 },
    { row: "CP A38", value: "abc", interval: undefined, warnings: 1 },
    { row: "CP A38", value: "999999", interval: 900_000, warnings: 0 },
    { row: "CP A38", value: "901", interval: 900_000, warnings: 0 },
    { row: "CP A38", value: "60", interval: 60_000, warnings: 0 },
    { row: "CP A38", value: "1.5", interval: undefined, warnings: 1 },
    { row: "CP A38", value: "9".repeat(40), interval: undefined, warnings: 1 },
    { row: "CP A38", value: "", interval: undefined, warnings: 0 },
    { row: "CP A38", value: undefined, interval: undefined, warnings: 0 },
  ])("$row: reads '$value' as $interval with $warnings warnings", ({ value, interval, warnings }) => {
    const logger = createRecordingLogger();
    expect(readUpdateInterval(value, logger)).toBe(interval);
    expect(logger.at("warn")).toHaveLength(warnings);
  });
});
