import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { LogFields, Logger } from "../logger.ts";
import type { JobUpdate, PatchTraceResult, TraceChunk, UpdateJobResult } from "../results.ts";
import { startJobReporter } from "./job-reporter.ts";
import type { JobReporter, JobReporterOptions, TraceSource } from "./types.ts";

const MIB = 1024 * 1024;

type PatchAnswer = Partial<PatchTraceResult> | ((chunk: TraceChunk) => Partial<PatchTraceResult>);
type UpdateAnswer = Partial<UpdateJobResult>;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("startJobReporter while the job runs", () => {
  it("CP A31: sends the output from offset 0 on, and its size and checksum with the result", async () => {
    const job = startJob();
    job.trace.write("hello world\n");
    await pass(3000);
    expect(job.patches).toEqual([{ at: 3000, from: 0, to: 11 }]);
    await job.reporter.succeed();
    expect(job.updates.at(-1)).toEqual({
      at: 3000,
      state: "success",
      trace: { checksum: "sum of 12", bytes: 12 },
    });
  });

  it("CP A15: takes a PATCH that is rate limited to the last as failed, and lets the job run", async () => {
    const job = startJob({ patch: [{ outcome: "failed", status: 429, attempts: 5, throttled: true }] });
    job.trace.write("output");
    await pass(6000);
    expect(job.patches).toEqual([
      { at: 3000, from: 0, to: 5 },
      { at: 6000, from: 0, to: 5 },
    ]);
    expect(job.hooks).toEqual([]);
  });

  it("CP A34: goes on at the offset that a 416 names", async () => {
    const job = startJob({ patch: [{}, { outcome: "range-mismatch", status: 416, nextOffset: 40 }] });
    job.trace.write("x".repeat(100));
    await pass(3000);
    job.trace.write("x".repeat(20));
    await pass(6000);
    expect(job.patches.map(({ from }) => from)).toEqual([0, 100, 40]);
  });

  it("CP A35: starts over at 0 when a 416 names no offset", async () => {
    const job = startJob({ patch: [{}, { outcome: "range-mismatch", status: 416, nextOffset: 0 }] });
    job.trace.write("x".repeat(100));
    await pass(3000);
    job.trace.write("x".repeat(20));
    await pass(6000);
    expect(job.patches.map(({ from, to }) => [from, to])).toEqual([
      [0, 99],
      [100, 119],
      [0, 119],
    ]);
  });

  it("CP A36: tries the same bytes again at the next tick after a 404, and the job goes on", async () => {
    const job = startJob({ patch: [{ outcome: "not-found", status: 404 }] });
    job.trace.write("output");
    await pass(6000);
    expect(job.patches).toEqual([
      { at: 3000, from: 0, to: 5 },
      { at: 6000, from: 0, to: 5 },
    ]);
    expect(job.hooks).toEqual([]);
  });

  it("CP A37: ticks at the interval that an answer names", async () => {
    const job = startJob({ patch: [{ updateIntervalMs: 10_000 }] });
    job.trace.write("one");
    await pass(3000);
    job.trace.write("two");
    await pass(9999);
    expect(job.patches).toHaveLength(1);
    await pass(1);
    expect(job.patches[1]).toEqual({ at: 13_000, from: 3, to: 5 });
    expect(job.reporter.intervalMs).toBe(10_000);
  });

  it.each([
    { header: "0, -3 or abc, which the client does not hand on", named: undefined, intervalMs: 3000 },
    { header: "0", named: 0, intervalMs: 3000 },
    { header: "-3", named: -3000, intervalMs: 3000 },
    { header: "999999", named: 999_999_000, intervalMs: 900_000 },
  ])("CP A38: with the interval $header, ticks every $intervalMs ms", async ({ named, intervalMs }) => {
    const job = startJob({ patch: [{ updateIntervalMs: named }, {}] });
    job.trace.write("one");
    await pass(3000);
    job.trace.write("two");
    await pass(intervalMs - 1);
    expect(job.patches).toHaveLength(1);
    await pass(1);
    expect(job.patches).toHaveLength(2);
  });

  it("CP A39: touches a silent job at the first tick, then not before 30 s, and at most every 33 s", async () => {
    const job = startJob();
    await pass(120_000);
    expect(job.patches).toEqual([]);
    expect(job.updates.map(({ at }) => at)).toEqual([3000, 36_000, 69_000, 102_000]);
    expect(job.updates[0]).toEqual({ at: 3000, state: "running", trace: { checksum: "sum of 0", bytes: 0 } });
  });

  it("does not touch a job whose output was just taken", async () => {
    const job = startJob();
    for (let second = 0; second < 120; second += 3) {
      job.trace.write("x");
      await pass(3000);
    }
    expect(job.updates).toEqual([]);
  });

  it("lets the time until a touch follow the interval when told so", async () => {
    const job = startJob({ options: { touchFollowsInterval: true }, update: [{ updateIntervalMs: 60_000 }, {}] });
    await pass(603_000);
    expect(job.updates.map(({ at }) => at)).toEqual([3000, 303_000, 603_000]);
  });

  it("sends 1 MiB per tick at most", async () => {
    const job = startJob();
    job.trace.write("x".repeat(2 * MIB));
    await pass(6000);
    expect(job.patches).toEqual([
      { at: 3000, from: 0, to: MIB - 1 },
      { at: 6000, from: MIB, to: 2 * MIB - 1 },
    ]);
  });

  it("CP A40: stops the job at once when a touch says that it was cancelled, and sends one PATCH and one PUT at most", async () => {
    const job = startJob({
      update: [{ outcome: "abort" }, { outcome: "abort", status: 403 }],
      patch: [{ outcome: "abort", status: 403 }],
    });
    await pass(3000);
    expect(job.hooks).toEqual(["abort"]);
    job.trace.write("x".repeat(3 * MIB));
    await pass(600_000);
    expect(job.patches).toEqual([]);
    const result = await job.reporter.fail({ reason: "job_canceled" });
    expect({ patches: job.patches.length, updates: job.updates.length }).toEqual({ patches: 1, updates: 2 });
    expect(result).toEqual({ delivered: false, outcome: "abort", rounds: 1 });
  });

  it("sends one PATCH and one PUT after an abort also when the coordinator takes them", async () => {
    const job = startJob({ patch: [{ outcome: "abort" }, {}], update: [{ outcome: "failed", status: 500 }] });
    job.trace.write("x".repeat(3 * MIB));
    await pass(3000);
    const result = await job.reporter.fail({ reason: "job_canceled" });
    expect({ patches: job.patches.length, updates: job.updates.length }).toEqual({ patches: 2, updates: 1 });
    expect(result).toEqual({ delivered: false, outcome: "undeliverable", rounds: 1 });
  });

  it("CP A41: asks for a graceful stop, keeps sending the trace, and reports the failure", async () => {
    const job = startJob({ patch: [{ cancelRequested: true }, {}] });
    job.trace.write("script\n");
    await pass(3000);
    expect(job.hooks).toEqual(["cancel"]);
    job.trace.write("after_script\n");
    await pass(3000);
    const result = await job.reporter.fail({ reason: "unknown_failure" });
    expect(job.patches.map(({ from, to }) => [from, to])).toEqual([
      [0, 6],
      [7, 19],
    ]);
    expect(job.updates).toMatchObject([{ state: "failed", failureReason: "unknown_failure" }]);
    expect(result.outcome).toBe("succeeded");
  });

  it("CP A42: reports the normal result when the job ends well in spite of a cancel request", async () => {
    const job = startJob({ patch: [{ cancelRequested: true }] });
    job.trace.write("after_script\n");
    await pass(3000);
    await job.reporter.succeed();
    expect(job.updates).toMatchObject([{ state: "success" }]);
  });

  it("CP A43: asks for the stop once, however often the coordinator repeats it", async () => {
    const job = startJob({ patch: [{ cancelRequested: true }], update: [{ cancelRequested: true }] });
    job.trace.write("one");
    await pass(40_000);
    job.trace.write("two");
    await pass(3000);
    expect(job.patches.length + job.updates.length).toBeGreaterThan(2);
    expect(job.hooks).toEqual(["cancel"]);
  });

  it("lets an abort outrank a cancel of the same answer", async () => {
    const job = startJob({ patch: [{ outcome: "abort", cancelRequested: true }] });
    job.trace.write("x");
    await pass(3000);
    expect(job.hooks).toEqual(["abort"]);
  });

  it("goes on when an update breaks in an unforeseen way", async () => {
    const job = startJob();
    job.trace.write("x");
    job.trace.breakReads(1);
    await pass(40_000);
    expect(job.errors).toContain("The trace cannot be read");
    expect(job.updates).toMatchObject([{ state: "running" }, { state: "running" }]);
  });
});

