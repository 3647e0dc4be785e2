import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, gzipSync } from "node:zlib";
import type { Pipeline, PipelineJob } from "@fleetfoot/ci-config";
import type { JobPayload } from "@fleetfoot/coordinator-client";
import { afterEach, describe, expect, it } from "vitest";

import type { LocalCoordinator, LocalCoordinatorOptions } from "./coordinator.ts";
import { openLocalCoordinator } from "./create-coordinator.ts";
import type { CoordinatorEvent } from "./events.ts";
import type { PipelineRun, StartPipelineOptions } from "./pipeline/pipeline-run.ts";
import { startLocalCoordinator } from "./server.ts";
import { plainJob } from "./test-support/plain-job.ts";
import type { JobAccess, ReferenceCalls } from "./testing/reference-calls.ts";
import { createReferenceCalls, sendToHandler } from "./testing/reference-calls.ts";

const token = "glrt-test";
const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-restart-"));
  cleanups.push(() => rm(folder, { recursive: true }));
  return folder;
}

async function open(
  stateDirectory: string,
  options: Partial<LocalCoordinatorOptions> = {},
): Promise<LocalCoordinator & { runner: ReferenceCalls }> {
  const coordinator = await openLocalCoordinator({ stateDirectory, runners: [{ token }], ...options });
  cleanups.push(() => coordinator.close());
  return Object.assign(coordinator, {
    runner: createReferenceCalls({ send: sendToHandler(coordinator.handle), token }),
  });
}

/** What a coordinator finds that starts after this one was killed now. */
async function killed(stateDirectory: string): Promise<string> {
  const copy = join(await newFolder(), "state");
  await cp(stateDirectory, copy, { recursive: true });
  return copy;
}

const CONFIRMATION_MS = 300;

/** A coordinator's time that stands still: a long poll is held until there is a job. */
function stoppedTime(): {
  readonly options: Pick<LocalCoordinatorOptions, "confirmationTimeoutMs" | "longPolling" | "sleep">;
  /** Resolves when a poll has found no job. */
  nextHold(): Promise<void>;
  /** Nobody has confirmed in time. */
  endConfirmations(): void;
} {
  let holding = Promise.withResolvers<void>();
  const confirmations: (() => void)[] = [];
  const sleep = (milliseconds: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error));
      if (milliseconds === CONFIRMATION_MS) confirmations.push(resolve);
      else holding.resolve();
    });
  return {
    options: {
      confirmationTimeoutMs: CONFIRMATION_MS,
      longPolling: { holdMs: 60_000, onWake: "assign" },
      sleep,
    },
    nextHold() {
      holding = Promise.withResolvers();
      return holding.promise;
    },
    endConfirmations() {
      for (const isOver of confirmations.splice(0)) isOver();
    },
  };
}

async function take(runner: ReferenceCalls): Promise<JobPayload> {
  const { job } = await runner.requestJob();
  if (job === undefined) throw new Error("no job was handed out");
  expect((await runner.updateJob(job, { state: "running" })).status).toBe(200);
  return job;
}

function outputOf(log: string): Readonly<Record<string, unknown>> {
  return { checksum: `crc32:${crc32(log).toString(16).padStart(8, "0")}`, bytesize: log.length };
}

