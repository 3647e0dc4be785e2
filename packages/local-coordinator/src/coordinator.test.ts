import { crc32 } from "node:zlib";
import { readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";

import type { CoordinatorEvent } from "./events.ts";
import type { ReferenceCalls } from "./testing/reference-calls.ts";
import { createReferenceCalls, sendToHandler } from "./testing/reference-calls.ts";
import type { TestCoordinator, TestCoordinatorOptions } from "./testing/test-coordinator.ts";
import { createTestCoordinator, truncateStoredTrace } from "./testing/test-coordinator.ts";

const token = "glrt-test";
const open: TestCoordinator[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((test) => test.close()));
});

async function setUp(options: TestCoordinatorOptions = {}): Promise<TestCoordinator & { runner: ReferenceCalls }> {
  const test = await createTestCoordinator({ runners: [{ token }], ...options });
  open.push(test);
  return { ...test, runner: createReferenceCalls({ send: sendToHandler(test.handle), token }) };
}

/** Takes a job and confirms it. */
async function take(runner: ReferenceCalls): Promise<{ readonly id: number; readonly token: string }> {
  const { job } = await runner.requestJob();
  if (job === undefined) throw new Error("no job was handed out");
  expect((await runner.updateJob(job, { state: "running" })).status).toBe(200);
  return job;
}

function checksumOf(text: string): string {
  return `crc32:${crc32(text).toString(16).padStart(8, "0")}`;
}

