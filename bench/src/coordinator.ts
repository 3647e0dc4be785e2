// What the log of a job costs: throughput of the trace, time until the coordinator has a line, memory and event loop of the runner.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  type JobView,
  type NewJob,
  type StartedCoordinator,
  startLocalCoordinator,
} from "@fleetfoot/local-coordinator";
import { SECRETS, writeLog } from "./coordinator-log.ts";
import { askFacts, type ProcessFacts, WATCH } from "./process-facts.ts";
import { fleetfootProgram, run } from "./process.ts";
import { median, percentile, spread } from "./statistics.ts";

const LOG_BYTES = 200_000_000;
const LIMIT_BYTES = 400_000_000;
const ROUNDS = 5;
const JOB_ROUNDS = 3;
const LINES = 400;
const LINE_PAUSE_S = 0.05;
const EDGE_BYTES = 64 * 1024;
const OPEN_JOBS = 100;
const OPEN_MS = 10_000;
const KEEP_TRACE = join(import.meta.dirname, "programs/keep-trace.ts");

export async function measure(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-bench-"));
  try {
    const log = join(folder, "log.txt");
    await writeLog(log, LOG_BYTES);
    await measureTrace(folder, log);
    await measureJob(folder, log);
    for (const intervalS of [1, 3]) await measureLatency(folder, intervalS);
    await measureOpenJobs(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The trace alone, in a process of its own, turn and turn about with `sed` and the same values. */
async function measureTrace(folder: string, log: string): Promise<void> {
  const plain: number[] = [];
  const stamped: number[] = [];
  const sed: number[] = [];
  const facts: ProcessFacts[] = [];
  const expressions = SECRETS.map((secret) => `-e 's/${secret}/[MASKED]/g'`).join(" ");
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [rates, timestamps] of [
      [plain, "plain"],
      [stamped, "timestamps"],
    ] as const) {
      const kept = await keepTrace(folder, log, timestamps);
      rates.push(toRate(kept.milliseconds));
      facts.push(kept.facts);
    }
    const { milliseconds } = await run("sh", ["-c", `cat ${log} | sed ${expressions} > ${join(folder, "sed.txt")}`], {
      environment: { LC_ALL: "C" },
    });
    sed.push(toRate(milliseconds));
  }
  const ratio = (rates: readonly number[]): string =>
    median(rates.map((rate, round) => rate / (sed[round] ?? Number.NaN))).toFixed(2);
  console.log(
    `trace of ${LOG_BYTES / 1e6} MB with ${SECRETS.length} masked values: ${spread(plain, "MB/s")}, with timestamps ${spread(stamped, "MB/s")} (to reach 100); ` +
      `sed ${spread(sed, "MB/s")}, ratios ${ratio(plain)} and ${ratio(stamped)}`,
  );
  console.log(`  ${describe(facts)}`);
}

async function keepTrace(
  folder: string,
  log: string,
  timestamps: "plain" | "timestamps",
): Promise<{ readonly milliseconds: number; readonly facts: ProcessFacts }> {
  const words = ["--import", WATCH, KEEP_TRACE, log, folder, String(LIMIT_BYTES), timestamps, ...SECRETS];
  const child = spawn(process.execPath, words, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const [{ milliseconds }] = (await once(child, "message")) as [{ milliseconds: number }];
  const facts = await askFacts(child);
  child.disconnect();
  await once(child, "exit");
  return { milliseconds, facts };
}

/** A whole job: a shell, the trace, and all of it sent to the coordinator. */
async function measureJob(folder: string, log: string): Promise<void> {
  await withRunner(folder, { concurrent: 1, intervalS: 3 }, async ({ coordinator, runner }) => {
    const kept: number[] = [];
    const stored: number[] = [];
    const facts: ProcessFacts[] = [];
    await askFacts(runner);
    for (let round = 0; round < JOB_ROUNDS; round += 1) {
      const view = await coordinator.addJob(shellJob([`cat ${log}`], true)).finished;
      if (view.status !== "success" || view.finalUpdate?.traceMatches !== true)
        throw new Error(`Job ${view.id} ended with ${view.status}: ${view.failureReason}`);
      kept.push(toRate(await printingMs(coordinator, view)));
      stored.push(toRate((view.finishedAtMs ?? Number.NaN) - (view.startedAtMs ?? Number.NaN)));
      facts.push(await askFacts(runner));
    }
    console.log(
      `job that prints ${LOG_BYTES / 1e6} MB, with timestamps: ${spread(kept, "MB/s")} from its first to its last line (to reach 100); received to all stored at the coordinator ${spread(stored, "MB/s")}`,
    );
    console.log(`  ${describe(facts)}`);
  });
}

/** Time between the first and the last line of a job's own output, by the log itself. */
async function printingMs(coordinator: StartedCoordinator, job: JobView): Promise<number> {
  const { bytes: size } = job.trace;
  const [start, end] = await Promise.all([
    coordinator.readTrace(job.id, { maxBytes: EDGE_BYTES }),
    coordinator.readTrace(job.id, { offset: size - EDGE_BYTES }),
  ]);
  const times = [start, end].map((edge) =>
    [
      ...Buffer.from(edge)
        .toString("latin1")
        .matchAll(/(\S{27}) 01O/g),
    ].map(([, time]) => Date.parse(time ?? "")),
  );
  return (times[1]?.at(-1) ?? Number.NaN) - (times[0]?.[0] ?? Number.NaN);
}

/** A job that prints the time; the coordinator knows when it has that line. */
async function measureLatency(folder: string, intervalS: number): Promise<void> {
  await withRunner(folder, { concurrent: 1, intervalS }, async ({ coordinator, runner }) => {
    const latencies: number[] = [];
    await askFacts(runner);
    const end = coordinator.subscribe((event) => {
      if (event.kind !== "trace") return;
      const storedAt = Date.now();
      for (const [, printedAt] of Buffer.from(event.bytes)
        .toString("latin1")
        .matchAll(/printed-at (\d{13})/g))
        latencies.push(storedAt - Number(printedAt));
    });
    const script = `for i in $(seq ${LINES}); do date +"printed-at %s%3N"; sleep ${LINE_PAUSE_S}; done`;
    const view = await coordinator.addJob(shellJob([script])).finished;
    end();
    if (view.status !== "success" || latencies.length < LINES)
      throw new Error(`Job ${view.id} ended with ${view.status}`);
    console.log(
      `line printed to line stored, the coordinator asking for an update every ${intervalS} s: p50 ${percentile(latencies, 50).toFixed(0)} ms, p99 ${percentile(latencies, 99).toFixed(0)} ms`,
    );
    console.log(`  ${describe([await askFacts(runner)])}`);
  });
}

/** Many jobs at once, each printing a line a second. */
async function measureOpenJobs(folder: string): Promise<void> {
  await withRunner(folder, { concurrent: OPEN_JOBS, intervalS: 3 }, async ({ coordinator, runner }) => {
    const idle = await askFacts(runner);
    const lines = (2 * OPEN_MS) / 1000;
    const script = `for i in $(seq ${lines}); do echo "line $i"; sleep 1; done`;
    const jobs = Array.from({ length: OPEN_JOBS }, () => coordinator.addJob(shellJob([script], true)));
    while (coordinator.jobs.filter(({ status }) => status === "running").length < OPEN_JOBS) await pause(50);
    await pause(OPEN_MS);
    const open = await askFacts(runner);
    await Promise.all(jobs.map((job) => job.finished));
    console.log(
      `${OPEN_JOBS} open jobs: resident ${open.residentMb.toFixed(0)} MB, idle ${idle.residentMb.toFixed(0)} MB, ${((open.residentMb - idle.residentMb) / OPEN_JOBS).toFixed(2)} MB per job`,
    );
    console.log(`  ${describe([open])}`);
  });
}

function shellJob(script: readonly string[], hasSecrets = false): NewJob {
  const secrets = hasSecrets ? SECRETS.map((value, index) => ({ key: `SECRET_${index}`, value, masked: true })) : [];
  return { variables: [{ key: "GIT_STRATEGY", value: "none" }, ...secrets], steps: [{ name: "script", script }] };
}

async function withRunner(
  folder: string,
  settings: { readonly concurrent: number; readonly intervalS: number },
  action: (world: { readonly coordinator: StartedCoordinator; readonly runner: ChildProcess }) => Promise<void>,
): Promise<void> {
  const home = await mkdtemp(join(folder, "runner-"));
  await using coordinator = await startLocalCoordinator({
    stateDirectory: join(home, "coordinator"),
    longPolling: { holdMs: 10_000, onWake: "assign" },
    traceUpdateIntervalSeconds: settings.intervalS,
    maxTraceBytes: LIMIT_BYTES,
  });
  const { token } = coordinator.createRunner();
  const config = join(home, "config.toml");
  await writeFile(
    config,
    `concurrent = ${settings.concurrent}\ncheck_interval = 1\n\n[[runners]]\nname = "bench"\nurl = "${coordinator.url}"\ntoken = "${token}"\nexecutor = "shell"\noutput_limit = ${LIMIT_BYTES / 1000}\nrequest_concurrency = ${settings.concurrent}\n`,
  );
  const words = ["--import", WATCH, fleetfootProgram, "run", "--config", config, "--working-directory", home];
  const runner = spawn(process.execPath, words, {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    // Jobs run in login shells, whose start is as slow as the user's profile; a home without one leaves that out.
    env: { ...process.env, HOME: home },
  });
  const ended = once(runner, "exit");
  try {
    await new Promise<void>((resolve) => {
      runner.stderr?.on("data", (text: Buffer) => {
        if (text.includes("Waiting for jobs")) resolve();
      });
    });
    await action({ coordinator, runner });
  } finally {
    runner.kill("SIGTERM");
    await ended;
  }
}

function describe(facts: readonly ProcessFacts[]): string {
  const most = (key: keyof ProcessFacts): number => Math.max(...facts.map((each) => each[key]));
  return `event loop delay p99 ${most("delayP99Ms").toFixed(1)} ms (to stay under 50), max ${most("delayMaxMs").toFixed(1)} ms; at most ${most("peakResidentMb").toFixed(0)} MB resident`;
}

function toRate(milliseconds: number): number {
  return LOG_BYTES / 1000 / milliseconds;
}
