import { mkdir, readdir, readFile, rm, rmdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { noopLogger, Secret } from "@fleetfoot/coordinator-client";
import type { JobPayload } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { helloJob, openHarness, plain, REPORT_INTERVAL_MS, script } from "../test-support/job-harness.ts";
import type { Harness, Run } from "../test-support/job-harness.ts";
import { createManualSleep } from "../test-support/manual-sleep.ts";
import { createRecordingCoordinator } from "../test-support/recording-coordinator.ts";
import type { RecordingAnswers, RecordingCoordinator } from "../test-support/recording-coordinator.ts";
import { finishUnfinishedJob } from "./finish-unfinished-job.ts";
import type { UnfinishedJobOutcome } from "./finish-unfinished-job.ts";
import type { UnfinishedJob, UnfinishedJobs } from "./types.ts";
import { openUnfinishedJobs } from "./unfinished-jobs.ts";

const DOWN: RecordingAnswers = {
  update: (update) => (update.state === "running" ? {} : { outcome: "failed", status: -1 }),
};

let harness: Harness;
let jobs: UnfinishedJobs;

beforeEach(async () => {
  harness = await openHarness();
  jobs = await open();
});
afterEach(() => harness.dispose());

describe("runJob with a place for records", () => {
  it("leaves nothing of a job whose end the coordinator knows", async () => {
    const { result } = await run(helloJob());
    expect(result).toMatchObject({ outcome: "success", delivered: true });
    expect(await records()).toEqual([]);
  });

  it("leaves nothing of a job that the coordinator does not want", async () => {
    const { result } = await run(helloJob(), { update: () => ({ outcome: "abort", status: 403 }) });
    expect(result.outcome).toBe("dropped");
    expect(await records()).toEqual([]);
  });

  it("leaves nothing of a job whose result is refused", async () => {
    const refused = Promise.withResolvers<void>();
    const started = harness.start(helloJob(), {
      answers: {
        update: (update) => {
          if (update.state === "running") return {};
          refused.resolve();
          return { outcome: "failed", status: 400 };
        },
      },
      options: { unfinishedJobs: jobs },
    });
    await refused.promise;
    for (const backoffMs of [1000, 2000]) {
      await started.time.elapse(REPORT_INTERVAL_MS);
      await started.time.elapse(backoffMs);
    }
    const { result } = await started.finished;
    expect(result.delivered).toBe(false);
    expect(await records()).toEqual([]);
  });

  it("keeps the result and the log of a job that the coordinator could not be told", async () => {
    const { result } = await run(helloJob({ steps: script("echo kept", "exit 7") }), DOWN);
    expect(result).toMatchObject({ outcome: "failed", delivered: false });
    const [record] = await (await open()).takeOver();
    expect(record?.result).toEqual({ state: "failed", failureReason: "script_failure", exitCode: 7 });
    expect(plain(await readFile(record?.traceFile ?? "", "utf8"))).toContain("Job failed: exit status 7");
  });

  it("runs a job although no record can be made, and keeps its log where it would without one", async () => {
    await rm(join(harness.root, "jobs"), { recursive: true });
    await writeFile(join(harness.root, "jobs"), "in the way");
    const { result, log } = await run(helloJob());
    expect(result).toMatchObject({ outcome: "success", delivered: true });
    expect(plain(log)).toContain("Job succeeded");
  });
});

describe("finishUnfinishedJob", () => {
  it("delivers the rest of the log and the result of an earlier process", async () => {
    const { coordinator: down } = await run(helloJob({ steps: script("echo kept", "exit 7") }), DOWN);
    const { outcome, coordinator } = await finish({}, down);
    expect(outcome).toBe("delivered");
    expect(coordinator.updates.at(-1)).toMatchObject({
      state: "failed",
      failureReason: "script_failure",
      exitCode: 7,
      trace: down.updates.at(-1)?.trace,
    });
    // All of the log had arrived before, and its record says so.
    expect(coordinator.calls).toEqual(["PUT running", "PUT failed"]);
    expect(await records()).toEqual([]);
  });

  it("fails a job that was killed while it ran as a fault of the runner, and says so at the end of its log", async () => {
    const record = await beginKilled("\u001B[32;1m$ sleep 600\u001B[0;m\nhalf a line");
    const { outcome, coordinator } = await finish({}, undefined, record);
    expect(outcome).toBe("delivered");
    expect(plain(coordinator.log)).toBe(
      "$ sleep 600\nhalf a line\nERROR: Job failed (system failure): the runner was killed while the job ran\n",
    );
    expect(coordinator.updates.at(-1)).toMatchObject({
      state: "failed",
      failureReason: "runner_system_failure",
      trace: { bytes: Buffer.byteLength(coordinator.log) },
    });
  });

  it("says so once, however often it has to try", async () => {
    const record = await beginKilled("output\n");
    expect((await finish(DOWN, undefined, record)).outcome).toBe("kept");
    const [again] = await jobs.takeOver();
    const { outcome, coordinator } = await finish({}, undefined, again);
    expect(outcome).toBe("delivered");
    expect(coordinator.calls).toEqual(["PUT running", "PUT failed"]);
    const line = "\u001B[31;1mERROR: Job failed (system failure): the runner was killed while the job ran\u001B[0;m\n";
    expect(coordinator.updates.at(-1)).toMatchObject({
      failureReason: "runner_system_failure",
      trace: { bytes: `output\n\n${line}`.length },
    });
  });

  it("fails a job that was killed before it had a log", async () => {
    const record = await beginKilled(undefined);
    const { outcome, coordinator } = await finish({}, undefined, record);
    expect(outcome).toBe("delivered");
    expect(plain(coordinator.log)).toContain("the runner was killed");
  });

  it("leaves the record for the next one, and says why, when the log is there and cannot be opened", async () => {
    const record = await beginKilled(undefined);
    await mkdir(record.traceFile);
    const coordinator = createRecordingCoordinator();
    const error = vi.fn();
    const outcome = await finishUnfinishedJob(record, { client: coordinator, logger: { ...noopLogger, error } });
    expect(outcome).toBe("kept");
    expect(coordinator.calls).toEqual([]);
    expect(error).toHaveBeenCalledExactlyOnceWith(expect.stringContaining("cannot be opened"), {
      job: 101,
      error: expect.objectContaining({ cause: expect.objectContaining({ code: "EISDIR" }) }),
    });
    await rmdir(record.traceFile);
    await writeFile(record.traceFile, "output\n");
    const [again] = await jobs.takeOver();
    const next = await finish({}, undefined, again);
    expect(next.outcome).toBe("delivered");
    expect(plain(next.coordinator.log)).toMatch(/^output\n/);
  });

  it("reports the result without a log when none can be made", async () => {
    const record = await beginKilled(undefined);
    // A link to nothing: there is no file, and none can take its place.
    await symlink(join(harness.root, "nothing"), record.traceFile);
    const { outcome, coordinator } = await finish({}, undefined, record);
    expect(outcome).toBe("delivered");
    expect(coordinator.calls).toEqual(["PUT running", "PUT failed"]);
  });

  it("forgets a job that the coordinator does not want to hear of any longer, without sending its log", async () => {
    const record = await beginKilled("output\n");
    const { outcome, coordinator } = await finish(
      { update: () => ({ outcome: "abort", status: 403 }) },
      undefined,
      record,
    );
    expect(outcome).toBe("unwanted");
    expect(coordinator.calls).toEqual(["PUT running"]);
    expect(await records()).toEqual([]);
  });

  it("leaves the record for the next one when it is told to stop", async () => {
    const record = await beginKilled("output\n");
    const stop = new AbortController();
    const coordinator = createRecordingCoordinator({
      update: (update) => {
        if (update.state === "running") return {};
        stop.abort(new Error("the process ends"));
        return { outcome: "failed", status: -1 };
      },
    });
    const attempt = finishUnfinishedJob(record, { client: coordinator, signal: stop.signal });
    await expect(attempt).rejects.toThrow("the process ends");
    expect((await jobs.takeOver()).map((job) => job.facts.id)).toEqual([101]);
  });
});

function open(): Promise<UnfinishedJobs> {
  return openUnfinishedJobs({
    directory: join(harness.root, "jobs"),
    asideDirectory: join(harness.root, "aside"),
    systemId: "s_0123456789ab",
    logger: noopLogger,
  });
}

function run(job: JobPayload, answers: RecordingAnswers = {}): Promise<Run> {
  return harness.run(job, {
    answers,
    options: { unfinishedJobs: jobs, reporting: { initialIntervalMs: REPORT_INTERVAL_MS, maxFinalRounds: 1 } },
  });
}

async function finish(
  answers: RecordingAnswers,
  before?: RecordingCoordinator,
  known?: UnfinishedJob,
): Promise<{ readonly outcome: UnfinishedJobOutcome; readonly coordinator: RecordingCoordinator }> {
  const coordinator = createRecordingCoordinator(answers);
  const record = known ?? (await (await open()).takeOver())[0];
  if (record === undefined) throw new Error("there is no record");
  if (before !== undefined) expect(record.acknowledgedBytes).toBe(Buffer.byteLength(before.log));
  const outcome = await finishUnfinishedJob(record, {
    client: coordinator,
    reporting: { maxFinalRounds: 1 },
    sleep: createManualSleep().sleep,
  });
  return { outcome, coordinator };
}

function records(): Promise<string[]> {
  return readdir(join(harness.root, "jobs"));
}

/** A job whose process was killed with that much of its log written. */
async function beginKilled(log: string | undefined): Promise<UnfinishedJob> {
  const { id, token } = helloJob();
  const record = await jobs.begin({
    id,
    token: new Secret(token),
    url: "http://127.0.0.1",
    systemId: "s_0123456789ab",
    debugTrace: false,
    timestamps: false,
    outputLimitBytes: 4_194_304,
    temporaryDirectory: join(harness.root, "builds", "p.tmp"),
  });
  if (log !== undefined) await writeFile(record.traceFile, log);
  return record;
}