describe("runners", () => {
  it("registers by registration token, and unregisters as a whole", async () => {
    const { fetch } = await setUp({ registrationToken: "reg-1" });
    const post = (method: string, path: string, body: unknown): Promise<Response> =>
      fetch(`http://localhost/api/v4/${path}`, { method, body: JSON.stringify(body) });
    const wanted = { tag_list: "linux, docker", run_untagged: false, locked: true, paused: false, info: {} };
    const registered = await post("POST", "runners", { ...wanted, token: "reg-1" });
    expect(registered.status).toBe(201);
    expect(registered.headers.get("content-type")).toBe("application/json");
    const runner = (await registered.json()) as { id: number; token: string; token_expires_at: unknown };
    expect(runner).toEqual({ id: 2, token: expect.any(String) as string, token_expires_at: null });
    expect((await post("POST", "runners", { ...wanted, token: "wrong" })).status).toBe(403);
    expect((await post("POST", "runners", { token: "reg-1", run_untagged: false })).status).toBe(400);
    expect((await post("POST", "runners/verify", { token: runner.token })).status).toBe(200);
    expect((await post("DELETE", "runners", { token: runner.token })).status).toBe(204);
    expect((await post("POST", "runners/verify", { token: runner.token })).status).toBe(403);
  });

  it("answers 410 where registration tokens are not used", async () => {
    const { fetch } = await setUp();
    const answer = await fetch("http://localhost/api/v4/runners", { method: "POST", body: '{"token":"any"}' });
    expect(answer.status).toBe(410);
  });

  it("verifies a token and forgets one machine of a runner", async () => {
    const { runner, coordinator } = await setUp();
    const verified = await runner.verify();
    expect(verified.status).toBe(200);
    expect(JSON.parse(verified.body.toString())).toEqual({ id: 1, token, token_expires_at: null });
    expect(coordinator.runners[0]?.systemIds).toEqual(["s_0a1b2c3d4e5f"]);
    expect((await runner.unregisterManager()).status).toBe(204);
    expect((await runner.unregisterManager()).status).toBe(404);
    expect((await runner.verify()).status).toBe(200);
  });

  it("gives a new token for the old one, which is dead at once", async () => {
    const { fetch, coordinator } = await setUp();
    const made = coordinator.createRunner({ tokenLifetimeMs: 3_600_000 });
    const reset = await fetch("http://localhost/api/v4/runners/reset_authentication_token", {
      method: "POST",
      body: JSON.stringify({ token: made.token }),
    });
    expect(reset.status).toBe(201);
    const fresh = (await reset.json()) as { token: string; token_expires_at: string };
    expect(fresh.token).toMatch(/^glrt-/);
    expect(fresh.token_expires_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const verify = (given: string): Promise<Response> =>
      fetch("http://localhost/api/v4/runners/verify", { method: "POST", body: JSON.stringify({ token: given }) });
    expect((await verify(made.token)).status).toBe(403);
    expect((await verify(fresh.token)).status).toBe(200);
  });

  it("has no job router, and nothing at other paths", async () => {
    const { fetch } = await setUp();
    const discover = (given: string): Promise<Response> =>
      fetch("http://localhost/prefix/api/v4/runners/router/discovery", { headers: { "RUNNER-TOKEN": given } });
    expect((await discover(token)).status).toBe(501);
    expect((await discover("wrong")).status).toBe(403);
    expect((await fetch("http://localhost/api/v4/projects")).status).toBe(404);
  });
});

describe("requesting a job", () => {
  it("hands out jobs in order, with the token masked because it stands among the variables", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({ job_info: { name: "one" }, steps: [{ name: "script", script: ["echo hi"] }] });
    coordinator.addJob({ job_info: { name: "two" } });
    const first = await runner.requestJob();
    expect(first.status).toBe(201);
    expect(first.job?.job_info.name).toBe("one");
    expect(first.job?.variables).toContainEqual({
      key: "CI_JOB_TOKEN",
      value: first.job?.token,
      public: false,
      masked: true,
    });
    expect((await runner.requestJob()).job?.job_info.name).toBe("two");
    expect((await runner.requestJob()).status).toBe(204);
  });

  it("answers an unchanged queue without looking into it, and 403 to a token that it does not know", async () => {
    const { runner, handle } = await setUp();
    const empty = await runner.requestJob();
    expect(empty.headers["x-gitlab-last-update"]).toMatch(/^[0-9a-f]+$/);
    expect((await runner.requestJob()).headers["x-gitlab-last-update"]).toBe(empty.headers["x-gitlab-last-update"]);
    const stranger = createReferenceCalls({ send: sendToHandler(handle), token: "glrt-unknown" });
    expect((await stranger.requestJob()).status).toBe(403);
  });

  it("gives tagged jobs to runners that have all tags, and nothing to paused ones", async () => {
    const { coordinator, handle } = await setUp({
      runners: [
        { token: "glrt-plain" },
        { token: "glrt-linux", tags: ["linux", "x"], runUntagged: false },
        { token: "glrt-paused", paused: true },
      ],
    });
    const calls = (as: string): ReferenceCalls => createReferenceCalls({ send: sendToHandler(handle), token: as });
    coordinator.addJob({ tags: ["linux"], job_info: { name: "tagged" } });
    coordinator.addJob({ job_info: { name: "untagged" } });
    expect((await calls("glrt-paused").requestJob()).status).toBe(204);
    expect((await calls("glrt-linux").requestJob()).job?.job_info.name).toBe("tagged");
    expect((await calls("glrt-linux").requestJob()).status).toBe(204);
    expect((await calls("glrt-plain").requestJob()).job?.job_info.name).toBe("untagged");
  });

  it("refuses a body of more than 32 KiB and one that is not JSON", async () => {
    const { fetch } = await setUp();
    const post = (body: string): Promise<Response> =>
      fetch("http://localhost/api/v4/jobs/request", { method: "POST", body });
    expect((await post(JSON.stringify({ token, padding: "x".repeat(32 * 1024) }))).status).toBe(413);
    expect((await post("{")).status).toBe(400);
  });

  it("CP A66: a kept poll is answered 204 without version when a job comes, and the next one gets the job", async () => {
    const { sleep, asleep } = endlessSleep();
    const { coordinator, runner, requests } = await setUp({ longPolling: { holdMs: 5000 }, sleep });
    await runner.requestJob();
    const kept = runner.requestJob();
    expect(await asleep(1)).toBe(5000);
    expect(requests.at(-1)?.status).toBeUndefined();
    coordinator.addJob({ job_info: { name: "late" } });
    const answer = await kept;
    expect(answer.status).toBe(204);
    expect(answer.headers).not.toHaveProperty("x-gitlab-last-update");
    expect((await runner.requestJob()).job?.job_info.name).toBe("late");
  });

  it("answers a kept poll 204 without version when its time is over", async () => {
    const sleeps: number[] = [];
    const { runner } = await setUp({
      longPolling: { holdMs: 5000 },
      sleep: (milliseconds) => {
        sleeps.push(milliseconds);
        return Promise.resolve();
      },
    });
    await runner.requestJob();
    const answer = await runner.requestJob();
    expect(answer.status).toBe(204);
    expect(answer.headers).not.toHaveProperty("x-gitlab-last-update");
    expect(sleeps).toEqual([5000]);
  });

  it("wakes a kept poll with the job itself where the option says so", async () => {
    const { sleep, asleep } = endlessSleep();
    const { coordinator, runner } = await setUp({ longPolling: { holdMs: 60_000, onWake: "assign" }, sleep });
    const kept = [runner.requestJob(), runner.requestJob()];
    await asleep(2);
    coordinator.addJob({ job_info: { name: "only" } });
    const first = await Promise.race(kept);
    expect(first.job?.job_info.name).toBe("only");
    await coordinator.close();
    expect((await Promise.all(kept)).map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 204]);
  });

  it("hands out no further job once it is told so, also not to a poll that is kept open, and running jobs go on", async () => {
    const { sleep, asleep } = endlessSleep();
    const { coordinator, runner } = await setUp({ longPolling: { holdMs: 60_000, onWake: "assign" }, sleep });
    const { finished } = coordinator.addJob({});
    const job = await take(runner);
    const kept = runner.requestJob();
    await asleep(2);
    coordinator.stopHandingOut();
    expect((await kept).status).toBe(204);
    coordinator.addJob({ job_info: { name: "too late" } });
    expect((await runner.requestJob()).status).toBe(204);
    expect((await runner.updateJob(job, { state: "success" })).status).toBe(200);
    expect((await finished).status).toBe("success");
  });

  it("refuses a kept poll whose runner was removed in the meantime", async () => {
    const { sleep, asleep } = endlessSleep();
    const { coordinator, runner, fetch } = await setUp({ longPolling: { holdMs: 60_000, onWake: "assign" }, sleep });
    const kept = runner.requestJob();
    await asleep(1);
    await fetch("http://localhost/api/v4/runners", { method: "DELETE", body: JSON.stringify({ token }) });
    coordinator.addJob({});
    expect((await kept).status).toBe(403);
  });

  it("stops waiting when the request is aborted, and keeps the job for the next one", async () => {
    const { sleep, asleep } = endlessSleep();
    const { coordinator, runner, fetch } = await setUp({ longPolling: { holdMs: 60_000, onWake: "assign" }, sleep });
    const abort = new AbortController();
    const kept = fetch("http://localhost/api/v4/jobs/request", {
      method: "POST",
      body: JSON.stringify({ token }),
      signal: abort.signal,
    });
    await asleep(1);
    const reason = new Error("enough");
    abort.abort(reason);
    await expect(kept).rejects.toBe(reason);
    coordinator.addJob({ job_info: { name: "kept" } });
    expect((await runner.requestJob()).job?.job_info.name).toBe("kept");
  });

  it("CP A67: a job that is never confirmed goes back to the queue under another token", async () => {
    const held = Promise.withResolvers<void>();
    const waits: number[] = [];
    const { coordinator, runner } = await setUp({
      sleep: (milliseconds, signal) => {
        waits.push(milliseconds);
        return waits.length === 1 ? held.promise : rejectOnAbort(signal);
      },
    });
    const { id } = coordinator.addJob({});
    const silent = (await runner.requestJob()).job;
    expect(silent?.id).toBe(id);
    expect(coordinator.job(id)?.status).toBe("pending");
    expect((await runner.requestJob()).status).toBe(204);
    expect(waits).toEqual([120_000]);
    held.resolve();
    await held.promise;
    const again = (await runner.requestJob()).job;
    expect(again?.id).toBe(id);
    expect(again?.token).not.toBe(silent?.token);
    // Who comes too late is told to drop it; who has it now may go on.
    expect((await runner.updateJob(silent ?? { id, token: "" }, { state: "running" })).status).toBe(403);
    expect((await runner.updateJob(again ?? { id, token: "" }, { state: "running" })).status).toBe(200);
    expect(coordinator.job(id)?.status).toBe("running");
  });

  it("keeps an unconfirmed job for a runner that says it still prepares", async () => {
    const { coordinator, runner } = await setUp();
    const { id } = coordinator.addJob({});
    const { job } = await runner.requestJob();
    if (job === undefined) throw new Error("no job");
    expect((await runner.updateJob(job, { state: "pending" })).status).toBe(200);
    expect((await runner.updateJob(job, { state: "success" })).status).toBe(400);
    expect((await runner.patchTrace(job, 0, "early")).status).toBe(403);
    expect(coordinator.job(id)?.status).toBe("pending");
    expect((await runner.updateJob(job, { state: "running" })).status).toBe(200);
    expect((await runner.updateJob(job, { state: "pending" })).status).toBe(409);
    expect(coordinator.job(id)?.status).toBe("running");
  });

  it("runs a job as soon as it is handed out where nothing is to be confirmed", async () => {
    const { coordinator, runner } = await setUp({ twoPhaseCommit: false });
    const { id } = coordinator.addJob({});
    await runner.requestJob();
    expect(coordinator.job(id)?.status).toBe("running");
  });

  it("CP A70: of two polls at the same instant exactly one gets the job", async () => {
    const { coordinator, handle } = await setUp({ runners: [{ token: "glrt-a" }, { token: "glrt-b" }] });
    const runners = ["glrt-a", "glrt-b"].map((as) =>
      createReferenceCalls({ send: sendToHandler(handle), token: as, systemId: `s_${as}` }),
    );
    for (let round = 0; round < 20; round += 1) {
      coordinator.addJob({});
      const answers = await Promise.all(runners.map((runner) => runner.requestJob()));
      expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 204]);
    }
  });

  it("fails a job whose runner has been silent for too long when the next poll comes", async () => {
    let now = 1_000_000;
    const { coordinator, runner } = await setUp({ now: () => now, lostJobTimeoutMs: 60_000 });
    const { id, finished } = coordinator.addJob({});
    const job = await take(runner);
    now += 59_000;
    await runner.updateJob(job, { state: "running" });
    now += 60_000;
    await runner.requestJob();
    expect(coordinator.job(id)?.status).toBe("running");
    now += 1;
    await runner.requestJob();
    expect(await finished).toMatchObject({ status: "failed", failureReason: "stuck_or_timeout_failure" });
  });
});

