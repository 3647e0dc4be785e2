import { createHash } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Agent, request as httpRequest } from "node:http";
import { afterEach, describe, expect, it } from "vitest";

import type { Fault } from "./fault.ts";
import { describeFault } from "./fault.ts";
import { createFaultSwitches } from "./faults.ts";
import { hostileFaults } from "./hostile-faults.ts";
import type { ReferenceCalls } from "./reference-calls.ts";
import { createReferenceCalls, sendByHttp, sendToHandler } from "./reference-calls.ts";
import type { JobAccess } from "./reference-calls.ts";
import type { RequestRecord } from "./request-record.ts";
import type { TestCoordinator, TestCoordinatorOptions } from "./test-coordinator.ts";
import { createTestCoordinator, startTestCoordinator } from "./test-coordinator.ts";

const token = "glrt-test";
const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function inProcess(options: TestCoordinatorOptions = {}): Promise<TestCoordinator & { runner: ReferenceCalls }> {
  const test = await createTestCoordinator({ runners: [{ token }], ...options });
  cleanups.push(() => test.close());
  return { ...test, runner: createReferenceCalls({ send: sendToHandler(test.handle), token }) };
}

async function overHttp(): Promise<TestCoordinator & { runner: ReferenceCalls }> {
  const test = await startTestCoordinator({ runners: [{ token }] });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  cleanups.push(
    () => test.close(),
    () => agent.destroy(),
  );
  return { ...test, runner: createReferenceCalls({ send: sendByHttp(test.url, agent), token }) };
}

