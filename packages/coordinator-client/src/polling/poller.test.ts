import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { RequestJobResult } from "../client.ts";
import type { Logger } from "../logger.ts";
import type { JobPayload } from "../payload.ts";
import { Secret } from "../secret.ts";
import { startPolling } from "./poller.ts";
import type { JobAssignment, PolledRunner, Poller, PollingOptions } from "./types.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("startPolling", () => {
  it("CP A24: asks once per second in all for 3 runners and a check interval of 3 s", async () => {
    const loop = start({ runners: [runner("a"), runner("b"), runner("c")], checkIntervalMs: 3000 });
    await pass(5999);
    expect(loop.requests).toEqual([
      { at: 0, runner: "a" },
      { at: 1000, runner: "b" },
      { at: 2000, runner: "c" },
      { at: 3000, runner: "a" },
      { at: 4000, runner: "b" },
      { at: 5000, runner: "c" },
    ]);
    await loop.poller.stop();
  });

  it("uses 3 s for a check interval of 0", async () => {
    const loop = start({ runners: [runner("a")], checkIntervalMs: 0 });
    await pass(6000);
    expect(loop.times("a")).toEqual([0, 3000, 6000]);
    await loop.poller.stop();
  });

  it("CP A19: asks again after the check interval when the connection was reset", async () => {
    const loop = start({ runners: [runner("a")], answer: (count) => (count === 0 ? { status: -1 } : {}) });
    await pass(3000);
    expect(loop.times("a")).toEqual([0, 3000]);
    await loop.poller.stop();
  });

  it("CP A22: does not ask a runner that was refused three times until an hour after its last healthy answer, then three times more", async () => {
    const refused = { status: 403, healthy: false };
    const loop = start({ runners: [runner("a")], answer: (count) => (count === 0 ? {} : refused) });
    await pass(HOUR - 1);
    expect(loop.times("a")).toEqual([0, 3000, 6000, 9000]);
    await pass(HOUR);
    expect(loop.times("a").slice(4)).toEqual([HOUR, HOUR + 3000, HOUR + 6000]);
    await loop.poller.stop();
  });

  it("CP A23: keeps asking a runner whose refusals were interrupted by a 409", async () => {
    const statuses = [403, 403, 409, 403, 403];
    const loop = start({
      runners: [runner("a")],
      answer: (count) => ({ status: statuses[count] ?? 204, healthy: statuses[count] !== 403 }),
    });
    await pass(18_000);
    expect(loop.times("a")).toEqual([0, 3000, 6000, 9000, 12_000, 15_000, 18_000]);
    await loop.poller.stop();
  });

  it("takes limits of its own for a runner that is refused", async () => {
    const own = { ...runner("a"), unhealthyRequestsLimit: 1, unhealthyIntervalMs: 10_000 };
    const loop = start({ runners: [own], answer: () => ({ status: 403, healthy: false }) });
    await pass(24_000);
    expect(loop.times("a")).toEqual([0, 12_000, 24_000]);
    await loop.poller.stop();
  });

  it("CP A25: asks at once again after a job when another worker is idle", async () => {
    const loop = start({
      runners: [runner("a")],
      concurrent: 2,
      answer: (count) => ({ job: count === 0 }),
      jobMs: 1000,
    });
    await pass(0);
    expect(loop.times("a")).toEqual([0, 0]);
    await finish(loop);
  });

  it("CP A25: asks only at the next turn after a job with a strict interval", async () => {
    const loop = start({
      runners: [{ ...runner("a"), strictCheckInterval: true }],
      concurrent: 2,
      answer: (count) => ({ job: count === 0 }),
      jobMs: 100,
    });
    await pass(2999);
    expect(loop.times("a")).toEqual([0]);
    await pass(1);
    expect(loop.times("a")).toEqual([0, 3000]);
    await loop.poller.stop();
  });

  it("does not wait for the interval between short jobs of a full queue", async () => {
    const loop = start({ runners: [runner("a")], answer: () => ({ job: true }), jobMs: 30 });
    await pass(300);
    expect(loop.times("a").slice(0, 4)).toEqual([0, 30, 60, 90]);
    await finish(loop);
  });

  it("asks once more after the last job, then waits for the next turn", async () => {
    const loop = start({ runners: [runner("a")], answer: (count) => ({ job: count < 2 }), jobMs: 100 });
    await pass(3000);
    expect(loop.times("a")).toEqual([0, 100, 200, 3000]);
    await loop.poller.stop();
  });

  it("asks nobody while all workers are busy", async () => {
    const loop = start({ runners: [runner("a"), runner("b")], answer: () => ({ job: true }), jobMs: MINUTE });
    await pass(MINUTE - 1);
    expect(loop.requests).toHaveLength(1);
    await finish(loop);
  });

  it.each([{ jobMs: 10 }, { jobMs: 10_000 }])(
    "JE 57: alternates between two full queues with one worker and jobs of $jobMs ms",
    async ({ jobMs }) => {
      const loop = start({ runners: [runner("a"), runner("b")], answer: () => ({ job: true }), jobMs });
      await pass(6 * jobMs);
      expect(loop.jobs.slice(0, 6).map((job) => job.runner)).toEqual(["a", "b", "a", "b", "a", "b"]);
      await finish(loop);
    },
  );

  it("JE 58: does not ask for a second job of a runner with a limit of 1 while one runs", async () => {
    const loop = start({
      runners: [{ ...runner("a"), limit: 1 }],
      concurrent: 4,
      answer: () => ({ job: true }),
      jobMs: 10_000,
    });
    await pass(9999);
    expect(loop.times("a")).toEqual([0]);
    await pass(1);
    expect(loop.times("a")).toEqual([0, 10_000]);
    await finish(loop);
  });

  it.each(["", "  \n"])(
    "JE 59: skips a runner whose token is %j with a warning, and the others work",
    async (token) => {
      const loop = start({ runners: [{ ...runner("blank"), token: new Secret(token) }, runner("b")] });
      await pass(3000);
      expect(loop.times("blank")).toEqual([]);
      expect(loop.times("b")).toEqual([0, 3000]);
      expect(loop.warnings).toEqual(["A runner without a token is skipped"]);
      await loop.poller.stop();
    },
  );

  it("keeps one request open per runner unless more are allowed", async () => {
    const hanging = Promise.withResolvers<void>();
    const loop = start({ runners: [runner("a"), runner("b")], concurrent: 8, hold: { a: hanging.promise } });
    await pass(9000);
    expect(loop.times("a")).toEqual([0]);
    expect(loop.times("b")).toEqual([1500, 4500, 7500]);
    hanging.resolve();
    await loop.poller.stop();
  });

  it("opens as many requests as allowed when it does not adapt", async () => {
    const hanging = Promise.withResolvers<void>();
    const loop = start({
      runners: [{ ...runner("a"), requestConcurrency: 3 }],
      concurrent: 8,
      hold: { a: hanging.promise },
      adaptiveRequestConcurrency: false,
    });
    await pass(30_000);
    expect(loop.times("a")).toEqual([0, 3000, 6000]);
    hanging.resolve();
    await loop.poller.stop();
  });

  it("starts with one request when it adapts, and allows a second one after a job", async () => {
    const hanging = Promise.withResolvers<void>();
    const loop = start({
      runners: [{ ...runner("a"), requestConcurrency: 3 }],
      concurrent: 8,
      answer: (count) => ({ job: count === 0 }),
      holdFrom: { count: 1, until: hanging.promise },
      jobMs: HOUR,
    });
    await pass(30_000);
    expect(loop.times("a")).toEqual([0, 0, 3000]);
    hanging.resolve();
    await finish(loop);
  });

  it("pauses longer and longer, with jitter, while the coordinator cannot answer", async () => {
    const loop = start({ runners: [runner("a")], answer: () => ({ status: 502 }), random: () => 0.5 });
    await pass(3 * MINUTE);
    const times = loop.times("a");
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    expect(gaps.slice(0, 7)).toEqual([3000, 4500, 7500, 13_500, 25_500, 31_500, 31_500]);
    await loop.poller.stop();
  });

  it("is back at the usual pace after one answer", async () => {
    const loop = start({
      runners: [runner("a")],
      answer: (count) => ({ status: count < 3 ? 429 : 204 }),
      random: () => 0,
    });
    await pass(15_000);
    const times = loop.times("a");
    expect(times.slice(0, 4)).toEqual([0, 3000, 6000, 9000]);
    await loop.poller.stop();
  });

  it("does not pause other runners of the same loop", async () => {
    const loop = start({
      runners: [runner("a"), runner("b")],
      answer: (_count, name) => (name === "a" ? { status: 503 } : {}),
      random: () => 1,
    });
    await pass(30_000);
    expect(loop.times("b")).toHaveLength(10);
    expect(loop.times("a").length).toBeLessThan(6);
    await loop.poller.stop();
  });

  it("takes room for a job before it asks for one, and gives it back", async () => {
    const log: string[] = [];
    const loop = start({
      runners: [runner("a")],
      answer: (count) => ({ job: count === 0 }),
      jobMs: 100,
      onRequest: () => log.push("request"),
      acquire: async () => {
        log.push("acquire");
        return { release: () => log.push("release") };
      },
    });
    await pass(150);
    expect(log).toEqual(["acquire", "request", "release", "acquire", "request", "release"]);
    await loop.poller.stop();
  });

  it("asks for no job where there is no room", async () => {
    const loop = start({ runners: [runner("a")], acquire: async () => undefined });
    await pass(9000);
    expect(loop.requests).toEqual([]);
    await loop.poller.stop();
  });

  it("asks for nothing any more when room is found only after the stop, whose signal ends the search", async () => {
    const log: string[] = [];
    const room = Promise.withResolvers<void>();
    const loop = start({
      runners: [runner("a")],
      acquire: async (_runner, { signal }) => {
        signal.addEventListener("abort", () => log.push("search ended"));
        await room.promise;
        return { release: () => log.push("release") };
      },
    });
    await pass(0);
    const stopped = loop.poller.stop();
    room.resolve();
    await stopped;
    expect({ log, requests: loop.requests, errors: loop.errors }).toEqual({
      log: ["search ended", "release"],
      requests: [],
      errors: [],
    });
  });

  it("runs a job with the runner that it was asked for with, although an update came in between", async () => {
    const answered = Promise.withResolvers<void>();
    const old = runner("a");
    const next = { ...old, name: "a, described anew" };
    const loop = start({
      runners: [old],
      hold: { a: answered.promise },
      answer: (count) => ({ job: count === 0 }),
      jobMs: 1000,
    });
    await pass(0);
    loop.poller.update({ runners: [next], concurrent: 1 });
    answered.resolve();
    await pass(1000);
    expect(loop.jobs.map((job) => job.runner)).toEqual(["a"]);
    expect(loop.requests.map((request) => request.runner)).toEqual(["a", "a, described anew"]);
    await finish(loop);
  });

  it("numbers running jobs per runner and per project, smallest free number first", async () => {
    const projects = [1, 2, 1, 1];
    const loop = start({
      runners: [runner("a")],
      concurrent: 3,
      answer: (count) => ({ job: count < 4, project: projects[count] ?? 0 }),
      jobMs: (count) => (count === 0 ? 1000 : 5000),
    });
    await pass(1000);
    expect(loop.jobs.map(({ assignment }) => assignment)).toEqual([
      { concurrentId: 0, concurrentProjectId: 0 },
      { concurrentId: 1, concurrentProjectId: 0 },
      { concurrentId: 2, concurrentProjectId: 1 },
      { concurrentId: 0, concurrentProjectId: 0 },
    ]);
    expect(loop.poller.runningJobs).toBe(3);
    await finish(loop);
  });

  it("asks for each of two runners with the same URL and token, and never gives their running jobs the same number", async () => {
    const same = { url: "https://gitlab.example.com", token: new Secret("one token"), limit: 1 };
    const runners = [
      { ...same, name: "first" },
      { ...same, name: "second" },
    ];
    const loop = start({ runners, concurrent: 4, checkIntervalMs: 2000, answer: () => ({ job: true }), jobMs: 5000 });
    await pass(1000);
    loop.poller.update({ runners: [], concurrent: 4 });
    loop.poller.update({ runners, concurrent: 4, checkIntervalMs: 2000 });
    await pass(3999);
    expect(loop.jobs).toEqual([
      { runner: "first", assignment: { concurrentId: 0, concurrentProjectId: 0 } },
      { runner: "second", assignment: { concurrentId: 1, concurrentProjectId: 1 } },
    ]);
    expect(loop.poller.runningJobs).toBe(2);
    await finish(loop);
  });

  it("hands on why a job must not run", async () => {
    const loop = start({
      runners: [runner("a")],
      answer: (count) => (count === 0 ? { job: true, rejection: "unknown option" } : {}),
    });
    await pass(0);
    expect(loop.jobs[0]?.assignment.rejection).toBe("unknown option");
    await finish(loop);
  });

  it("goes on after a job that ended in an unexpected way", async () => {
    const loop = start({ runners: [runner("a")], answer: (count) => ({ job: count === 0 }), jobFails: true });
    await pass(3000);
    expect(loop.times("a")).toEqual([0, 0, 3000]);
    expect(loop.errors).toEqual(["A job ended in an unexpected way"]);
    await loop.poller.stop();
  });

  it("lets an open request finish on a graceful stop, and runs the job that it brings", async () => {
    const hanging = Promise.withResolvers<void>();
    const loop = start({
      runners: [runner("a")],
      hold: { a: hanging.promise },
      answer: () => ({ job: true }),
      jobMs: 5000,
    });
    await pass(0);
    let stopped = false;
    const stop = loop.poller.stop().then(() => (stopped = true));
    hanging.resolve();
    await pass(4999);
    expect({ stopped, jobs: loop.jobs.length, requests: loop.requests.length }).toEqual({
      stopped: false,
      jobs: 1,
      requests: 1,
    });
    await pass(1);
    await stop;
    expect(loop.requests).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("cancels open requests when told so, also after a graceful stop began", async () => {
    const loop = start({ runners: [runner("a")], hold: { a: new Promise(() => {}) } });
    await pass(0);
    const graceful = loop.poller.stop();
    await loop.poller.stop({ cancelRequests: true });
    await graceful;
    expect(loop.errors).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("stops at once while a runner pauses", async () => {
    const loop = start({ runners: [runner("a")], answer: () => ({ status: 500 }), random: () => 1 });
    await pass(10_000);
    await loop.poller.stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("fills new workers at once when there are more after an update", async () => {
    const runners = [runner("a")];
    const loop = start({ runners, answer: () => ({ job: true }), jobMs: HOUR });
    await pass(1000);
    expect(loop.poller.runningJobs).toBe(1);
    loop.poller.update({ runners, concurrent: 3 });
    await pass(0);
    expect(loop.poller.runningJobs).toBe(3);
    await finish(loop);
  });

  it("asks a refused runner again after an update", async () => {
    const runners = [runner("a")];
    const loop = start({ runners, answer: () => ({ status: 403, healthy: false }) });
    await pass(MINUTE);
    expect(loop.times("a")).toHaveLength(3);
    loop.poller.update({ runners: [runner("a")], concurrent: 1 });
    await pass(0);
    expect(loop.times("a")).toHaveLength(4);
    await loop.poller.stop();
  });

  it("keeps counting the running jobs of a runner over an update, and asks removed ones no more", async () => {
    const limited = { ...runner("a"), limit: 1 };
    const loop = start({
      runners: [limited, runner("b")],
      concurrent: 4,
      answer: (_count, name) => ({ job: name === "a" }),
      jobMs: 10_000,
    });
    await pass(2000);
    loop.poller.update({ runners: [limited], concurrent: 4 });
    await pass(7999);
    expect(loop.times("a")).toEqual([0]);
    expect(loop.times("b")).toEqual([1500]);
    await finish(loop);
  });

  it.each([0, -1, 1.5, Number.NaN])("refuses %d workers", (concurrent) => {
    expect(() => start({ runners: [], concurrent })).toThrow(RangeError);
  });
});

interface Answer {
  readonly job?: boolean;
  readonly project?: number;
  readonly status?: number;
  readonly healthy?: boolean;
  readonly rejection?: string;
}

interface Loop {
  readonly poller: Poller<PolledRunner>;
  readonly requests: { at: number; runner: string }[];
  readonly jobs: { runner: string; assignment: JobAssignment }[];
  readonly warnings: string[];
  readonly errors: string[];
  times(name: string): number[];
}

/** Starts a loop whose coordinator answers by the number of requests so far; without a job unless told otherwise. */
function start(
  setup: Partial<Omit<PollingOptions<PolledRunner>, "request" | "dispatch">> & {
    readonly runners: readonly PolledRunner[];
    readonly answer?: (count: number, runner: string) => Answer;
    readonly hold?: Readonly<Record<string, Promise<void>>>;
    readonly holdFrom?: { readonly count: number; readonly until: Promise<void> };
    readonly jobMs?: number | ((count: number) => number);
    readonly jobFails?: boolean;
    readonly onRequest?: () => void;
  },
): Loop {
  const { answer = () => ({}), hold = {}, holdFrom, jobMs = 0, jobFails = false, onRequest, ...options } = setup;
  const loop: Omit<Loop, "poller" | "times"> = { requests: [], jobs: [], warnings: [], errors: [] };
  const poller = startPolling<PolledRunner>({
    concurrent: 1,
    logger: logInto(loop),
    ...options,
    request: async ({ name }, { signal }) => {
      const count = loop.requests.length;
      loop.requests.push({ at: Date.now(), runner: name });
      onRequest?.();
      await held(hold[name], signal);
      if (holdFrom !== undefined && count >= holdFrom.count) await held(holdFrom.until, signal);
      return requestResult(answer(count, name), count);
    },
    dispatch: async ({ name }, _job, assignment) => {
      const count = loop.jobs.length;
      loop.jobs.push({ runner: name, assignment });
      const ms = typeof jobMs === "function" ? jobMs(count) : jobMs;
      if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
      if (jobFails) throw new Error("broken");
    },
  });
  const times = (name: string): number[] =>
    loop.requests.filter((request) => request.runner === name).map(({ at }) => at);
  return { ...loop, poller, times };
}

async function held(gate: Promise<void> | undefined, signal: AbortSignal): Promise<void> {
  if (gate === undefined) return;
  const aborted = Promise.withResolvers<never>();
  signal.addEventListener("abort", () => aborted.reject(signal.reason));
  await Promise.race([gate, aborted.promise]);
}

function requestResult(answer: Answer, count: number): RequestJobResult {
  const { job = false, project = 1, healthy = true, rejection } = answer;
  const { status = job ? 201 : 204 } = answer;
  return {
    status,
    attempts: 1,
    throttled: status === 429 || status >= 500,
    requestId: "0".repeat(32),
    message: "",
    healthy,
    job: job ? ({ id: count, job_info: { project_id: project } } as JobPayload) : undefined,
    ...(rejection === undefined ? {} : { rejection }),
  };
}

function runner(name: string): PolledRunner {
  return { name, url: "https://gitlab.example.com", token: new Secret(`token of ${name}`) };
}

function logInto(loop: { readonly warnings: string[]; readonly errors: string[] }): Logger {
  return {
    debug: () => {},
    info: () => {},
    warn: (message) => loop.warnings.push(message),
    error: (message) => loop.errors.push(message),
  };
}

/** Stops the loop and lets all its jobs end. */
async function finish(loop: Loop): Promise<void> {
  const stopped = loop.poller.stop();
  await pass(2 * HOUR);
  await stopped;
}

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}