describe("updates of a job", () => {
  it("CP A64: PATCH and PUT with a wrong job token or an unknown id are refused", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    coordinator.addJob({});
    const job = await take(runner);
    const other = await take(runner);
    for (const access of [
      { ...job, token: "wrong" },
      { ...job, token: other.token },
      { ...job, id: 999 },
    ]) {
      expect((await runner.updateJob(access, { state: "success" })).status).toBe(403);
      expect((await runner.patchTrace(access, 0, "text")).status).toBe(403);
      expect((await runner.uploadArtifacts(access, { fileName: "a.zip", content: Buffer.from("a") })).status).toBe(403);
    }
    expect(coordinator.job(job.id)).toMatchObject({ status: "running", trace: { bytes: 0 } });
  });

  it("CP A65: a PUT after the end is refused with the final status", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    const final = await runner.updateJob(job, { state: "failed", failure_reason: "script_failure", exit_code: 3 });
    expect(final.status).toBe(200);
    expect(final.headers["job-status"]).toBe("failed");
    for (const answer of [
      await runner.updateJob(job, { state: "success" }),
      await runner.patchTrace(job, 0, "late"),
      await runner.uploadArtifacts(job, { fileName: "a.zip", content: Buffer.from("a") }),
    ]) {
      expect(answer.status).toBe(403);
      expect(answer.headers["job-status"]).toBe("failed");
    }
    expect(coordinator.job(job.id)).toMatchObject({ status: "failed", failureReason: "script_failure", exitCode: 3 });
  });

  it("records whether the stored log is what the runner sent", async () => {
    const { coordinator, runner } = await setUp();
    const { finished } = coordinator.addJob({});
    const job = await take(runner);
    await runner.patchTrace(job, 0, "hello world\n");
    const output = { checksum: "crc32:af083b2d", bytesize: 12 };
    await runner.updateJob(job, { state: "success", checksum: output.checksum, output });
    expect((await finished).finalUpdate).toMatchObject({ checksum: output.checksum, bytes: 12, traceMatches: true });

    const second = coordinator.addJob({});
    const other = await take(runner);
    await runner.patchTrace(other, 0, "hello");
    await runner.updateJob(other, { state: "success", checksum: output.checksum, output });
    expect(await second.finished).toMatchObject({ status: "success", finalUpdate: { traceMatches: false } });
  });

  it("counts an empty log, whose size runners do not send, as equal", async () => {
    const { coordinator, runner } = await setUp();
    const { finished } = coordinator.addJob({});
    const job = await take(runner);
    await runner.updateJob(job, { state: "success", output: { checksum: "crc32:00000000" } });
    expect((await finished).finalUpdate).toMatchObject({ bytes: undefined, traceMatches: true });
  });

  it("stores a reason that it does not know as an unknown failure, and refuses a state that it does not know", async () => {
    const { coordinator, runner } = await setUp();
    const { finished } = coordinator.addJob({});
    const job = await take(runner);
    expect((await runner.updateJob(job, { state: "canceled" })).status).toBe(400);
    await runner.updateJob(job, { state: "failed", failure_reason: "bad_weather" });
    expect(await finished).toMatchObject({
      failureReason: "unknown_failure",
      finalUpdate: { failureReason: "bad_weather" },
    });
  });

  it("asks a runner that knows how to stop, and shows the job as canceled whatever the runner says then", async () => {
    const { coordinator, runner } = await setUp();
    const { id, finished } = coordinator.addJob({});
    const job = await take(runner);
    expect(coordinator.cancelJob(id)).toBe(true);
    expect(coordinator.cancelJob(id)).toBe(false);
    const patched = await runner.patchTrace(job, 0, "winding down\n");
    expect(patched.status).toBe(202);
    expect(patched.headers["job-status"]).toBe("canceling");
    const final = await runner.updateJob(job, { state: "failed", failure_reason: "unknown_failure" });
    expect(final.status).toBe(200);
    expect(final.headers["job-status"]).toBe("canceled");
    expect(await finished).toMatchObject({ status: "canceled", trace: { bytes: 13 } });
  });

  it("cancels at once with force, a waiting job, and a job whose runner cannot stop gently", async () => {
    const { coordinator, runner, handle } = await setUp();
    const forced = coordinator.addJob({});
    const job = await take(runner);
    expect(coordinator.cancelJob(forced.id, { force: true })).toBe(true);
    const refused = await runner.updateJob(job, { state: "running" });
    expect([refused.status, refused.headers["job-status"]]).toEqual([403, "canceled"]);

    const held = coordinator.addJob({});
    const { job: unconfirmed = { id: 0, token: "" } } = await runner.requestJob();
    coordinator.cancelJob(held.id);
    const dropped = await runner.updateJob(unconfirmed, { state: "running" });
    expect([dropped.status, dropped.headers["job-status"]]).toEqual([403, "canceled"]);

    const waiting = coordinator.addJob({});
    coordinator.cancelJob(waiting.id);
    expect((await waiting.finished).status).toBe("canceled");
    expect((await runner.requestJob()).status).toBe(204);

    const simple = createReferenceCalls({ send: sendToHandler(handle), token, features: {} });
    const third = coordinator.addJob({});
    await take(simple);
    coordinator.cancelJob(third.id);
    expect((await third.finished).status).toBe("canceled");
  });
});