describe("a coordinator that is opened where another one was killed", () => {
  it("has the queue, in its order, the running job, its log, its artifacts, and the runner that works on it", async () => {
    const folder = await newFolder();
    const first = await open(folder);
    for (const name of ["one", "two", "three"])
      first.addJob({ job_info: { name }, steps: [{ name: "script", script: [name] }] });
    const job = await take(first.runner);
    await first.runner.patchTrace(job, 0, "hello ");
    await first.runner.uploadArtifacts(job, { fileName: "a.zip", content: Buffer.from("archive") });
    await first.runner.uploadArtifacts(job, {
      fileName: ".env.gz",
      content: gzipSync("KEY=value\n"),
      type: "dotenv",
      format: "gzip",
    });

    const second = await open(await killed(folder));
    expect(second.jobs.map(({ status }) => status)).toEqual(["running", "pending", "pending"]);
    expect(second.job(job.id)).toMatchObject({
      startedAtMs: first.job(job.id)?.startedAtMs,
      runnerId: 1,
      dotenv: { KEY: "value" },
      trace: { bytes: 6 },
    });
    expect((await second.runner.patchTrace(job, 6, "world\n")).headers["range"]).toBe("0-12");
    expect((await second.runner.downloadArtifacts(job)).body.toString()).toBe("archive");
    const ended = second.whenOver(job.id);
    const output = outputOf("hello world\n");
    expect(output["checksum"]).toBe("crc32:af083b2d");
    expect((await second.runner.updateJob(job, { state: "success", output })).status).toBe(200);
    expect((await ended)?.finalUpdate?.traceMatches).toBe(true);
    expect((await take(second.runner)).steps).toMatchObject([{ script: ["two"] }]);
    expect(second.addJob({}).id).toBe(4);
  });

  it("has a job that is over as it ended, with its log", async () => {
    const folder = await newFolder();
    const first = await open(folder);
    first.addJob({});
    const job = await take(first.runner);
    await first.runner.patchTrace(job, 0, "log\n");
    await first.runner.updateJob(job, { state: "failed", failure_reason: "script_failure", exit_code: 3 });
    const view = first.job(job.id);
    const second = await open(await killed(folder));
    const { trace, ...rest } = second.job(job.id) ?? {};
    expect(rest).toEqual({ ...view, trace: undefined, artifacts: [] });
    expect(trace).toMatchObject({ bytes: 4, checksum: view?.trace.checksum });
    expect(Buffer.from(await second.readTrace(job.id)).toString()).toBe("log\n");
    expect(await second.whenOver(job.id)).toMatchObject({ status: "failed", exitCode: 3 });
    expect((await second.runner.updateJob(job, { state: "success" })).headers["job-status"]).toBe("failed");
    expect(second.whenOver(99)).toBeUndefined();
  });

  it("knows the runners, their machines and new tokens, and forgets those that were removed", async () => {
    const folder = await newFolder();
    const first = await open(folder, { registrationToken: "reg" });
    const post = (coordinator: LocalCoordinator, method: string, path: string, body: unknown): Promise<Response> =>
      coordinator.fetch(`http://localhost/api/v4/${path}`, { method, body: JSON.stringify(body) });
    const registered = (await (
      await post(first, "POST", "runners", { token: "reg", tag_list: "linux", run_untagged: false })
    ).json()) as { token: string };
    const removed = first.createRunner();
    await post(first, "DELETE", "runners", { token: removed.token });
    const renewed = (await (await post(first, "POST", "runners/reset_authentication_token", { token })).json()) as {
      token: string;
    };
    const runner = createReferenceCalls({ send: sendToHandler(first.handle), token: renewed.token });
    await runner.verify();

    // The options still name the token that the runner had first.
    const second = await open(await killed(folder), { runners: [{ token, description: "renamed" }] });
    expect(second.runners).toEqual([
      { ...first.runners.find(({ id }) => id === 1), description: "renamed" },
      first.runners.find(({ id }) => id === 2),
    ]);
    expect(second.runners[0]?.systemIds).toEqual(["s_0a1b2c3d4e5f"]);
    for (const [given, status] of [
      [token, 403],
      [renewed.token, 200],
      [registered.token, 200],
      [removed.token, 403],
    ] as const) {
      expect((await post(second, "POST", "runners/verify", { token: given })).status).toBe(status);
    }
    expect(second.createRunner().id).toBe(4);
  });

  it("waits for the confirmation of a job that was handed out, and gives it to the next one without it", async () => {
    const folder = await newFolder();
    const first = await open(folder);
    first.addJob({});
    first.addJob({});
    const [{ job: confirmed }, { job: lost }] = [await first.runner.requestJob(), await first.runner.requestJob()];
    if (confirmed === undefined || lost === undefined) throw new Error("no job");
    const time = stoppedTime();
    const second = await open(await killed(folder), time.options);
    expect((await second.runner.updateJob(confirmed, { state: "running" })).status).toBe(200);
    const held = time.nextHold();
    const asked = second.runner.requestJob();
    expect(await Promise.race([held, asked])).toBeUndefined();
    time.endConfirmations();
    expect((await asked).job?.id).toBe(lost.id);
    expect((await second.runner.updateJob(lost, { state: "running" })).status).toBe(403);
  });

  it("removes uploads that had not come in as a whole", async () => {
    const folder = await newFolder();
    const first = await open(folder);
    first.addJob({});
    const job = await take(first.runner);
    await first.runner.uploadArtifacts(job, { fileName: "a.zip", content: Buffer.from("archive") });
    const copy = await killed(folder);
    const artifacts = join(copy, "jobs", String(job.id), "artifacts");
    await writeFile(join(artifacts, "junit-1.partial"), "half");
    await writeFile(join(artifacts, "archive.zip"), "arch");
    const second = await open(copy);
    expect(await readdir(artifacts)).toEqual(["archive.zip"]);
    expect(second.job(job.id)?.artifacts).toEqual([]);
    const upload = { fileName: "a.zip", content: Buffer.from("archive") };
    expect((await second.runner.uploadArtifacts(job, upload)).status).toBe(201);
  });

  it("ignores a last line that was not written as a whole, and refuses a journal that is damaged elsewhere", async () => {
    const folder = await newFolder();
    const first = await open(folder);
    first.addJob({ job_info: { name: "one" } });
    await first.flush();
    const copy = await killed(folder);
    const journal = join(copy, "journal.jsonl");
    await appendFile(journal, '[{"kind":"job","id":1,"state":"succ');
    const second = await open(copy);
    expect(second.jobs).toMatchObject([{ status: "pending" }]);
    await second.close();
    await writeFile(journal, `garbage\n${await readFile(journal, "utf8")}`);
    await expect(open(copy)).rejects.toMatchObject({
      code: "state-directory",
      message: `${journal} is damaged in line 1`,
    });
  });

  it("says that it cannot read the journal", async () => {
    const folder = await newFolder();
    await mkdir(join(folder, "journal.jsonl"));
    await expect(open(folder)).rejects.toMatchObject({ code: "state-directory" });
  });

  it("keeps texts with every kind of line separator", async () => {
    const folder = await newFolder();
    const first = await open(folder);
    const script = ["a\u2028b\u2029c\r\nd\u0000\ud800 ü"];
    first.addJob({ steps: [{ name: "script", script }] });
    await first.flush();
    const second = await open(await killed(folder));
    expect((await take(second.runner)).steps).toEqual([{ name: "script", script }]);
  });
});