describe("startJobReporter at the end of the job", () => {
  it("reports a short job at once, without waiting for an interval", async () => {
    const job = startJob();
    job.trace.write("quick\n");
    const result = await job.reporter.succeed();
    expect(Date.now()).toBe(0);
    expect(job.patches).toEqual([{ at: 0, from: 0, to: 5 }]);
    expect(result).toEqual({ delivered: true, outcome: "succeeded", rounds: 1 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it("CP A32: sends no PATCH for a job without output", async () => {
    const job = startJob();
    await job.reporter.succeed();
    expect(job.patches).toEqual([]);
    expect(job.updates).toEqual([{ at: 0, state: "success", trace: { checksum: "sum of 0", bytes: 0 } }]);
  });

  it("CP A33: sends 3 MiB in three pieces that touch, before the result", async () => {
    const job = startJob();
    job.trace.write("x".repeat(3 * MIB));
    await job.reporter.succeed();
    expect(job.order).toEqual(["patch", "patch", "patch", "update"]);
    expect(job.patches.map(({ from, to }) => [from, to])).toEqual([
      [0, MIB - 1],
      [MIB, 2 * MIB - 1],
      [2 * MIB, 3 * MIB - 1],
    ]);
  });

  it("CP A44: waits 1, 2 and 4 s plus an interval after three failed rounds, then succeeds", async () => {
    const failed = { outcome: "failed", status: 500 } as const;
    const job = startJob({ update: [failed, failed, failed, {}] });
    const report = job.reporter.succeed();
    await pass(60_000);
    expect(job.updates.map(({ at }) => at)).toEqual([0, 4000, 9000, 16_000]);
    expect(await report).toEqual({ delivered: true, outcome: "succeeded", rounds: 4 });
  });

  it("CP A45: lets the first of two results count", async () => {
    const job = startJob();
    const [first, second] = await Promise.all([
      job.reporter.succeed(),
      job.reporter.fail({ reason: "script_failure", exitCode: 1 }),
    ]);
    expect(job.updates).toMatchObject([{ state: "success" }]);
    expect(second).toBe(first);
  });

  it("names reason and exit code of a failure", async () => {
    const job = startJob({ update: [{ outcome: "abort", status: 200 }] });
    const result = await job.reporter.fail({ reason: "script_failure", exitCode: 7 });
    expect(job.updates).toMatchObject([{ state: "failed", failureReason: "script_failure", exitCode: 7 }]);
    expect(result).toEqual({ delivered: true, outcome: "succeeded", rounds: 1 });
  });

  it("waits for an update in progress, and never sends two at a time", async () => {
    const gate = Promise.withResolvers<void>();
    const job = startJob({ gate: gate.promise });
    job.trace.write("one");
    await pass(3000);
    job.trace.write("two");
    const report = job.reporter.succeed();
    await pass(10_000);
    expect(job.order).toEqual(["patch"]);
    gate.resolve();
    await report;
    expect(job.order).toEqual(["patch", "patch", "update"]);
  });

  it("asks again in the same round while the coordinator still stores the trace", async () => {
    const accepted = { outcome: "accepted", status: 202, updateIntervalMs: 1000 } as const;
    const job = startJob({ update: [...Array.from({ length: 20 }, () => accepted), {}] });
    const report = job.reporter.succeed();
    await pass(20_000);
    expect(await report).toEqual({ delivered: true, outcome: "succeeded", rounds: 1 });
    expect(job.updates).toHaveLength(21);
  });

  it("sends the whole trace again when the coordinator rejects it", async () => {
    const job = startJob({ update: [{ outcome: "trace-rejected", status: 412 }, {}] });
    job.trace.write("x".repeat(100));
    const report = job.reporter.succeed();
    await pass(3000);
    expect((await report).rounds).toBe(1);
    expect(job.patches.map(({ at, from }) => [at, from])).toEqual([
      [0, 0],
      [3000, 0],
    ]);
  });

  it("sends the result although the trace is refused", async () => {
    const job = startJob({ patch: [{ outcome: "failed", status: 413 }] });
    job.trace.write("x");
    const report = job.reporter.succeed();
    await pass(4000);
    expect(await report).toEqual({ delivered: true, outcome: "succeeded", rounds: 2 });
    expect(job.order).toEqual(["patch", "patch", "update"]);
  });

  it("sends the result in the last round although the trace cannot get through", async () => {
    const job = startJob({ patch: [{ outcome: "failed", status: 500 }], options: { maxFinalRounds: 3 } });
    job.trace.write("x");
    const report = job.reporter.succeed();
    await pass(60_000);
    expect(job.order).toEqual(["patch", "patch", "patch", "update"]);
    expect(await report).toEqual({ delivered: true, outcome: "succeeded", rounds: 3 });
  });

  it("sends the result at once when the coordinator claims more of the trace than there is", async () => {
    const job = startJob({ patch: [{ outcome: "range-mismatch", status: 416, nextOffset: 1000 }] });
    job.trace.write("x");
    expect((await job.reporter.succeed()).outcome).toBe("succeeded");
    expect(job.order).toEqual(["patch", "update"]);
  });

  it("gives the trace up when two 416s in a row name the same offset", async () => {
    const job = startJob({ patch: [{ outcome: "range-mismatch", status: 416, nextOffset: 40 }] });
    job.trace.write("x".repeat(100));
    const report = job.reporter.succeed();
    await pass(60_000);
    expect(job.order).toEqual(["patch", "patch", "update"]);
    expect((await report).outcome).toBe("succeeded");
  });

  it("gives the trace up when the coordinator keeps losing what it took", async () => {
    const job = startJob({
      patch: [({ offset }) => (offset === 0 ? {} : { outcome: "range-mismatch", status: 416, nextOffset: 0 })],
    });
    job.trace.write("x".repeat(2 * MIB));
    const report = job.reporter.succeed();
    await pass(600_000);
    expect((await report).outcome).toBe("succeeded");
  });

  it.each([
    { status: 404, outcome: "not-found" },
    { status: 403, outcome: "abort" },
  ] as const)("stops sending the trace after a $status and sends the result", async ({ status, outcome }) => {
    const job = startJob({ patch: [{ outcome, status }] });
    job.trace.write("x".repeat(2 * MIB));
    await job.reporter.succeed();
    expect(job.order).toEqual(["patch", "update"]);
  });

  it.each([400, 409])("tries a result that is refused with %i twice more", async (status) => {
    const job = startJob({ update: [{ outcome: "failed", status }] });
    const report = job.reporter.succeed();
    await pass(600_000);
    expect(job.updates).toHaveLength(3);
    expect(await report).toEqual({ delivered: false, outcome: "refused", rounds: 3 });
  });

  it("goes on where an earlier process has got with the trace, and tells what the coordinator has", async () => {
    const acknowledged: number[] = [];
    const trace = new FakeTrace();
    trace.write("x".repeat(100));
    const job = startJob({
      patch: [{}, { outcome: "range-mismatch", status: 416, nextOffset: 20 }, {}],
      options: { trace, acknowledgedBytes: 40, onAcknowledged: (bytes) => acknowledged.push(bytes) },
    });
    await pass(3000);
    trace.write("x".repeat(10));
    const report = job.reporter.fail({ reason: "runner_system_failure" });
    await pass(3000);
    expect((await report).outcome).toBe("succeeded");
    expect(job.patches.map(({ from, to }) => [from, to])).toEqual([
      [40, 99],
      [100, 109],
      [20, 109],
    ]);
    expect(acknowledged).toEqual([100, 20, 110]);
  });

  it("starts over when an earlier process has had more of the trace acknowledged than there is left", async () => {
    const job = startJob({ options: { acknowledgedBytes: 1000 } });
    job.trace.write("x".repeat(100));
    await job.reporter.succeed();
    expect(job.patches.map(({ from, to }) => [from, to])).toEqual([[0, 99]]);
  });

  it("gives up after ten rounds of about nine minutes", async () => {
    const job = startJob({ update: [{ outcome: "failed", status: -1 }] });
    const report = job.reporter.succeed();
    await pass(3_600_000);
    expect(job.updates).toHaveLength(10);
    expect(job.updates.at(-1)?.at).toBe((511 + 27) * 1000);
    expect(await report).toEqual({ delivered: false, outcome: "undeliverable", rounds: 10 });
  });

  it("starts no round behind the time that it was given", async () => {
    const job = startJob({ update: [{ outcome: "failed", status: 500 }], options: { maxFinalDurationMs: 10_000 } });
    const report = job.reporter.succeed();
    await pass(10_000);
    expect(job.updates.map(({ at }) => at)).toEqual([0, 4000, 9000]);
    expect((await report).outcome).toBe("undeliverable");
  });

  it("starts each round with an interval of 3 s", async () => {
    const failed = { outcome: "failed", status: 500, updateIntervalMs: 10_000 } as const;
    const job = startJob({ update: [failed, { outcome: "failed", status: 500 }, {}] });
    const report = job.reporter.succeed();
    await pass(60_000);
    expect(job.updates.map(({ at }) => at)).toEqual([0, 11_000, 16_000]);
    await report;
  });

  it("sends the result although the trace can no longer be read", async () => {
    const job = startJob();
    job.trace.write("x");
    job.trace.breakReads(1);
    expect((await job.reporter.succeed()).outcome).toBe("succeeded");
    expect(job.order).toEqual(["update"]);
  });

  it("rejects with the reason of the signal in the middle of a pause, and leaves no timer", async () => {
    const stop = new AbortController();
    const job = startJob({ update: [{ outcome: "failed", status: 500 }], options: { signal: stop.signal } });
    const report = expect(job.reporter.succeed()).rejects.toBe("time is up");
    await pass(1000);
    stop.abort("time is up");
    await report;
    expect(vi.getTimerCount()).toBe(0);
  });
});

interface RunningJob {
  readonly reporter: JobReporter;
  readonly trace: FakeTrace;
  readonly patches: { at: number; from: number; to: number }[];
  readonly updates: ({ at: number } & JobUpdate)[];
  readonly order: ("patch" | "update")[];
  readonly hooks: ("cancel" | "abort")[];
  readonly errors: string[];
}

/** Starts a job whose coordinator gives the answers in turn, the last one for ever. */
function startJob(
  setup: {
    readonly patch?: readonly PatchAnswer[];
    readonly update?: readonly UpdateAnswer[];
    readonly gate?: Promise<void>;
    readonly options?: Partial<JobReporterOptions>;
  } = {},
): RunningJob {
  const { patch = [{}], update = [{}], gate, options } = setup;
  const job: Omit<RunningJob, "reporter"> = {
    trace: new FakeTrace(),
    patches: [],
    updates: [],
    order: [],
    hooks: [],
    errors: [],
  };
  let open = 0;
  const alone = async <T>(answer: () => T): Promise<T> => {
    open += 1;
    expect(open).toBe(1);
    await gate;
    open -= 1;
    return answer();
  };
  const reporter = startJobReporter({
    calls: {
      patchTrace: (chunk) => {
        const answer = patch[Math.min(job.patches.length, patch.length - 1)] ?? {};
        job.order.push("patch");
        job.patches.push({ at: Date.now(), from: chunk.offset, to: chunk.offset + chunk.bytes.length - 1 });
        return alone(() => patchResult(chunk, typeof answer === "function" ? answer(chunk) : answer));
      },
      updateJob: (body) => {
        const answer = update[Math.min(job.updates.length, update.length - 1)] ?? {};
        job.order.push("update");
        job.updates.push({ at: Date.now(), ...body });
        return alone(() => ({ ...FACTS, status: 200, outcome: "succeeded", ...answer }));
      },
    },
    trace: job.trace,
    onCancel: () => job.hooks.push("cancel"),
    onAbort: () => job.hooks.push("abort"),
    logger: errorsInto(job.errors),
    ...options,
  });
  return { ...job, reporter };
}

const FACTS = {
  attempts: 1,
  throttled: false,
  requestId: "0".repeat(32),
  message: "",
  cancelRequested: false,
  updateIntervalMs: undefined,
} as const;

function patchResult(chunk: TraceChunk, answer: Partial<PatchTraceResult>): PatchTraceResult {
  const isOk = answer.outcome === undefined || answer.outcome === "ok";
  const nextOffset = chunk.offset + (isOk ? chunk.bytes.length : 0);
  return { ...FACTS, status: 202, outcome: "ok", nextOffset, ...answer };
}

class FakeTrace implements TraceSource {
  #text = "";
  #brokenReads = 0;

  get size(): number {
    return this.#text.length;
  }

  get checksum(): string {
    return `sum of ${this.#text.length}`;
  }

  write(text: string): void {
    this.#text += text;
  }

  breakReads(count: number): void {
    this.#brokenReads = count;
  }

  read(offset: number, maxBytes: number): Promise<Uint8Array> {
    if (this.#brokenReads > 0) {
      this.#brokenReads -= 1;
      return Promise.reject(new Error("the disk is broken"));
    }
    return Promise.resolve(Buffer.from(this.#text.slice(offset, offset + maxBytes)));
  }
}

function errorsInto(errors: string[]): Logger {
  const drop = (_message: string, _fields?: LogFields): void => {};
  return { debug: drop, info: drop, warn: drop, error: (message) => errors.push(message) };
}

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}