describe("traces", () => {
  it("CP A63: a PATCH that does not start at the stored size is answered 416 and stores nothing", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    expect((await runner.patchTrace(job, 0, "0123456789")).status).toBe(202);
    for (const start of [0, 5, 11, 4000]) {
      const answer = await runner.patchTrace(job, start, "again");
      expect(answer.status).toBe(416);
      expect(answer.headers["range"]).toBe("0-10");
    }
    expect(Buffer.from(await coordinator.readTrace(job.id)).toString()).toBe("0123456789");
  });

  it("appends, tells the stored size and the interval, and can be read while the job runs", async () => {
    const events: CoordinatorEvent[] = [];
    const { coordinator, runner } = await setUp({ listener: (event) => events.push(event) });
    coordinator.addJob({});
    const job = await take(runner);
    const first = await runner.patchTrace(job, 0, "hello ");
    expect(first.headers).toMatchObject({
      range: "0-6",
      "job-status": "running",
      "x-gitlab-trace-update-interval": "3",
    });
    expect((await runner.patchTrace(job, 6, "naïve\n")).headers["range"]).toBe("0-13");
    expect(Buffer.from(await coordinator.readTrace(job.id)).toString()).toBe("hello naïve\n");
    expect(Buffer.from(await coordinator.readTrace(job.id, { offset: 6, maxBytes: 2 })).toString()).toBe("na");
    expect(await coordinator.readTrace(job.id, { offset: 13 })).toHaveLength(0);
    const trace = coordinator.job(job.id)?.trace;
    expect(trace).toMatchObject({ bytes: 13, checksum: checksumOf("hello naïve\n"), restricted: false });
    expect(await readFile(trace?.path ?? "", "utf8")).toBe("hello naïve\n");
    expect(events.filter(({ kind }) => kind === "trace")).toMatchObject([
      { jobId: job.id, offset: 0 },
      { jobId: job.id, offset: 6 },
    ]);
  });

  it("stores each of many patches that come in at once, or says where to go on", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    const answers = await Promise.all([0, 4, 8, 12].map((start) => runner.patchTrace(job, start, "abcd")));
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202]);
    expect(coordinator.job(job.id)?.trace).toMatchObject({ bytes: 16, checksum: checksumOf("abcd".repeat(4)) });
  });

  it("refuses a patch without Content-Range", async () => {
    const { coordinator, runner, fetch } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    const answer = await fetch(`http://localhost/api/v4/jobs/${job.id}/trace`, {
      method: "PATCH",
      body: "text",
      headers: { "JOB-TOKEN": job.token },
    });
    expect(answer.status).toBe(400);
  });

  it("fails a job whose log is too large, at one byte above the limit", async () => {
    const { coordinator, runner } = await setUp({ maxTraceBytes: 10 });
    const { finished } = coordinator.addJob({});
    const job = await take(runner);
    expect((await runner.patchTrace(job, 0, "0123456789")).status).toBe(202);
    const refused = await runner.patchTrace(job, 10, "x");
    expect([refused.status, refused.headers["job-status"]]).toEqual([403, "failed"]);
    expect(await finished).toMatchObject({ failureReason: "trace_size_exceeded", trace: { bytes: 10 } });
  });

  it("marks a log as restricted when its first patch says so", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    await runner.patchTrace(job, 0, "+ env\n", true);
    expect(coordinator.job(job.id)?.trace.restricted).toBe(true);
  });

  it("never stores the job's own token", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    await runner.patchTrace(job, 0, `token ${job.token} twice ${job.token}\n`);
    const hidden = "x".repeat(job.token.length);
    expect(Buffer.from(await coordinator.readTrace(job.id)).toString()).toBe(`token ${hidden} twice ${hidden}\n`);
  });

  it("goes on honestly after a part of the log was lost", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    await runner.patchTrace(job, 0, "0123456789");
    await truncateStoredTrace(coordinator, job.id, 4);
    const mismatch = await runner.patchTrace(job, 10, "abc");
    expect([mismatch.status, mismatch.headers["range"]]).toEqual([416, "0-4"]);
    await runner.patchTrace(job, 4, "456789abc");
    expect(coordinator.job(job.id)?.trace.checksum).toBe(checksumOf("0123456789abc"));
    expect(Buffer.from(await coordinator.readTrace(job.id)).toString()).toBe("0123456789abc");
  });

  it("still shows the log of a job that is over", async () => {
    const { coordinator, runner } = await setUp();
    const { finished, id } = coordinator.addJob({});
    const job = await take(runner);
    await runner.patchTrace(job, 0, "kept");
    await runner.updateJob(job, { state: "success" });
    await finished;
    expect(Buffer.from(await coordinator.readTrace(id)).toString()).toBe("kept");
    await expect(coordinator.readTrace(99)).rejects.toMatchObject({ code: "unknown-job" });
  });
});

