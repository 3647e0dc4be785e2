import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Executor } from "./executor.ts";
import { JobInterrupted } from "./interruption.ts";
import {
  REPORT_INTERVAL_MS,
  helloJob,
  openHarness,
  plain,
  projectOf,
  withAfterScript,
} from "./test-support/job-harness.ts";
import type { Harness, StartedRun } from "./test-support/job-harness.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await openHarness();
});
afterEach(() => harness.dispose());

/** A script that would take far longer than a test, with an after_script that tells what it knows. */
const SLOW = withAfterScript(["echo ready; sleep 100; echo never"], ["echo status=$CI_JOB_STATUS"]);

const ALWAYS = [{ paths: ["kept.txt"], when: "always" }] as const;

async function keepFile(): Promise<void> {
  await mkdir(projectOf(harness.root), { recursive: true });
  await writeFile(join(projectOf(harness.root), "kept.txt"), "kept");
}

describe("limits of time", () => {
  it.each([
    { row: "JE 14", timeout: 5, text: "execution took longer than 5s seconds" },
    { row: "CP A49", timeout: 2, text: "execution took longer than 2s seconds" },
  ])("$row: a job that takes longer than $timeout s is ended as a whole", async ({ timeout, text }) => {
    await keepFile();
    const job = helloJob({ steps: SLOW, runner_info: { timeout }, artifacts: ALWAYS });
    const started = harness.start(job, { instant: [] });
    await started.printed("ready");
    await started.time.elapse(timeout * 1_000);
    const { result, log, coordinator, stages } = await started.finished;
    expect(result).toMatchObject({ failureReason: "job_execution_timeout", message: text });
    expect(coordinator.updates.at(-1)).toMatchObject({ state: "failed", failureReason: "job_execution_timeout" });
    expect(plain(log)).toContain(`ERROR: Job failed: ${text}\n`);
    expect(plain(log)).toContain("WARNING: step_script could not run to completion because the timeout was exceeded.");
    expect(log).not.toContain("status=");
    expect(coordinator.uploads).toEqual([]);
    expect(stages.at(-1)).toBe("step_script");
    expect(await readdir(join(projectOf(harness.root), ".."))).toEqual(["p"]);
  });

  it("JE 15: steps that take longer than their own limit are followed by after_script and failure artifacts", async () => {
    await keepFile();
    const job = helloJob({ steps: SLOW, runner_info: { timeout: 60 }, artifacts: ALWAYS }, [
      { key: "RUNNER_SCRIPT_TIMEOUT", value: "5s" },
    ]);
    const started = harness.start(job, { instant: [] });
    await started.printed("ready");
    await started.time.elapse(5_000);
    const { result, log, coordinator } = await started.finished;
    expect(log).toContain("\nstatus=timedout\n");
    expect(result).toMatchObject({
      failureReason: "job_execution_timeout",
      message: "script timeout: context deadline exceeded",
    });
    expect(coordinator.uploads).toHaveLength(1);
  });

  it("JE 16: a limit for after_script without a unit is malformed, and five minutes stay", async () => {
    const job = helloJob({ steps: withAfterScript(["true"], ["true"]) }, [
      { key: "RUNNER_AFTER_SCRIPT_TIMEOUT", value: "60" },
    ]);
    const { log, time } = await harness.run(job);
    expect(plain(log)).toContain('WARNING: RUNNER_AFTER_SCRIPT_TIMEOUT: ignoring malformed timeout "60"');
    expect(time.waits).toContain(300_000);
    expect(time.waits).not.toContain(60_000);
  });

  it("ends an after_script that takes too long, without harm to the job", async () => {
    const job = helloJob({ steps: withAfterScript(["true"], ["echo ready; sleep 100"]) }, [
      { key: "RUNNER_AFTER_SCRIPT_TIMEOUT", value: "90s" },
    ]);
    const started = harness.start(job);
    await started.printed("ready");
    await started.time.elapse(90_000);
    const { result, log } = await started.finished;
    expect(result.outcome).toBe("success");
    expect(log).toContain("after_script failed, but job will continue unaffected: after_script timeout");
  });

  it("gives up a place that does not get ready in time", async () => {
    const started = harness.start(helloJob(), {
      options: { executor: neverReady },
      runner: { prepareTimeoutMs: 7_000 },
    });
    await started.time.elapse(7_000);
    const { result, stages } = await started.finished;
    expect(result).toMatchObject({
      failureReason: "job_execution_timeout",
      message: expect.stringContaining("prepare timeout"),
    });
    expect(stages).toEqual(["prepare_executor"]);
  });

  it("does not wait for ever for a script that cannot be stopped", async () => {
    const running = Promise.withResolvers<void>();
    const done = async (): Promise<void> => undefined;
    const executor: Executor = {
      name: "deaf",
      prepare: async ({ directories }) => ({
        workspace: { directories, publish: done, collect: done },
        variables: {},
        description: "nowhere",
        run: () => {
          running.resolve();
          return new Promise(() => undefined);
        },
        cleanup: done,
      }),
    };
    const stop = new AbortController();
    const started = harness.start(helloJob(), { options: { executor, signal: stop.signal } });
    await running.promise;
    stop.abort(JobInterrupted.processStopped());
    // The first of this length is the wait for the job to wind down.
    await started.time.elapse(300_000);
    const { result, log } = await started.finished;
    expect(plain(log)).toContain("WARNING: Timed out waiting for the build to finish\n");
    expect(result).toMatchObject({ failureReason: "runner_interrupted", delivered: true });
  });

  it("leave no wait behind when a job is over", async () => {
    const { time } = await harness.run(helloJob({ steps: withAfterScript(["true"], ["true"]) }));
    expect(time.pending).toBe(0);
  });
});

