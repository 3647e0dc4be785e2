import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";

import { startLocalCoordinator } from "./server.ts";
import { plainJob } from "./test-support/plain-job.ts";
import type { ReferenceCalls } from "./testing/reference-calls.ts";
import { createReferenceCalls, sendByHttp } from "./testing/reference-calls.ts";
import type { TestCoordinator, TestCoordinatorOptions } from "./testing/test-coordinator.ts";
import { startTestCoordinator, truncateStoredTrace } from "./testing/test-coordinator.ts";

const token = "glrt-test";
const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function setUp(options: TestCoordinatorOptions = {}): Promise<TestCoordinator & { runner: ReferenceCalls }> {
  const test = await startTestCoordinator({ runners: [{ token }], ...options });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  cleanups.push(
    () => test.close(),
    () => agent.destroy(),
  );
  return { ...test, runner: createReferenceCalls({ send: sendByHttp(test.url, agent), token }) };
}

function checksumOf(text: string): string {
  return `crc32:${crc32(text).toString(16).padStart(8, "0")}`;
}

/** The minimal job of the protocol's description. */
const minimalJob = {
  job_info: { name: "hello", stage: "test" },
  variables: [{ key: "GIT_STRATEGY", value: "none", public: true }],
  steps: [{ name: "script", script: ["echo hi"], timeout: 600, when: "on_success", allow_failure: false }],
};