describe("artifacts", () => {
  it("stores an upload and gives it to who has the job's token", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    const content = Buffer.from(`PK${"\r\n--boundary\r\n".repeat(20_000)}`);
    const uploaded = await runner.uploadArtifacts(job, { fileName: "artifacts.zip", content, expireIn: "1 week" });
    expect(uploaded.status).toBe(201);
    await runner.updateJob(job, { state: "success" });
    expect(coordinator.job(job.id)?.artifacts).toMatchObject([
      { type: "archive", format: "zip", fileName: "artifacts.zip", bytes: content.length, expireIn: "1 week" },
    ]);
    const download = await runner.downloadArtifacts(job);
    expect(download.status).toBe(200);
    expect(download.headers["content-length"]).toBe(String(content.length));
    expect(download.body.equals(content)).toBe(true);
    expect((await runner.downloadArtifacts({ ...job, token: "wrong" })).status).toBe(403);
  });

  it("answers 404 where a job has no archive", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    const report = { fileName: "junit.xml.gz", content: gzipSync("<testsuites/>"), type: "junit", format: "gzip" };
    expect((await runner.uploadArtifacts(job, report)).status).toBe(201);
    expect((await runner.downloadArtifacts(job)).status).toBe(404);
  });

  it("accepts the same content once more, and refuses other content of the same type", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    const upload = (text: string): Promise<{ status: number }> =>
      runner.uploadArtifacts(job, { fileName: "a.zip", content: Buffer.from(text) });
    expect((await upload("same")).status).toBe(201);
    expect((await upload("same")).status).toBe(201);
    expect((await upload("other")).status).toBe(400);
    expect((await runner.downloadArtifacts(job)).body.toString()).toBe("same");
  });

  it("keeps one of two different uploads that come in at once", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    const answers = await Promise.all(
      ["one", "two"].map((text) => runner.uploadArtifacts(job, { fileName: "a.zip", content: Buffer.from(text) })),
    );
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 400]);
  });

  it("takes an upload of exactly the limit and refuses one byte more", async () => {
    const { coordinator, runner } = await setUp({ maxArtifactBytes: 5 });
    coordinator.addJob({});
    const job = await take(runner);
    expect((await runner.uploadArtifacts(job, { fileName: "a", content: Buffer.from("123456") })).status).toBe(413);
    expect((await runner.uploadArtifacts(job, { fileName: "a", content: Buffer.from("12345") })).status).toBe(201);
  });

  it.each([
    { what: "an unknown type", type: "poem", format: "zip" },
    { what: "an unknown format", type: "archive", format: "rar" },
  ])("refuses $what", async ({ type, format }) => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    expect((await runner.uploadArtifacts(job, { fileName: "a", content: Buffer.from("a"), type, format })).status).toBe(
      400,
    );
  });

  it("leaves nothing of an upload that breaks off", async () => {
    const { coordinator, runner, handle } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    const broken = createReferenceCalls({
      token,
      send: (request) => sendToHandler(handle)({ ...request, body: request.body.slice(0, 2) }),
    });
    expect((await broken.uploadArtifacts(job, { fileName: "a.zip", content: Buffer.from("half") })).status).toBe(400);
    expect(coordinator.job(job.id)?.artifacts).toEqual([]);
    expect((await runner.uploadArtifacts(job, { fileName: "a.zip", content: Buffer.from("whole") })).status).toBe(201);
  });

  it("reads the variables of a dotenv report, and refuses one that is none", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    const upload = (content: Buffer): Promise<{ status: number }> =>
      runner.uploadArtifacts(job, { fileName: ".env.gz", content, type: "dotenv", format: "gzip" });
    expect((await upload(gzipSync("# comment\n"))).status).toBe(400);
    expect((await upload(Buffer.from("A=1"))).status).toBe(400);
    expect((await upload(gzipSync(`A=${"x".repeat(6000)}`))).status).toBe(400);
    expect((await upload(Buffer.concat([gzipSync("A=1\nB= two words \n"), gzipSync("\nA=3\n")]))).status).toBe(201);
    expect(coordinator.job(job.id)?.dotenv).toEqual({ A: "3", B: "two words" });
  });
});