describe("closing a coordinator that can be opened again", () => {
  it("cancels nothing and answers kept polls", async () => {
    const folder = await newFolder();
    const kept = Promise.withResolvers<void>();
    const first = await open(folder, {
      longPolling: { holdMs: 60_000, onWake: "assign" },
      sleep: (_, signal) =>
        new Promise((_resolve, reject) => {
          kept.resolve();
          signal.addEventListener("abort", () => reject(signal.reason as Error));
        }),
    });
    first.addJob({});
    const job = await take(first.runner);
    await first.runner.patchTrace(job, 0, "log\n");
    const poll = first.runner.requestJob();
    await kept.promise;
    await first.close();
    expect((await poll).status).toBe(204);
    const second = await open(folder);
    expect(second.job(job.id)).toMatchObject({ status: "running", trace: { bytes: 4 } });
  });

  it("promises nothing any more", async () => {
    const folder = await newFolder();
    const first = await open(folder);
    first.addJob({});
    const job = await take(first.runner);
    await first.close();
    expect((await first.runner.updateJob(job, { state: "success" })).status).toBe(500);
    expect((await open(folder)).job(job.id)?.status).toBe("running");
  });
});

describe("a coordinator on a port", () => {
  it("with a state directory goes on, without one leaves nothing behind", async () => {
    const stateDirectory = await newFolder();
    const first = await startLocalCoordinator({ stateDirectory });
    const { id } = first.addJob({});
    const made = first.createRunner();
    await first.close();
    const second = await startLocalCoordinator({ stateDirectory });
    expect(second.job(id)?.status).toBe("pending");
    const verified = await fetch(`${second.url}/api/v4/runners/verify`, {
      method: "POST",
      body: JSON.stringify({ token: made.token }),
    });
    expect(verified.status).toBe(200);
    await second.close();

    const temporary = await startLocalCoordinator();
    const trace = temporary.job(temporary.addJob({}).id)?.trace.path ?? "";
    expect(trace.startsWith(tmpdir())).toBe(true);
    const state = join(trace, "../../..");
    expect(await readdir(state)).toContain("jobs");
    await temporary.close();
    await expect(readdir(state)).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe("a kill at any moment of a job", () => {
  const archive = { fileName: "a.zip", content: Buffer.from("archive") };
  const pieces = ["first piece\n", "second piece\n", "third\n"];
  const log = pieces.join("");

  /** A runner that makes each call until it is answered, as one that goes on after its coordinator was started again. */
  const calls: readonly ((runner: ReferenceCalls, job: JobAccess) => Promise<void>)[] = [
    async (runner, job) => {
      expect((await runner.updateJob(job, { state: "running" })).status).toBe(200);
    },
    (runner, job) => send(runner, job, 1),
    async (runner, job) => {
      expect((await runner.uploadArtifacts(job, archive)).status).toBe(201);
    },
    (runner, job) => send(runner, job, 2),
    (runner, job) => send(runner, job, 3),
    async (runner, job) => {
      const answer = await runner.updateJob(job, { state: "success", output: outputOf(log) });
      expect(answer.headers["job-status"]).toBe("success");
    },
  ];

  async function send(runner: ReferenceCalls, job: JobAccess, count: number): Promise<void> {
    const end = pieces.slice(0, count).join("").length;
    let offset = pieces.slice(0, count - 1).join("").length;
    while (offset < end) {
      const answer = await runner.patchTrace(job, offset, log.slice(offset, end));
      expect([202, 416]).toContain(answer.status);
      offset = Number(answer.headers["range"]?.split("-")[1]);
    }
  }

  async function finish(stateDirectory: string, job: JobAccess | undefined, from: number): Promise<void> {
    const time = stoppedTime();
    const coordinator = await openLocalCoordinator({ stateDirectory, runners: [{ token }], ...time.options });
    const runner = createReferenceCalls({ send: sendToHandler(coordinator.handle), token });
    try {
      // The answer with the job was lost: it comes back when nobody confirms it.
      void time.nextHold().then(time.endConfirmations);
      const taken = job ?? (await runner.requestJob()).job;
      if (taken === undefined) throw new Error("no job was handed out");
      for (const call of calls.slice(from)) await call(runner, taken);
      expect(coordinator.jobs).toMatchObject([
        { status: "success", artifacts: [{ bytes: 7 }], finalUpdate: { traceMatches: true } },
      ]);
      expect(Buffer.from(await coordinator.readTrace(taken.id)).toString()).toBe(log);
      const held = time.nextHold();
      const asked = runner.requestJob();
      expect(await Promise.race([held, asked])).toBeUndefined();
      await coordinator.close();
      expect((await asked).status).toBe(204);
    } finally {
      await coordinator.close();
    }
  }

  it("loses no job, doubles none, and keeps its log exact, whether the last answer arrived or not", async () => {
    const folder = await newFolder();
    const original = await open(folder);
    original.addJob({});
    await original.flush();
    const { job } = await original.runner.requestJob();
    if (job === undefined) throw new Error("no job");
    await finish(await killed(folder), job, 0);
    await finish(await killed(folder), undefined, 0);
    for (const [index, call] of calls.entries()) {
      const journal = "journal.jsonl";
      const before = (await readFile(join(folder, journal))).length;
      await call(original.runner, job);
      await finish(await killed(folder), job, index + 1);
      await finish(await killed(folder), job, index);
      // Files are written before the journal: killed in between, and in the middle of the journal's line.
      const after = (await readFile(join(folder, journal))).length;
      for (const length of new Set([before, Math.floor((before + after) / 2), after - 1])) {
        const copy = await killed(folder);
        await truncate(join(copy, journal), length);
        await finish(copy, job, index);
      }
    }
  });
});

describe("a pipeline that is opened where another coordinator was killed", () => {
  const start = (
    coordinator: LocalCoordinator,
    jobs: readonly Partial<PipelineJob>[],
    options: Partial<StartPipelineOptions> = {},
  ): PipelineRun =>
    coordinator.startPipeline({
      pipeline: {
        name: undefined,
        stages: ["build", "test"],
        jobs: jobs.map((job) => ({ ...plainJob, ...job, baseName: job.name ?? plainJob.name })),
      } satisfies Pipeline,
      project: { id: 7, fullPath: "group/project" },
      commit: { sha: "0123456789abcdef0123456789abcdef01234567", ref: "main" },
      repositoryUrl: "http://git.localhost/group/project.git",
      ...options,
    });
  const statuses = (run: PipelineRun | undefined): Record<string, string> =>
    Object.fromEntries((run?.jobs ?? []).map(({ name, status }) => [name, status]));

  it("goes on where it was: later stages, retries, variables, and its result", async () => {
    const folder = await newFolder();
    const first = await open(folder);
    start(
      first,
      [
        { name: "build", stage: "build", retry: { max: 2, when: ["always"], exitCodes: [] } },
        { name: "lint", stage: "build" },
        { name: "test", stage: "test" },
      ],
      { variables: [{ key: "SECRET", value: "s3cretvalue", masked: true }] },
    );
    const failed = await take(first.runner);
    await first.runner.updateJob(failed, { state: "failed", exit_code: 1 });
    const lint = await take(first.runner);

    const events: CoordinatorEvent[] = [];
    const second = await open(await killed(folder), { listener: (event) => events.push(event) });
    const [run] = second.pipelines;
    expect(statuses(run)).toEqual({ build: "pending", lint: "running", test: "created" });
    expect(events).toHaveLength(4);
    expect(second.job(failed.id)).toMatchObject({ status: "failed", retriedBy: 4 });
    await second.runner.updateJob(lint, { state: "success" });
    const build = await take(second.runner);
    expect(build.id).toBe(4);
    await second.runner.updateJob(build, { state: "failed", exit_code: 1 });
    await second.runner.updateJob(await take(second.runner), { state: "success" });
    const test = await take(second.runner);
    expect(test.variables).toContainEqual(
      expect.objectContaining({ key: "SECRET", value: "s3cretvalue", masked: true }),
    );
    await second.runner.updateJob(test, { state: "success" });
    const result = await run?.finished;
    expect(result).toMatchObject({ status: "success", retried: [{ id: 1 }, { id: 4 }] });

    const third = await open(await killed(join(result?.jobs[0]?.trace.path ?? "", "../../..")));
    expect(await third.pipelines[0]?.finished).toMatchObject({
      ...result,
      jobs: result?.jobs.map(({ id, status }) => ({ id, status })),
      retried: [{ id: 1 }, { id: 4 }],
    });
    expect(start(third, [{}]).id).toBe(2);
  });

  it("remembers the manual jobs that somebody started, and starts delayed jobs at their time", async () => {
    const folder = await newFolder();
    let nowMs = 1000;
    const first = await open(folder, { now: () => nowMs });
    const run = start(first, [
      { name: "manual", when: "manual", allowFailure: { allowed: false, exitCodes: [] } },
      { name: "later", when: "delayed", startInMs: 60_000 },
    ]);
    expect(run.play("manual")).toBe(true);
    await first.flush();
    nowMs += 20_000;
    const slept: number[] = [];
    const second = await open(await killed(folder), {
      now: () => nowMs,
      sleep: (milliseconds) => {
        slept.push(milliseconds);
        // The time for a confirmation does not end here.
        return milliseconds === 40_000 ? Promise.resolve() : new Promise(() => undefined);
      },
    });
    expect(slept).toEqual([40_000]);
    const manual = await take(second.runner);
    expect(manual.variables).toContainEqual(expect.objectContaining({ key: "CI_JOB_MANUAL", value: "true" }));
    expect((await take(second.runner)).job_info.name).toBe("later");
  });

  it("keeps one job of a resource group at a time, the others in their order", async () => {
    const folder = await newFolder();
    const first = await open(folder);
    const jobs = [{ name: "a", resourceGroup: "production" }];
    for (let count = 0; count < 3; count += 1) start(first, jobs);
    const holder = await take(first.runner);
    const second = await open(await killed(folder));
    expect(second.jobs.map(({ status }) => status)).toEqual([
      "running",
      "waiting_for_resource",
      "waiting_for_resource",
    ]);
    await second.runner.updateJob(holder, { state: "success" });
    expect(second.jobs.map(({ status }) => status)).toEqual(["success", "pending", "waiting_for_resource"]);
  });

  it("looks into the sources as the new process can", async () => {
    const folder = await newFolder();
    const first = await open(folder);
    const cache = {
      key: { kind: "files", files: ["yarn.lock"], prefix: undefined },
      paths: ["x"],
      untracked: false,
      policy: "pull-push",
      when: "on_success",
      fallbackKeys: [],
      unprotect: false,
    } as const;
    start(first, [{ name: "a", cache: [cache] }], { blobIdOf: () => "1".repeat(40) });
    await first.flush();
    const copies = [await killed(folder), await killed(folder)];
    const expected = (await take(first.runner)).cache;
    const same = await open(copies[0] ?? "", { fileLookups: { blobIdOf: () => "1".repeat(40) } });
    expect((await take(same.runner)).cache).toEqual(expected);
    const without = await open(copies[1] ?? "");
    expect((await take(without.runner)).cache).not.toEqual(expected);
  });
});
