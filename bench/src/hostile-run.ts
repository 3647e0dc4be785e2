import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JobView, LocalCoordinator } from "@fleetfoot/local-coordinator";
import { hostileFaults, startTestCoordinator } from "@fleetfoot/local-coordinator/testing";
import { askFacts, openTcpSockets, type ProcessFacts, WATCH } from "./process-facts.ts";

export interface HostileRunOptions {
  readonly jobs: number;
  readonly concurrent: number;
  /** Share of requests that meet a fault, from 0 to 1. */
  readonly faultRatio: number;
  readonly seed: number;
  /** Words for Node that start `fleetfoot`. */
  readonly program: readonly string[];
  /** Told now and then how many jobs have ended. @default nobody is told */
  readonly onProgress?: (ended: number) => void;
}

/** What came of it. */
export interface HostileRunFacts {
  readonly durationMs: number;
  readonly requests: number;
  readonly faults: number;
  /** Jobs that ended otherwise than with success, with the reason. */
  readonly failed: readonly string[];
  /** Jobs that ran more or less often than once, with the number. */
  readonly notOnce: readonly string[];
  /** Jobs whose stored log differs in size or CRC from what the runner says of it, or lacks a line. */
  readonly wrongLogs: readonly string[];
  readonly maxSockets: number;
  /** Of the runner, when a tenth of the jobs had ended. */
  readonly first: ProcessFacts;
  /** Of the runner, at the end. */
  readonly last: ProcessFacts;
}

const SAMPLE_MS = 100;

/**
 * Runs jobs with a coordinator in trouble: it answers a share of all requests with throttling, errors, broken connections, stalled bodies,
 * refused offsets, lost logs and results that it does not accept yet. Everything else is real: `fleetfoot run` in a process of its own, with
 * shell jobs.
 */
export async function hostileRun(options: HostileRunOptions): Promise<HostileRunFacts> {
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-hostile-"));
  const runs = join(folder, "runs.txt");
  await writeFile(runs, "");
  await using server = await startTestCoordinator({
    stateDirectory: join(folder, "coordinator"),
    traceUpdateIntervalSeconds: 1,
    // A job whose answer was lost comes back after that; nothing that is confirmed at all takes so long.
    confirmationTimeoutMs: 30_000,
  });
  const { coordinator } = server;
  const runner = await startRunner(folder, coordinator, server.url, options);
  try {
    server.faults.addRandom({ ratio: options.faultRatio, seed: options.seed, faults: hostileFaults });
    const startedAt = performance.now();
    const sockets = watchSockets(runner, new URL(server.url).port);
    const { views, first } = await runJobs(coordinator, options, runs, runner);
    const durationMs = performance.now() - startedAt;
    const maxSockets = sockets.end();
    const last = await askFacts(runner);
    const counts = countLines(await readFile(runs, "utf8"));
    const logs = await Promise.all(views.map((view) => describeLog(coordinator, view)));
    return {
      durationMs,
      requests: server.requests.length,
      faults: server.requests.filter(({ fault }) => fault !== undefined).length,
      failed: views.flatMap(({ id, status, failureReason }) =>
        status === "success" ? [] : [`job ${id}: ${status} ${failureReason}`],
      ),
      notOnce: views.flatMap(({ id }) => (counts.get(id) === 1 ? [] : [`job ${id}: ${counts.get(id) ?? 0} times`])),
      wrongLogs: logs.flatMap((log) => log ?? []),
      maxSockets,
      first,
      last,
    };
  } finally {
    server.faults.clear();
    const ended = once(runner, "exit");
    runner.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true, force: true });
  }
}

async function startRunner(
  folder: string,
  coordinator: LocalCoordinator,
  url: string,
  { concurrent, program }: HostileRunOptions,
): Promise<ChildProcess> {
  const config = join(folder, "config.toml");
  // A runner whose requests are throttled asks one at a time; so that the jobs are what is slow, each place has a runner of its own.
  const runners = Array.from({ length: concurrent }, (_, index) => {
    const { token } = coordinator.createRunner();
    return `[[runners]]\nname = "hostile-${index}"\nurl = "${url}"\ntoken = "${token}"\nexecutor = "shell"\nlimit = 1\n`;
  });
  await writeFile(config, [`concurrent = ${concurrent}\ncheck_interval = 1\n`, ...runners].join("\n"));
  const words = ["--expose-gc", "--import", WATCH, ...program, "run", "--config", config];
  const runner = spawn(process.execPath, [...words, "--working-directory", folder], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    env: { PATH: process.env["PATH"], HOME: folder },
  });
  let printed = "";
  const waiting = Promise.withResolvers<void>();
  runner.stderr?.on("data", (text: Buffer) => {
    printed = (printed + text.toString()).slice(-4000);
    if (printed.includes("Waiting for jobs")) waiting.resolve();
  });
  runner.once("exit", (code) => waiting.reject(new Error(`The runner ended with ${code}:\n${printed}`)));
  await waiting.promise;
  return runner;
}

/** Lines of the logs: a few, some hundred, and more than fits one piece. */
const LINES = [3, 40, 400, 20_000];

async function runJobs(
  coordinator: LocalCoordinator,
  { jobs, onProgress = () => undefined }: HostileRunOptions,
  runs: string,
  runner: ChildProcess,
): Promise<{ readonly views: readonly JobView[]; readonly first: ProcessFacts }> {
  let ended = 0;
  const tenth = Promise.withResolvers<void>();
  const first = tenth.promise.then(() => askFacts(runner));
  const views = await Promise.all(
    Array.from({ length: jobs }, async (_, index) => {
      // One job in fifty prints for a while, so that its log goes in several pieces while it runs.
      const lines = LINES[index % 50 === 0 ? 3 : index % 3] ?? 0;
      const pause = index % 50 === 0 ? "sleep 2; " : "";
      const { finished } = coordinator.addJob({
        variables: [{ key: "GIT_STRATEGY", value: "none" }],
        steps: [
          {
            name: "script",
            script: [
              `echo $CI_JOB_ID >> ${runs}`,
              `seq -f "line-%.0f-of-job-$CI_JOB_ID-" ${lines}; ${pause}echo last-line`,
            ],
          },
        ],
      });
      const view = await finished;
      ended += 1;
      if (ended === Math.ceil(jobs / 10)) tenth.resolve();
      if (ended % 100 === 0) onProgress(ended);
      return view;
    }),
  );
  return { views, first: await first };
}

function countLines(text: string): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const line of text.split("\n")) counts.set(Number(line), (counts.get(Number(line)) ?? 0) + 1);
  return counts;
}

/** Undefined when the stored log is what the runner had. */
async function describeLog(coordinator: LocalCoordinator, view: JobView): Promise<string | undefined> {
  if (view.finalUpdate?.traceMatches !== true) return `job ${view.id}: size or CRC differ`;
  const text = Buffer.from(await coordinator.readTrace(view.id)).toString("utf8");
  return text.includes("last-line") && text.includes("Job succeeded") ? undefined : `job ${view.id}: lines are missing`;
}

/** Counts the open sockets of the runner now and then until it is ended; gives the most. */
function watchSockets(runner: ChildProcess, port: string): { readonly end: () => number } {
  let most = 0;
  const timer = setInterval(() => {
    void openTcpSockets(runner.pid ?? 0, Number(port)).then((count) => {
      most = Math.max(most, count);
    });
  }, SAMPLE_MS);
  return {
    end: () => {
      clearInterval(timer);
      return most;
    },
  };
}
