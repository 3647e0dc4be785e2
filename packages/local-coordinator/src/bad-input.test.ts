import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { Agent } from "node:http";
import type { Socket } from "node:net";
import { connect } from "node:net";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, it } from "vitest";

import type { JobAccess, ReferenceCalls } from "./testing/reference-calls.ts";
import { createReferenceCalls, sendByHttp } from "./testing/reference-calls.ts";
import type { TestCoordinator, TestCoordinatorOptions } from "./testing/test-coordinator.ts";
import { startTestCoordinator } from "./testing/test-coordinator.ts";

const token = "glrt-test";
const cleanups: (() => Promise<unknown> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

interface Setup extends TestCoordinator {
  readonly runner: ReferenceCalls;
  readonly job: JobAccess;
  /** Errors that the coordinator logged. */
  readonly errors: readonly string[];
}

async function withRunningJob(options: TestCoordinatorOptions = {}): Promise<Setup> {
  const errors: string[] = [];
  const ignore = (): void => undefined;
  const test = await startTestCoordinator({
    runners: [{ token }],
    registrationToken: "reg",
    logger: {
      debug: ignore,
      info: ignore,
      warn: ignore,
      error: (message, fields) => errors.push(`${message} ${JSON.stringify(fields)}`),
    },
    ...options,
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  cleanups.push(
    () => test.close(),
    () => agent.destroy(),
  );
  const runner = createReferenceCalls({ send: sendByHttp(test.url, agent), token });
  test.coordinator.addJob({});
  const { job } = await runner.requestJob();
  if (job === undefined) throw new Error("no job");
  await runner.updateJob(job, { state: "running" });
  return { ...test, runner, job, errors };
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** The job runs on as if nothing had happened. */
async function expectUnharmed({ runner, job, coordinator, errors }: Setup): Promise<void> {
  const { bytes } = coordinator.job(job.id)?.trace ?? { bytes: 0 };
  expect((await runner.patchTrace(job, bytes, "still here\n")).status).toBe(202);
  expect((await runner.updateJob(job, { state: "running" })).headers["job-status"]).toBe("running");
  expect(errors).toEqual([]);
}

function open(test: TestCoordinator): Socket {
  const socket = connect(Number(new URL(test.url).port), "127.0.0.1");
  socket.on("error", () => undefined);
  cleanups.push(() => void socket.destroy());
  return socket;
}

/** Sends what it is given as it is; resolves with the status of the answer once the connection is closed. */
async function raw(test: TestCoordinator, text: string): Promise<number | undefined> {
  const socket = open(test);
  const pieces: Buffer[] = [];
  socket.on("data", (piece: Buffer) => pieces.push(piece));
  socket.write(text);
  socket.end();
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  socket.on("close", () => resolve());
  await closed;
  const status = /^HTTP\/1\.1 (\d+)/.exec(Buffer.concat(pieces).toString("latin1"))?.[1];
  return status === undefined ? undefined : Number(status);
}

describe("bodies that make no sense", () => {
  const values = [
    "null",
    "[]",
    "[1]",
    '"text"',
    "7",
    "true",
    '{"token":7}',
    '{"token":{"a":[]}}',
    '{"token":null,"info":[]}',
  ];
  const calls = [
    ["POST", "runners"],
    ["POST", "runners/verify"],
    ["DELETE", "runners"],
    ["DELETE", "runners/managers"],
    ["POST", "runners/reset_authentication_token"],
    ["POST", "runners/1/reset_authentication_token"],
    ["POST", "jobs/request"],
    ["PUT", "jobs/1"],
  ] as const;

  it.each(calls)("are refused by %s %s, each with its status", async (method, path) => {
    const setup = await withRunningJob();
    const statusOf = async (body: string | Buffer): Promise<number> =>
      (
        await fetch(`${setup.url}/api/v4/${path}`, {
          method,
          body: new Uint8Array(Buffer.from(body)),
          headers: { "Content-Type": "application/json" },
        })
      ).status;
    for (const value of values) expect([path, value, await statusOf(value)]).toEqual([path, value, 403]);
    for (const text of ["{", '{"token":"', "not json", "{'a':1}", "\u0000", Buffer.from([0xff, 0xfe, 0x00])]) {
      expect([400, 403]).toContain(await statusOf(text));
    }
    await expectUnharmed(setup);
  });

  it("of the wrong types are taken for what they are", async () => {
    const setup = await withRunningJob();
    const { url, job, coordinator } = setup;
    const send = async (method: string, path: string, body: unknown): Promise<number> =>
      (await fetch(`${url}/api/v4/${path}`, { method, body: JSON.stringify(body) })).status;
    const odd = { info: 5, system_id: ["s"], last_update: {}, session: 1 };
    expect(await send("POST", "jobs/request", { token, ...odd })).toBe(204);
    expect(await send("POST", "jobs/request", { token, info: { features: [true] } })).toBe(204);
    expect(await send("POST", "runners/verify", { token, system_id: "s_".padEnd(5000, "x") })).toBe(200);
    expect(await send("DELETE", "runners/managers", { token, system_id: 5 })).toBe(400);
    const nonsense = {
      token: "reg",
      tag_list: 7,
      description: {},
      run_untagged: "no",
      paused: 1,
      maximum_timeout: "x",
    };
    expect(await send("POST", "runners", nonsense)).toBe(201);
    expect(coordinator.runners.map(({ tags, runUntagged, systemIds }) => [tags, runUntagged, systemIds])).toEqual([
      [[], true, ["s_0a1b2c3d4e5f"]],
      [[], true, []],
    ]);
    for (const state of [undefined, null, 7, {}, ["success"], "canceled", "toString"]) {
      expect(await send("PUT", `jobs/${job.id}`, { token: job.token, state })).toBe(400);
    }
    await expectUnharmed(setup);
    const output = { checksum: 5, bytesize: "12" };
    const ending = { token: job.token, state: "failed", failure_reason: {}, exit_code: "2", output };
    expect(await send("PUT", `jobs/${job.id}`, ending)).toBe(200);
    expect(coordinator.job(job.id)).toMatchObject({
      status: "failed",
      failureReason: "script_failure",
      exitCode: undefined,
      finalUpdate: { checksum: undefined, bytes: undefined, traceMatches: undefined },
    });
  });

  it("that break off change nothing", async () => {
    const setup = await withRunningJob();
    const { job, coordinator, nextRequest } = setup;
    const headers = `Host: h\r\nJOB-TOKEN: ${job.token}\r\nContent-Length: 1000\r\n`;
    for (const head of [
      `PUT /api/v4/jobs/${job.id} HTTP/1.1\r\n${headers}Content-Type: application/json\r\n`,
      `PATCH /api/v4/jobs/${job.id}/trace HTTP/1.1\r\n${headers}Content-Range: 0-999\r\nContent-Type: text/plain\r\n`,
      `POST /api/v4/jobs/${job.id}/artifacts HTTP/1.1\r\n${headers}Content-Type: multipart/form-data; boundary=b\r\n`,
    ]) {
      const over = nextRequest(() => true);
      const socket = open(setup);
      socket.write(`${head}\r\n{"state":"success"`, () => socket.resetAndDestroy());
      expect((await over).status).toBeUndefined();
    }
    expect(coordinator.job(job.id)).toMatchObject({ status: "running", trace: { bytes: 0 }, artifacts: [] });
    await expectUnharmed(setup);
  });

  it.each([
    ["POST", "jobs/request", "application/json", 413],
    ["POST", "runners", "application/json", 413],
    ["PUT", "jobs/1", "application/json", 413],
    ["PATCH", "jobs/1/trace", "text/plain", 413],
    ["POST", "jobs/1/artifacts", "multipart/form-data; boundary=b", 400],
    ["POST", "no/such/call", "text/plain", 404],
  ])("of 100 MB are refused by %s %s without being held in memory", async (method, path, contentType, status) => {
    const setup = await withRunningJob();
    const piece = Buffer.alloc(1024 * 1024, "[");
    const held = (): number => {
      collectGarbage();
      return process.memoryUsage().arrayBuffers;
    };
    const socket = open(setup);
    const { promise: answered, resolve } = Promise.withResolvers<string>();
    socket.once("data", (answer: Buffer) => resolve(answer.toString("latin1")));
    const lines = [
      `${method} /api/v4/${path} HTTP/1.1`,
      "Host: h",
      `Content-Type: ${contentType}`,
      `JOB-TOKEN: ${setup.job.token}`,
      "Content-Range: 0-1",
      `Content-Length: ${100 * piece.length}`,
    ];
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    const before = held();
    let most = 0;
    for (let sent = 0; sent < 100; sent += 1) {
      if (!socket.write(piece)) await once(socket, "drain");
      if (sent % 4 === 0) most = Math.max(most, held() - before);
    }
    expect(await answered).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    // The connection is good for another request.
    const next = once(socket, "data") as Promise<[Buffer]>;
    socket.write("GET /api/v4/x HTTP/1.1\r\nHost: h\r\n\r\n");
    expect((await next)[0].toString("latin1")).toMatch(/^HTTP\/1.1 404 /);
    // A piece of a log may be 16 MiB, and is put together from parts once.
    expect(most).toBeLessThan(40 * 1024 * 1024);
    await expectUnharmed(setup);
  });
});

describe("requests that make no sense", () => {
  it("get a status, or the end of the connection, and harm nobody", async () => {
    const setup = await withRunningJob();
    const end = "Host: h\r\nConnection: close\r\n\r\n";
    for (const [text, status] of [
      ["garbage\r\n\r\n", 400],
      [`GET /api/v4/jobs/1 HTTP/1.1\r\nX: ${"y".repeat(64 * 1024)}\r\n${end}`, 431],
      [`GET /${"y".repeat(64 * 1024)} HTTP/1.1\r\n${end}`, 431],
      [`GET http://[ HTTP/1.1\r\n${end}`, 400],
      [`GET http://elsewhere/api/v4/jobs/request HTTP/1.1\r\n${end}`, 404],
      [`OPTIONS * HTTP/1.1\r\n${end}`, 400],
      [`TRACE / HTTP/1.1\r\n${end}`, 400],
      [`GET // HTTP/1.1\r\n${end}`, 404],
      [`GET //[/api/v4/x HTTP/1.1\r\n${end}`, 404],
      [`PUT /api/v4/jobs/99999999999999999999999 HTTP/1.1\r\nContent-Length: 0\r\n${end}`, 403],
      [`PUT /api/v4/jobs/-1 HTTP/1.1\r\nContent-Length: 0\r\n${end}`, 404],
      [`GET /api/v4/jobs/1%2f..%2f2/artifacts HTTP/1.1\r\n${end}`, 404],
      [`GET /api/v4/../../etc/passwd HTTP/1.1\r\n${end}`, 404],
      [`POST /api/v4/jobs/request HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n${end}`, 400],
      [`GET /api/v4/%00%ff%zz HTTP/1.1\r\n${end}`, 404],
    ] as const) {
      const answered = await raw(setup, text);
      // What was not read of a request that is too long may take its answer with it.
      if (status === 431 && answered === undefined) continue;
      expect([text.slice(0, 60), answered]).toEqual([text.slice(0, 60), status]);
    }
    await expectUnharmed(setup);
  });

  it.each([
    ["0", 400],
    ["", 400],
    ["-5-9", 400],
    ["bytes 0-5/6", 400],
    ["x-y", 400],
    ["1e3-5", 400],
    ["99999999999999999999999999-5", 416],
    ["5-0", 416],
    ["0-99999999", 202],
  ])("as a patch with the range %j are answered %i", async (range, status) => {
    const setup = await withRunningJob();
    const answer = await fetch(`${setup.url}/api/v4/jobs/${setup.job.id}/trace`, {
      method: "PATCH",
      body: "hello",
      headers: { "JOB-TOKEN": setup.job.token, "Content-Range": range },
    });
    expect(answer.status).toBe(status);
    await expectUnharmed(setup);
  });
});

describe("uploads that mean harm", () => {
  it.each([
    "../../../../escaped",
    "/etc/escaped",
    "..\\..\\escaped",
    "..",
    ".",
    "",
    "a/b/c\u0000d",
    "n".repeat(9000),
    "%2e%2e%2fescaped",
  ])("named %j stay in their folder", async (fileName) => {
    const setup = await withRunningJob();
    const { runner, job, coordinator } = setup;
    const content = Buffer.from("content");
    expect((await runner.uploadArtifacts(job, { fileName, content })).status).toBe(201);
    const [artifact] = coordinator.job(job.id)?.artifacts ?? [];
    expect(artifact?.fileName).not.toMatch(/[/\\]|^\.*$/);
    const folder = join(artifact?.path ?? "", "..");
    expect(folder).toBe(join(coordinator.job(job.id)?.trace.path ?? "", "../artifacts"));
    expect(await readdir(folder)).toEqual(["archive.zip"]);
    const download = await runner.downloadArtifacts(job);
    expect([download.status, download.body.toString()]).toEqual([200, "content"]);
    await expectUnharmed(setup);
  });

  it.each([
    { type: "../../escaped", status: 400 },
    { type: "archive/../x", status: 400 },
    { type: "__proto__", status: 400 },
    { type: "constructor", status: 400 },
    { format: "../zip", status: 400 },
    { format: "toString", status: 400 },
    { expireIn: "../../never".repeat(100), status: 201 },
  ])("with %j in their address are judged by it", async ({ status, ...more }) => {
    const setup = await withRunningJob();
    const upload = { fileName: "a.zip", content: Buffer.from("content"), ...more };
    expect((await setup.runner.uploadArtifacts(setup.job, upload)).status).toBe(status);
    await expectUnharmed(setup);
  });

  it("are answered 405 where artifacts are switched off", async () => {
    const setup = await withRunningJob({ artifactsEnabled: false });
    const upload = { fileName: "a.zip", content: Buffer.from("content") };
    expect((await setup.runner.uploadArtifacts(setup.job, upload)).status).toBe(405);
    await expectUnharmed(setup);
  });
});