describe("state directory", () => {
  it("that cannot be written to makes calls fail with 500, and nothing is lost once it can", async () => {
    const { coordinator, runner } = await setUp();
    coordinator.addJob({});
    const job = await take(runner);
    const directory = dirname(coordinator.job(job.id)?.trace.path ?? "");
    await writeFile(directory, "in the way");
    expect((await runner.patchTrace(job, 0, "text")).status).toBe(500);
    expect((await runner.uploadArtifacts(job, { fileName: "a", content: Buffer.from("a") })).status).toBe(500);
    await rm(directory);
    expect((await runner.patchTrace(job, 0, "text")).status).toBe(202);
    expect((await runner.uploadArtifacts(job, { fileName: "a", content: Buffer.from("a") })).status).toBe(201);
  });

  it("takes no more jobs once the coordinator is closed", async () => {
    const { coordinator } = await setUp();
    await coordinator.close();
    expect(() => coordinator.addJob({})).toThrow(expect.objectContaining({ code: "closed" }) as Error);
  });

  it("goes on with the ids and the clearings of the coordinator before", async () => {
    const first = await setUp();
    first.coordinator.addJob({});
    const job = await take(first.runner);
    await first.runner.patchTrace(job, 0, "old log");
    expect(await first.coordinator.clearCaches(7)).toBe(1);
    await first.coordinator.close();
    const { path } = first.coordinator.job(job.id)?.trace ?? { path: "" };
    const stateDirectory = path.replace(/\/jobs\/.*$/, "");
    const second = await setUp({ stateDirectory });
    expect(second.coordinator.addJob({}).id).toBe(job.id + 1);
    expect(await second.coordinator.clearCaches(7)).toBe(2);
    expect(await readFile(path, "utf8")).toBe("old log");
  });
});

/** Time that never passes: what sleeps ends only by its signal. `asleep(n)` waits for the n-th sleeper. */
function endlessSleep(): {
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  readonly asleep: (n: number) => Promise<number>;
} {
  const sleepers: PromiseWithResolvers<number>[] = [];
  const sleeper = (n: number): PromiseWithResolvers<number> => (sleepers[n] ??= Promise.withResolvers<number>());
  let count = 0;
  return {
    sleep: (milliseconds, signal) => {
      sleeper((count += 1)).resolve(milliseconds);
      return rejectOnAbort(signal);
    },
    asleep: (n) => sleeper(n).promise,
  };
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