describe("a graceful cancel", () => {
  it("JE 17: ends the steps, and what follows a failed job is done", async () => {
    await keepFile();
    const started = harness.start(helloJob({ steps: SLOW, artifacts: ALWAYS }), { answers: { patch: cancelOnce } });
    await started.printed("ready");
    await tick(started);
    const { result, log, coordinator, stages } = await started.finished;
    expect(log).toContain("\nstatus=canceled\n");
    expect(log).not.toContain("\nnever\n");
    expect(plain(log)).toContain("WARNING: script canceled externally (UI, API)\n");
    expect(plain(log)).toMatch(/ERROR: Job failed: canceled\n$/);
    expect(coordinator.uploads.map(({ upload }) => upload.fileName)).toEqual(["artifacts.zip"]);
    expect(stages.slice(-2)).toEqual(["upload_artifacts_on_failure", "cleanup_file_variables"]);
    expect(result.failureReason).toBe("job_canceled");
  });

  it("CP A41: arrives by a piece of the log; after_script runs, the log goes on, the result is sent", async () => {
    const started = harness.start(helloJob({ steps: SLOW }), { answers: { patch: cancelOnce } });
    await started.printed("ready");
    await tick(started);
    const { coordinator } = await started.finished;
    expect(coordinator.chunks.length).toBeGreaterThan(1);
    expect(Buffer.from(coordinator.chunks.at(-1)?.bytes ?? []).toString()).toContain("status=canceled");
    expect(coordinator.updates.at(-1)).toMatchObject({ state: "failed", failureReason: "unknown_failure" });
  });

  it("CP A42: has no effect while after_script runs", async () => {
    const asked = Promise.withResolvers<void>();
    const go = join(harness.root, "go");
    const steps = withAfterScript(["true"], [`echo waiting; while [ ! -e ${go} ]; do sleep 0.02; done; echo finished`]);
    const patch = (): { cancelRequested: boolean } => {
      asked.resolve();
      return { cancelRequested: true };
    };
    const started = harness.start(helloJob({ steps }), { answers: { patch } });
    await started.printed("waiting");
    await tick(started);
    await asked.promise;
    await writeFile(go, "");
    const { result, log, coordinator } = await started.finished;
    expect(log).toContain("\nfinished\n");
    expect(result.outcome).toBe("success");
    expect(coordinator.updates.at(-1)).toMatchObject({ state: "success" });
  });

  it("ends the whole job before its steps", async () => {
    const started = harness.start(helloJob({ steps: SLOW }), {
      answers: { patch: cancelOnce },
      options: { executor: neverReady },
    });
    await tick(started);
    const { result, stages, coordinator } = await started.finished;
    expect(result.failureReason).toBe("job_canceled");
    expect(stages).toEqual(["prepare_executor"]);
    expect(coordinator.updates.at(-1)).toMatchObject({ state: "failed", failureReason: "unknown_failure" });
  });
});

