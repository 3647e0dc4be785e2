// How long a shell job takes in `fleetfoot run`, how many a minute it runs, and how much memory it needs.
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  type JobView,
  type NewJob,
  type StartedCoordinator,
  startLocalCoordinator,
} from "@fleetfoot/local-coordinator";
import { residentMb, startFleetfootRun, stopFleetfootRun } from "./fleetfoot-run.ts";
import { median, spread } from "./statistics.ts";

const LATENCY_JOBS = 20;
const WARM_UP_JOBS = 3;
const THROUGHPUT_JOBS = 200;
const SAMPLE_MS = 50;
const IDLE_MS = 2000;
const POLL_HOLD_MS = 10_000;

/** Of GitLab Runner 19.4 on a machine of this size, for orientation: it cannot be installed from a package registry. */
const REFERENCE = { latency: "393 ms", at4: "167/min", at16: "220/min", memory: "39-42 MB" };

export async function measure(): Promise<void> {
  const one = await withRunner(1, async (bench) => {
    const idleMb = await bench.residentMb();
    for (let index = 0; index < WARM_UP_JOBS; index += 1) await bench.runJob();
    const latencies: number[] = [];
    for (let index = 0; index < LATENCY_JOBS; index += 1) latencies.push(duration(await bench.runJob()));
    return { idleMb, latencies };
  });
  const four = await withRunner(4, (bench) => bench.runJobs(THROUGHPUT_JOBS));
  const sixteen = await withRunner(16, (bench) => bench.runJobs(THROUGHPUT_JOBS));

  console.log(
    `job received to final update, ${LATENCY_JOBS} jobs one by one: median ${spread(one.latencies, "ms")}; to reach 100 ms; GitLab Runner ${REFERENCE.latency}`,
  );
  console.log(`jobs per minute at 4: ${four.perMinute.toFixed(0)}; GitLab Runner ${REFERENCE.at4}`);
  console.log(`jobs per minute at 16: ${sixteen.perMinute.toFixed(0)}; to reach 800; GitLab Runner ${REFERENCE.at16}`);
  console.log(
    `resident memory: idle ${one.idleMb.toFixed(0)} MB (to reach 90), at most ${sixteen.peakMb.toFixed(0)} MB at 16; GitLab Runner ${REFERENCE.memory}`,
  );
  console.log(`latency against the reference: ${(median(one.latencies) / 393).toFixed(2)}`);
}

interface Bench {
  runJob(): Promise<JobView>;
  runJobs(count: number): Promise<{ readonly perMinute: number; readonly peakMb: number }>;
  residentMb(): Promise<number>;
}

async function withRunner<Result>(concurrent: number, action: (bench: Bench) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-bench-"));
  await using coordinator = await startLocalCoordinator({
    stateDirectory: join(folder, "coordinator"),
    longPolling: { holdMs: POLL_HOLD_MS, onWake: "assign" },
  });
  const runner = await startFleetfootRun({ coordinator, folder, concurrent });
  try {
    await pause(IDLE_MS);
    return await action({
      runJob: () => finishedJob(coordinator),
      runJobs: (count) => runAll(coordinator, runner, count),
      residentMb: async () => (await residentMb(runner)).now,
    });
  } finally {
    await stopFleetfootRun(runner);
    await rm(folder, { recursive: true });
  }
}

async function runAll(
  coordinator: StartedCoordinator,
  runner: ChildProcess,
  count: number,
): Promise<{ readonly perMinute: number; readonly peakMb: number }> {
  let peakMb = 0;
  const sampler = setInterval(() => {
    void residentMb(runner).then(({ now }) => {
      peakMb = Math.max(peakMb, now);
    });
  }, SAMPLE_MS);
  const jobs = await Promise.all(Array.from({ length: count }, () => finishedJob(coordinator)));
  clearInterval(sampler);
  const startedAt = Math.min(...jobs.map((job) => job.startedAtMs ?? Number.NaN));
  const finishedAt = Math.max(...jobs.map((job) => job.finishedAtMs ?? Number.NaN));
  return { perMinute: (count * 60_000) / (finishedAt - startedAt), peakMb };
}

async function finishedJob(coordinator: StartedCoordinator): Promise<JobView> {
  const job: NewJob = {
    variables: [{ key: "GIT_STRATEGY", value: "none" }],
    steps: [{ name: "script", script: ["echo hello"] }],
  };
  const view = await coordinator.addJob(job).finished;
  if (view.status !== "success") throw new Error(`Job ${view.id} ended with ${view.status}: ${view.failureReason}`);
  return view;
}

function duration(job: JobView): number {
  return (job.finishedAtMs ?? Number.NaN) - (job.startedAtMs ?? Number.NaN);
}
