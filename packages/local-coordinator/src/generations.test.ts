import { Agent } from "node:http";
import { crc32, gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";

import type { ReferenceCalls } from "./testing/reference-calls.ts";
import { createReferenceCalls, sendByHttp } from "./testing/reference-calls.ts";
import type { ReferenceGeneration } from "./testing/reference-forms.ts";
import type { RequestRecord } from "./testing/request-record.ts";
import type { TestCoordinator } from "./testing/test-coordinator.ts";
import { startTestCoordinator } from "./testing/test-coordinator.ts";

const cleanups: (() => Promise<unknown> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function setUp(
  generation: ReferenceGeneration,
  token = "",
): Promise<TestCoordinator & { runner: ReferenceCalls }> {
  const test = await startTestCoordinator({ registrationToken: "reg-1", runners: [{ token: "glrt-made" }] });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  cleanups.push(
    () => test.close(),
    () => agent.destroy(),
  );
  return { ...test, runner: createReferenceCalls({ send: sendByHttp(test.url, agent), token, generation }) };
}

/** What the requests of one job look like, without what changes. */
function lines(requests: readonly RequestRecord[]): readonly string[] {
  return requests.map(({ method, path, query, status }) => {
    const text = new URLSearchParams(query).toString();
    return `${method} ${path.replace("/api/v4/", "")}${text === "" ? "" : `?${text}`} ${status}`;
  });
}

async function runJob({ coordinator, runner }: Awaited<ReturnType<typeof setUp>>): Promise<void> {
  const { finished } = coordinator.addJob({
    steps: [{ name: "script", script: ["echo hi"] }],
    artifacts: [{ name: "a", paths: ["out/"], artifact_type: "archive", artifact_format: "zip", expire_in: "1 week" }],
  });
  const { status, job } = await runner.requestJob();
  expect(status).toBe(201);
  if (job === undefined) throw new Error("no job");
  expect((await runner.updateJob(job, { state: "running" })).headers["job-status"]).toBe("running");
  const log = "Running with gitlab-runner\n$ echo hi\nhi\n";
  expect((await runner.patchTrace(job, 0, log.slice(0, 30))).headers["range"]).toBe("0-30");
  const upload = { fileName: "a.zip", content: Buffer.from("zip"), type: "archive", format: "zip", expireIn: "1 week" };
  expect((await runner.uploadArtifacts(job, upload)).status).toBe(201);
  const report = { fileName: ".env.gz", content: gzipSync("A=1\n"), type: "dotenv", format: "gzip" };
  expect((await runner.uploadArtifacts(job, report)).status).toBe(201);
  expect((await runner.downloadArtifacts(job)).body.toString()).toBe("zip");
  expect((await runner.patchTrace(job, 30, log.slice(30))).status).toBe(202);
  const output = { checksum: `crc32:${crc32(log).toString(16).padStart(8, "0")}`, bytesize: log.length };
  const final = await runner.updateJob(job, { state: "success", checksum: output.checksum, output });
  expect([final.status, final.headers["job-status"]]).toEqual([200, "success"]);
  expect(await finished).toMatchObject({ status: "success", finalUpdate: { traceMatches: true }, dotenv: { A: "1" } });
  expect((await runner.requestJob()).status).toBe(204);
}

describe("a runner of version 14, as it calls", () => {
  it("registers by registration token, takes a job to its end and unregisters", async () => {
    const test = await setUp(14);
    const { runner, coordinator, requests } = test;
    const registered = await runner.register("reg-1", { tag_list: "linux,docker" });
    expect([registered.status, registered.headers["content-type"]]).toEqual([201, "application/json"]);
    expect(coordinator.runners[1]).toMatchObject({ tags: ["linux", "docker"], runUntagged: true, paused: false });
    expect((await runner.verify()).status).toBe(200);
    await runJob(test);
    expect((await runner.unregister()).status).toBe(204);
    expect((await runner.verify()).status).toBe(403);
    expect(lines(requests)).toEqual([
      "POST runners 201",
      "POST runners/verify 200",
      "POST jobs/request 201",
      "PUT jobs/1 200",
      "PATCH jobs/1/trace 202",
      "POST jobs/1/artifacts?artifact_format=zip&artifact_type=archive&expire_in=1+week 201",
      "POST jobs/1/artifacts?artifact_format=gzip&artifact_type=dotenv 201",
      "GET jobs/1/artifacts?direct_download=true 200",
      "PATCH jobs/1/trace 202",
      "PUT jobs/1 200",
      "POST jobs/request 204",
      "DELETE runners 204",
      "POST runners/verify 403",
    ]);
    const [registration, verification, request, update] = requests;
    expect(registration?.json).toMatchObject({ active: true, locked: true, token: "[redacted]" });
    expect(registration?.json).not.toHaveProperty("paused");
    expect(verification?.json).toEqual({ token: "[redacted]" });
    expect(request?.json).not.toHaveProperty("system_id");
    expect(request?.json).toMatchObject({ info: { features: { cancelable: true, image: false, services: false } } });
    expect(request?.json).not.toHaveProperty("info.features.cancel_gracefully");
    for (const record of requests) {
      expect(record.headers["user-agent"]).toMatch(/^gitlab-runner 14\./);
      expect(record.headers).not.toHaveProperty("x-request-id");
      expect(record.headers).not.toHaveProperty("runner-token");
    }
    // Its token stands in the body alone.
    expect(update?.headers).not.toHaveProperty("job-token");
  });

  it("may register as inactive, and is then given nothing", async () => {
    const { runner, coordinator } = await setUp(14);
    await runner.register("reg-1", { active: false });
    coordinator.addJob({});
    expect((await runner.requestJob()).status).toBe(204);
  });

  it("cannot wind down a job, which is over at once when it is cancelled", async () => {
    const { runner, coordinator } = await setUp(14, "glrt-made");
    const { id } = coordinator.addJob({});
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    expect(coordinator.job(id)?.status).toBe("running");
    coordinator.cancelJob(id);
    const answer = await runner.patchTrace(job, 0, "more");
    expect([answer.status, answer.headers["job-status"]]).toEqual([403, "canceled"]);
  });
});

describe("a runner of version 16, as it calls", () => {
  it("adopts an authentication token, takes a job to its end and gives up its machine", async () => {
    const test = await setUp(16, "glrt-made");
    const { runner, coordinator, requests } = test;
    const verified = await runner.verify();
    expect(JSON.parse(verified.body.toString())).toMatchObject({ id: 1, token: "glrt-made" });
    expect(coordinator.runners[0]?.systemIds).toEqual(["s_0a1b2c3d4e5f"]);
    await runJob(test);
    expect((await runner.unregisterManager()).status).toBe(204);
    expect(coordinator.runners[0]?.systemIds).toEqual([]);
    expect(lines(requests).slice(0, 5)).toEqual([
      "POST runners/verify 200",
      "POST jobs/request 201",
      "PUT jobs/1 200",
      "PATCH jobs/1/trace?debug_trace=false 202",
      "POST jobs/1/artifacts?artifact_format=zip&artifact_type=archive&expire_in=1+week 201",
    ]);
    expect(requests[0]?.json).toEqual({ token: "[redacted]", system_id: "s_0a1b2c3d4e5f" });
    expect(requests[1]?.json).toMatchObject({
      info: { features: { cancel_gracefully: true, fallback_cache_keys: true } },
    });
    expect(requests[1]?.json).not.toHaveProperty("info.features.two_phase_job_commit");
    expect(lines(requests).at(-1)).toBe("DELETE runners/managers 204");
  });

  it("still registers by registration token", async () => {
    const test = await setUp(16);
    expect((await test.runner.register("wrong")).status).toBe(403);
    expect((await test.runner.register("reg-1", { run_untagged: false, tag_list: "x", paused: true })).status).toBe(
      201,
    );
    expect(test.coordinator.runners[1]).toMatchObject({ tags: ["x"], runUntagged: false, paused: true });
    expect((await test.runner.unregister()).status).toBe(204);
  });

  it("runs a job from the moment that it is handed out", async () => {
    const { runner, coordinator } = await setUp(16, "glrt-made");
    const { id } = coordinator.addJob({});
    await runner.requestJob();
    expect(coordinator.job(id)?.status).toBe("running");
  });
});

describe("a runner of version 19, as it calls", () => {
  it("CP A62: register, run a job, unregister, all calls in order (as the reference runner calls, with its job's artifacts)", async () => {
    const test = await setUp(19, "glrt-made");
    const { runner, requests } = test;
    expect((await runner.verify()).status).toBe(200);
    await runJob(test);
    expect((await runner.unregisterManager()).status).toBe(204);
    for (const { headers, kind } of requests) {
      expect(headers["x-request-id"]).toMatch(/^[0-9a-f]{32}$/);
      const asJob = ["update-job", "patch-trace", "upload-artifacts", "download-artifacts"].includes(kind);
      expect(headers).toHaveProperty(asJob ? "job-token" : "runner-token", "[redacted]");
    }
    expect(requests[0]?.json).toMatchObject({ info: { executor: "shell", features: { two_phase_job_commit: true } } });
  });

  it("confirms a job before it runs", async () => {
    const { runner, coordinator } = await setUp(19, "glrt-made");
    const { id } = coordinator.addJob({});
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    expect(coordinator.job(id)?.status).toBe("pending");
    await runner.updateJob(job, { state: "running" });
    expect(coordinator.job(id)?.status).toBe("running");
  });
});