describe("an abort", () => {
  it("JE 18: ends everything: no after_script, no upload, nothing left of the script", async () => {
    await keepFile();
    const patch = (_: unknown, index: number): object => (index === 0 ? { status: 403, outcome: "abort" } : {});
    const started = harness.start(helloJob({ steps: SLOW, artifacts: ALWAYS }), { answers: { patch } });
    await started.printed("ready");
    await tick(started);
    const { coordinator, log, stages } = await started.finished;
    expect(log).not.toContain("status=");
    expect(coordinator.uploads).toEqual([]);
    expect(stages.at(-1)).toBe("step_script");
    expect(await readdir(join(projectOf(harness.root), ".."))).toEqual(["p"]);
  });

  it("CP A40: arrives by a sign of life; the job is ended at once, with at most one more piece and one more update", async () => {
    let late = 0;
    const aborted = { status: 200, outcome: "abort" } as const;
    const touched = Promise.withResolvers<number>();
    const update = (_: unknown, index: number): object => {
      if (index === 0) return {};
      touched.resolve(started.coordinator.calls.length);
      return aborted;
    };
    const started = harness.start(helloJob({ steps: SLOW }), {
      answers: { update },
      options: { now: () => Date.now() + late },
    });
    await started.printed("ready");
    // The first tick sends the log; one that finds nothing new and a long silence asks.
    for (let asked = false; !asked;) {
      late += 40_000;
      asked = await Promise.race([tick(started).then(() => false), touched.promise.then(() => true)]);
    }
    const before = await touched.promise;
    const { coordinator, log } = await started.finished;
    const after = coordinator.calls.slice(before);
    expect(coordinator.calls[before - 1]).toBe("PUT running");
    expect(after.filter((call) => call.startsWith("PATCH")).length).toBeLessThanOrEqual(1);
    expect(after.filter((call) => call.startsWith("PUT")).length).toBeLessThanOrEqual(1);
    expect(after).toHaveLength(after.filter((call) => call.startsWith("P")).length);
    expect(log).not.toContain("status=");
  });

  it("outranks a cancel that came before it", async () => {
    const steps = withAfterScript(["echo ready; sleep 100"], ["echo after ready; sleep 100"]);
    const patch = (_: unknown, index: number): object =>
      index === 0 ? { cancelRequested: true } : { status: 403, outcome: "abort" };
    const started = harness.start(helloJob({ steps }), { answers: { patch } });
    await started.printed("ready");
    await tick(started);
    await started.printed("after ready");
    await tick(started);
    const { stages } = await started.finished;
    expect(stages.at(-1)).toBe("after_script");
  });
});

describe("a stop of the process", () => {
  it("JE 55: reports the job as interrupted, mapped to what the coordinator knows", async () => {
    const stop = new AbortController();
    const started = harness.start(helloJob({ steps: SLOW }), { options: { signal: stop.signal } });
    await started.printed("ready");
    stop.abort(JobInterrupted.processStopped("terminated"));
    const { result, log, coordinator } = await started.finished;
    expect(result).toMatchObject({ failureReason: "runner_interrupted", message: "aborted: terminated" });
    expect(coordinator.updates.at(-1)).toMatchObject({ state: "failed", failureReason: "unknown_failure" });
    expect(plain(log)).toMatch(/ERROR: Job failed: aborted: terminated\n$/);
    expect(log).not.toContain("status=");
  });

  it("counts as one when its reason is somebody else's", async () => {
    const { result, processes } = await harness.run(helloJob(), { options: { signal: AbortSignal.abort("bye") } });
    expect([result.failureReason, processes]).toEqual(["runner_interrupted", []]);
  });
});

const neverReady: Executor = {
  name: "slow",
  prepare: () => new Promise(() => undefined),
};

function cancelOnce(_: unknown, index: number): { cancelRequested: boolean } {
  return { cancelRequested: index === 0 };
}

/** Lets the reporter send its next update. */
function tick(started: StartedRun): Promise<void> {
  return started.time.elapse(REPORT_INTERVAL_MS);
}