describe("the end of a coordinator", () => {
  it("breaks what is still open also when its last changes cannot be kept", async () => {
    const stateDirectory = await mkdtemp(join(tmpdir(), "fleetfoot-unkept-"));
    cleanups.push(() => rm(stateDirectory, { recursive: true }));
    // Nobody waits for requests that are being answered.
    const coordinator = await startLocalCoordinator({ stateDirectory, sleep: () => Promise.resolve() });
    const client = connect(coordinator.port, "127.0.0.1");
    client.on("error", () => undefined);
    const broken = once(client, "close");
    client.write(
      "POST /api/v4/jobs/request HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    );
    // The server has taken the request and waits for its body.
    await once(client, "data");
    const notInJson = 1n as unknown as number;
    coordinator.addJob({ job_info: { project_id: notInJson } });
    await expect(coordinator.close()).rejects.toThrow(TypeError);
    await broken;
  });
});

describe("over HTTP, as the reference runner calls", () => {
  it("register, run the minimal job, unregister: all calls in order, job success, log complete (as the reference runner calls)", async () => {
    const { coordinator, runner, requests } = await setUp();
    const { finished } = coordinator.addJob(minimalJob);

    expect((await runner.verify()).status).toBe(200);
    const { status, headers, job } = await runner.requestJob();
    expect([status, headers["content-type"]]).toEqual([201, "application/json"]);
    if (job === undefined) throw new Error("no job");
    expect(job).toMatchObject({
      ...minimalJob,
      variables: expect.arrayContaining(minimalJob.variables) as unknown,
      git_info: { ref: "main", ref_type: "branch" },
      image: null,
      features: { trace_sections: true },
    });
    const running = await runner.updateJob(job, { state: "running" });
    expect([running.status, running.headers["job-status"]]).toEqual([200, "running"]);
    const log = "Running with gitlab-runner\n$ echo hi\nhi\nJob succeeded\n";
    expect((await runner.patchTrace(job, 0, log.slice(0, 30))).headers["range"]).toBe("0-30");
    expect((await runner.patchTrace(job, 30, log.slice(30))).status).toBe(202);
    const output = { checksum: checksumOf(log), bytesize: log.length };
    const final = await runner.updateJob(job, { state: "success", checksum: output.checksum, output });
    expect([final.status, final.headers["job-status"]]).toEqual([200, "success"]);
    expect((await runner.unregisterManager()).status).toBe(204);

    const view = await finished;
    expect(view).toMatchObject({ status: "success", finalUpdate: { traceMatches: true } });
    expect(Buffer.from(await coordinator.readTrace(view.id)).toString()).toContain("hi\n");
    expect(requests.map(({ method, path, status: answered }) => `${method} ${path} ${answered}`)).toEqual([
      "POST /api/v4/runners/verify 200",
      "POST /api/v4/jobs/request 201",
      "PUT /api/v4/jobs/1 200",
      "PATCH /api/v4/jobs/1/trace 202",
      "PATCH /api/v4/jobs/1/trace 202",
      "PUT /api/v4/jobs/1 200",
      "DELETE /api/v4/runners/managers 204",
    ]);
    // One kept-alive connection carries everything.
    expect(new Set(requests.map(({ connectionId }) => connectionId)).size).toBe(1);
  });

  it("a job cancelled mid-script: the runner reports failed, the job is canceled, after_script's output is there (as the reference runner calls)", async () => {
    const { coordinator, runner, faults } = await setUp();
    const { finished } = coordinator.addJob(minimalJob);
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    await runner.updateJob(job, { state: "running" });
    faults.add({ kinds: ["patch-trace"], nth: [2], fault: { do: "cancel", at: "before" } });
    expect((await runner.patchTrace(job, 0, "script\n")).headers["job-status"]).toBe("running");
    expect((await runner.patchTrace(job, 7, "more\n")).headers["job-status"]).toBe("canceling");
    expect((await runner.patchTrace(job, 12, "after_script\n")).status).toBe(202);
    const log = "script\nmore\nafter_script\n";
    const output = { checksum: checksumOf(log), bytesize: log.length };
    const final = await runner.updateJob(job, { state: "failed", failure_reason: "unknown_failure", output });
    expect([final.status, final.headers["job-status"]]).toEqual([200, "canceled"]);
    const view = await finished;
    expect(view).toMatchObject({ status: "canceled", finalUpdate: { state: "failed", traceMatches: true } });
    expect(Buffer.from(await coordinator.readTrace(view.id)).toString()).toContain("after_script\n");
  });

  it("416 after a part of the stored log was lost: the runner sends it again and the log is complete (as the reference runner calls)", async () => {
    const { coordinator, runner, faults } = await setUp();
    const { finished } = coordinator.addJob(minimalJob);
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    await runner.updateJob(job, { state: "running" });
    faults.add({ kinds: ["patch-trace"], nth: [3], fault: { do: "truncate-trace", bytes: 5 } });
    const log = "0123456789abcdefghij";
    const statuses: number[] = [];
    for (let offset = 0; offset < log.length;) {
      const answer = await runner.patchTrace(job, offset, log.slice(offset, offset + 4));
      statuses.push(answer.status);
      expect([202, 416]).toContain(answer.status);
      offset = Number(answer.headers["range"]?.split("-")[1]);
    }
    expect(statuses.filter((status) => status === 416)).toHaveLength(1);
    const output = { checksum: checksumOf(log), bytesize: log.length };
    await runner.updateJob(job, { state: "success", output });
    const view = await finished;
    expect(view.finalUpdate?.traceMatches).toBe(true);
    expect(Buffer.from(await coordinator.readTrace(view.id)).toString()).toBe(log);
  });

  it("streams artifacts up and down over one connection", async () => {
    const { coordinator, runner, requests } = await setUp();
    coordinator.addJob(minimalJob);
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    await runner.updateJob(job, { state: "running" });
    const content = Buffer.alloc(3 * 1024 * 1024, "artifact\r\n--");
    expect((await runner.uploadArtifacts(job, { fileName: "artifacts.zip", content })).status).toBe(201);
    expect((await runner.downloadArtifacts(job)).body.equals(content)).toBe(true);
    expect(new Set(requests.map(({ connectionId }) => connectionId)).size).toBe(1);
  });

  it("answers an upload that is too large and keeps the connection usable", async () => {
    const { coordinator, runner, requests } = await setUp({ maxArtifactBytes: 1024 });
    coordinator.addJob(minimalJob);
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    await runner.updateJob(job, { state: "running" });
    const content = Buffer.alloc(4 * 1024 * 1024, 1);
    expect((await runner.uploadArtifacts(job, { fileName: "artifacts.zip", content })).status).toBe(413);
    expect((await runner.updateJob(job, { state: "success" })).status).toBe(200);
    expect(new Set(requests.map(({ connectionId }) => connectionId)).size).toBe(1);
  });

  it("puts nothing into effect of an upload whose sender disappears", async () => {
    const { coordinator, runner, url, nextRequest } = await setUp();
    coordinator.addJob(minimalJob);
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    await runner.updateJob(job, { state: "running" });
    const ended = nextRequest(({ kind }) => kind === "upload-artifacts");
    const upload = httpRequest(`${url}/api/v4/jobs/${job.id}/artifacts`, {
      method: "POST",
      headers: { "JOB-TOKEN": job.token, "Content-Type": "multipart/form-data; boundary=b" },
    });
    upload.on("error", () => undefined);
    upload.write('--b\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n');
    upload.write(Buffer.alloc(256 * 1024), () => upload.destroy());
    expect((await ended).status).toBeUndefined();
    expect(coordinator.job(job.id)?.artifacts).toEqual([]);
  });

  it("keeps the job of a poll whose sender disappeared for the next one", async () => {
    const { coordinator, runner, url, nextRequest } = await setUp({
      longPolling: { holdMs: 60_000, onWake: "assign" },
    });
    const gone = nextRequest(({ kind }) => kind === "request-job");
    const poll = httpRequest(`${url}/api/v4/jobs/request`, { method: "POST" });
    poll.on("error", () => undefined);
    poll.end(JSON.stringify({ token, system_id: "s_gone00000000" }), () => setImmediate(() => poll.destroy()));
    await gone;
    coordinator.addJob(minimalJob);
    expect((await runner.requestJob()).job?.job_info.name).toBe("hello");
  });
});

describe("the server itself", () => {
  it("says which address it could not listen on", async () => {
    const occupied = createServer().listen(0, "127.0.0.1");
    await once(occupied, "listening");
    cleanups.push(() => void occupied.close());
    const { port } = occupied.address() as AddressInfo;
    await expect(startTestCoordinator({ port })).rejects.toMatchObject({
      code: "listen-failed",
      message: `cannot listen on 127.0.0.1:${port}`,
    });
  });

  it("says that it cannot use a state directory, and leaves no port open", async () => {
    await expect(startLocalCoordinator({ stateDirectory: "/dev/null/state" })).rejects.toMatchObject({
      code: "state-directory",
    });
  });

  it("tells jobs its real address", async () => {
    const { coordinator, runner, url } = await setUp();
    coordinator.startPipeline({
      pipeline: { name: undefined, stages: ["test"], jobs: [plainJob] },
      project: { id: 1, fullPath: "g/p" },
      commit: { sha: "0123456789abcdef0123456789abcdef01234567", ref: "main" },
      repositoryUrl: "/repo",
    });
    const { job } = await runner.requestJob();
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(job?.variables.find(({ key }) => key === "CI_SERVER_URL")?.value).toBe(url);
    expect(job?.variables.find(({ key }) => key === "CI_API_V4_URL")?.value).toBe(`${url}/api/v4`);
  });

  it("answers kept polls when it closes", async () => {
    const kept = Promise.withResolvers<void>();
    const { coordinator, runner } = await setUp({
      longPolling: { holdMs: 60_000, onWake: "assign" },
      sleep: () => {
        kept.resolve();
        return new Promise(() => undefined);
      },
    });
    const poll = runner.requestJob();
    await kept.promise;
    await coordinator.close();
    expect((await poll).status).toBe(204);
  });

  it("cuts the stored log only of jobs that exist", async () => {
    const { coordinator } = await setUp();
    await expect(truncateStoredTrace(coordinator, 12, 0)).rejects.toMatchObject({ code: "unknown-job" });
  });
});