describe("fault switches", () => {
  it("answers the chosen requests of a kind with the chosen status and headers", async () => {
    const { runner, faults } = await inProcess();
    const remove = faults.add({
      kinds: ["verify"],
      nth: [2, 3],
      fault: { do: "answer", status: 429, headers: { "Retry-After": "7" }, body: "slow down" },
    });
    const answers = [await runner.verify(), await runner.requestJob(), await runner.verify(), await runner.verify()];
    expect(answers.map(({ status }) => status)).toEqual([200, 204, 429, 429]);
    expect(answers[2]).toMatchObject({ headers: { "retry-after": "7" }, body: Buffer.from("slow down") });
    expect((await runner.verify()).status).toBe(200);
    remove();
    faults.add({ fault: { do: "answer", status: 503 } });
    expect((await runner.verify()).status).toBe(503);
    faults.clear();
    expect((await runner.verify()).status).toBe(200);
  });

  it.each([
    { at: "before", jobs: ["pending"] },
    { at: "after", jobs: ["running"] },
  ] as const)("drops the connection $at processing", async ({ at, jobs }) => {
    const { coordinator, runner, faults } = await overHttp();
    coordinator.addJob({});
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    const remove = faults.add({ fault: { do: "drop", at } });
    await expect(runner.updateJob(job, { state: "running" })).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(coordinator.jobs.map(({ status }) => status)).toEqual(jobs);
    remove();
    expect((await runner.updateJob(job, { state: "running" })).status).toBe(200);
  });

  it("answers for the coordinator in the middle of an upload and keeps the connection usable", async () => {
    const { coordinator, runner, faults, requests } = await overHttp();
    coordinator.addJob({});
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    await runner.updateJob(job, { state: "running" });
    faults.add({ kinds: ["upload-artifacts"], nth: [1], fault: { do: "answer", status: 503 } });
    const upload = { fileName: "a.zip", content: Buffer.alloc(4 * 1024 * 1024, 1) };
    expect((await runner.uploadArtifacts(job, upload)).status).toBe(503);
    expect((await runner.uploadArtifacts(job, upload)).status).toBe(201);
    expect(new Set(requests.map(({ connectionId }) => connectionId)).size).toBe(1);
  });

  it("shows a dropped connection as a failed fetch in this process", async () => {
    const { fetch, faults } = await inProcess();
    faults.add({ fault: { do: "drop", at: "before" } });
    await expect(fetch("http://localhost/api/v4/jobs/request", { method: "POST", body: "{}" })).rejects.toThrow(
      TypeError,
    );
  });

  it("loses an answer that was worked for", async () => {
    const { coordinator, runner, faults } = await inProcess();
    const { finished } = coordinator.addJob({});
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    await runner.updateJob(job, { state: "running" });
    faults.add({ kinds: ["update-job"], nth: [1], fault: { do: "answer", status: 502, process: true } });
    expect((await runner.updateJob(job, { state: "success" })).status).toBe(502);
    expect((await finished).status).toBe("success");
    const again = await runner.updateJob(job, { state: "success" });
    expect([again.status, again.headers["job-status"]]).toEqual([403, "success"]);
  });

  it("delays, holds, changes headers and calls what a test wants", async () => {
    const slept: number[] = [];
    const { runner, faults, requests } = await inProcess({
      sleep: (milliseconds) => {
        slept.push(milliseconds);
        return Promise.resolve();
      },
    });
    const gate = Promise.withResolvers<void>();
    const seen: string[] = [];
    const plan: Fault[] = [
      { do: "delay", milliseconds: 1500 },
      { do: "headers", headers: { "X-GitLab-Last-Update": "made-up" } },
      { do: "call", at: "before", call: (request) => void seen.push(`before ${request.status}`) },
      { do: "call", at: "after", call: (request) => void seen.push(`after ${request.kind}`) },
      { do: "hold", until: gate.promise },
    ];
    for (const [index, fault] of plan.entries()) faults.add({ nth: [index + 1], fault });
    expect((await runner.verify()).status).toBe(200);
    expect(slept).toEqual([1500]);
    expect((await runner.requestJob()).headers["x-gitlab-last-update"]).toBe("made-up");
    await runner.verify();
    await runner.verify();
    expect(seen).toEqual(["before undefined", "after verify"]);
    const held = runner.verify();
    gate.resolve();
    expect((await held).status).toBe(200);
    expect(requests.map(({ fault }) => fault)).toEqual(["delay", "headers", "call", "call", "hold"]);
  });

  it("cancels a job by force at a chosen moment", async () => {
    const { coordinator, runner, faults } = await inProcess();
    const { finished } = coordinator.addJob({});
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    faults.add({ kinds: ["update-job"], fault: { do: "cancel", at: "after", force: true } });
    expect((await runner.updateJob(job, { state: "running" })).headers["job-status"]).toBe("running");
    expect((await finished).status).toBe("canceled");
  });

  it("gives faults by chance that are the same for the same seed, in the wanted share", () => {
    const sequence = (seed: number): readonly (Fault | undefined)[] => {
      const { switches, choose } = createFaultSwitches();
      switches.addRandom({ ratio: 0.2, seed, kinds: ["patch-trace"] });
      return Array.from({ length: 2000 }, () => choose({ kind: "patch-trace" } as RequestRecord));
    };
    expect(sequence(1)).toEqual(sequence(1));
    expect(sequence(1)).not.toEqual(sequence(2));
    const hits = sequence(3).filter((fault) => fault !== undefined);
    expect(hits.length).toBeGreaterThan(320);
    expect(hits.length).toBeLessThan(480);
    expect(new Set(hits).size).toBe(5);
    const { switches, choose } = createFaultSwitches();
    switches.addRandom({ ratio: 1, seed: 1, kinds: ["patch-trace"] });
    expect(choose({ kind: "verify" } as RequestRecord)).toBeUndefined();
    expect(choose({ kind: "patch-trace" } as RequestRecord)).toBeDefined();
  });
});

describe("faults of a coordinator in trouble", () => {
  async function withRunningJob(): Promise<
    TestCoordinator & { runner: ReferenceCalls; job: JobAccess; beginUpdate: () => Promise<IncomingMessage> }
  > {
    const test = await overHttp();
    test.coordinator.addJob({});
    const { job } = await test.runner.requestJob();
    if (job === undefined) throw new Error("no job");
    await test.runner.updateJob(job, { state: "running" });
    const beginUpdate = async (): Promise<IncomingMessage> => {
      const headers = { "Content-Type": "application/json" };
      const outgoing = httpRequest(`${test.url}/api/v4/jobs/${job.id}`, { method: "PUT", headers });
      cleanups.push(() => void outgoing.destroy());
      outgoing.on("error", () => undefined);
      outgoing.end(JSON.stringify({ token: job.token, state: "running" }));
      const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
      incoming.on("error", () => undefined);
      return incoming;
    };
    return { ...test, runner: test.runner, job, beginUpdate };
  }

  it("begins a body of which nothing more comes, until the client goes away", async () => {
    const { faults, beginUpdate, nextRequest } = await withRunningJob();
    faults.add({ fault: { do: "answer", status: 503, body: "one moment", bodyEnd: "stalled" } });
    const answered = nextRequest(() => true);
    const incoming = await beginUpdate();
    expect(incoming.statusCode).toBe(503);
    const [piece] = (await once(incoming, "data")) as [Buffer];
    expect(piece.toString()).toBe("one moment");
    expect((await answered).fault).toBe("answer 503 stalled");
    expect(incoming.complete).toBe(false);
  });

  it("sends a body without end", async () => {
    const { faults, beginUpdate } = await withRunningJob();
    faults.add({ fault: { do: "answer", status: 429, bodyEnd: "endless" } });
    const incoming = await beginUpdate();
    let bytes = 0;
    for await (const chunk of incoming as AsyncIterable<Buffer>) if ((bytes += chunk.length) > 20_000_000) break;
    expect(bytes).toBeGreaterThan(20_000_000);
  });

  it("stalls the coordinator's own answer after some bytes, then resets the connection", async () => {
    const { faults, beginUpdate } = await withRunningJob();
    faults.add({ fault: { do: "stall", afterBytes: 2, milliseconds: 20 } });
    const incoming = await beginUpdate();
    expect([incoming.statusCode, incoming.headers["job-status"]]).toEqual([200, "running"]);
    const pieces: Buffer[] = [];
    const read = async (): Promise<void> => {
      for await (const chunk of incoming as AsyncIterable<Buffer>) pieces.push(chunk);
    };
    await expect(read()).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(Buffer.concat(pieces).toString()).toBe("20");
  });

  it("stalls an answer without a body as a whole", async () => {
    const { runner, faults } = await overHttp();
    faults.add({ fault: { do: "stall", milliseconds: 20 } });
    await expect(runner.requestJob()).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  it("computes headers at the time of the answer", async () => {
    const { runner, faults } = await inProcess({ now: () => Date.UTC(2030, 0, 1) });
    faults.add({
      fault: {
        do: "answer",
        status: 429,
        headers: (nowMs) => ({ "RateLimit-ResetTime": new Date(nowMs + 5000).toUTCString() }),
      },
    });
    expect((await runner.verify()).headers["ratelimit-resettime"]).toBe("Tue, 01 Jan 2030 00:00:05 GMT");
  });

  it("loses a share of the stored log, which the next chunk is told", async () => {
    const { runner, job, faults } = await withRunningJob();
    await runner.patchTrace(job, 0, "0123456789");
    faults.add({ kinds: ["patch-trace"], nth: [1], fault: { do: "shorten-trace", keep: 0.5 } });
    const refused = await runner.patchTrace(job, 10, "abc");
    expect([refused.status, refused.headers["range"]]).toEqual([416, "0-5"]);
    expect((await runner.patchTrace(job, 5, "56789abc")).headers["range"]).toBe("0-13");
  });

  it("rejects the whole log once, and never the one of a job that is over", async () => {
    const { coordinator, runner, job, faults } = await withRunningJob();
    await runner.patchTrace(job, 0, "0123456789");
    faults.add({ kinds: ["update-job"], nth: [1, 3], fault: { do: "reject-trace" } });
    faults.add({ kinds: ["patch-trace"], nth: [2], fault: { do: "shorten-trace", keep: 0 } });
    expect((await runner.updateJob(job, { state: "success" })).status).toBe(412);
    expect((await runner.patchTrace(job, 0, "0123456789")).status).toBe(202);
    expect((await runner.updateJob(job, { state: "success" })).status).toBe(200);
    expect((await runner.updateJob(job, { state: "success" })).status).toBe(403);
    expect((await runner.patchTrace(job, 10, "late")).status).toBe(403);
    expect(Buffer.from(await coordinator.readTrace(job.id)).toString()).toBe("0123456789");
  });

  it("come in rows where a fault says so, for one job", () => {
    const { switches, choose } = createFaultSwitches();
    const fault: Fault = { do: "answer", status: 202 };
    switches.addRandom({ ratio: 0.05, seed: 5, faults: [{ fault, maxInRow: 4 }] });
    const hits = Array.from({ length: 4000 }, () => choose({ kind: "update-job", id: 1 } as RequestRecord) === fault);
    const rows = hits
      .map((hit) => (hit ? "x" : " "))
      .join("")
      .split(/ +/)
      .filter((row) => row !== "")
      .map(({ length }) => length);
    expect(Math.max(...rows)).toBeGreaterThanOrEqual(4);
    expect(new Set(rows).size).toBeGreaterThanOrEqual(4);
  });

  it("are all chosen, each only for the requests that it suits", () => {
    const { switches, choose } = createFaultSwitches();
    switches.addRandom({ ratio: 1, seed: 11, faults: hostileFaults });
    const chosenFor = (request: Partial<RequestRecord>): ReadonlySet<string | undefined> =>
      new Set(
        Array.from({ length: 1000 }, (_, id) => {
          const fault = choose({ id, json: undefined, ...request } as RequestRecord);
          return fault === undefined ? undefined : describeFault(fault);
        }),
      );
    const anywhere = [
      "drop before",
      "drop after",
      "stall",
      "answer 503 stalled",
      ...[408, 429, 500, 502, 503, 504, 520].map((status) => `answer ${status}`),
    ];
    expect(chosenFor({ kind: "request-job" })).toEqual(new Set(anywhere));
    expect(chosenFor({ kind: "patch-trace" })).toEqual(new Set([...anywhere, "shorten-trace"]));
    expect(chosenFor({ kind: "update-job", json: { state: "running" } })).toEqual(new Set(anywhere));
    expect(chosenFor({ kind: "update-job", json: { state: "failed" } })).toEqual(
      new Set([...anywhere, "reject-trace", "answer 202"]),
    );
  });
});

describe("request records", () => {
  it("are forgotten beyond the wanted number, and their numbers go on", async () => {
    const { runner, requests } = await inProcess({ maxRequests: 2 });
    for (let round = 0; round < 5; round += 1) await runner.verify();
    expect(requests.map(({ number }) => number)).toEqual([4, 5]);
  });

  it("say everything but tokens", async () => {
    const { coordinator, runner, requests } = await overHttp();
    coordinator.addJob({});
    await runner.verify();
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    await runner.updateJob(job, { state: "running" });
    await runner.patchTrace(job, 0, "hello", true);
    const [verify, , update, patch] = requests;
    expect(verify).toMatchObject({ number: 1, kind: "verify", method: "POST", status: 200, fault: undefined });
    expect(verify?.headers).toMatchObject({ "runner-token": "[redacted]", "content-type": "application/json" });
    expect(verify?.json).toMatchObject({ token: "[redacted]", system_id: "s_0a1b2c3d4e5f" });
    expect(update).toMatchObject({ kind: "update-job", id: job.id, json: { state: "running", output: {} } });
    expect(patch).toMatchObject({
      kind: "patch-trace",
      path: `/api/v4/jobs/${job.id}/trace`,
      query: { debug_trace: "true" },
      headers: { "content-range": "0-4", "job-token": "[redacted]" },
      bodyBytes: 5,
      bodySha256: createHash("sha256").update("hello").digest("hex"),
      json: undefined,
    });
    expect(JSON.stringify(requests)).not.toContain(job.token);
    expect(JSON.stringify(requests)).not.toContain(token);
  });

  it("tell connections apart", async () => {
    const { runner, requests, url } = await overHttp();
    const agent = new Agent({ keepAlive: false });
    const other = createReferenceCalls({ send: sendByHttp(url, agent), token });
    await runner.verify();
    await runner.verify();
    await other.verify();
    await other.verify();
    const ids = requests.map(({ connectionId }) => connectionId);
    expect(ids[0]).toBe(ids[1]);
    expect(new Set(ids).size).toBe(3);
  });
});
