// Many jobs in containers that print a lot at the same time: what of it arrives, and how much memory `fleetfoot run` needs for that.
import { importImage, startDockerEngine } from "@fleetfoot-tooling/systems";
import type { StartedCoordinator } from "@fleetfoot/local-coordinator";
import { withDockerRunner } from "./docker-runner.ts";
import { peakMemoryMb } from "./peak-memory.ts";

const JOBS = 20;
const MEGABYTES = 50;
const LINE = "0123456789".repeat(7);
/** Kilobytes; above what a job prints. */
const OUTPUT_LIMIT = 60_000;
/** Times in front of the lines would be a third of the log. */
const SETTINGS = `output_limit = ${OUTPUT_LIMIT}\n[runners.feature_flags]\nFF_TIMESTAMPS = false\n`;

export async function measure(): Promise<void> {
  await using engine = await startDockerEngine();
  const image = await importImage(engine);
  for (const count of [1, JOBS]) {
    const result = await withDockerRunner(
      { engine, image, concurrent: count, settings: SETTINGS },
      async ({ coordinator, runner }) => {
        const startedAt = performance.now();
        const jobs = await Promise.all(Array.from({ length: count }, (_, index) => finishedJob(coordinator, index)));
        const seconds = (performance.now() - startedAt) / 1000;
        return { jobs, seconds, peakMb: await peakMemoryMb(runner.pid ?? Number.NaN) };
      },
    );
    const whole = result.jobs.filter((job) => job.hasAll && job.exitCode === job.wantedCode).length;
    const speed = (count * MEGABYTES) / result.seconds;
    console.log(
      `${count} jobs of ${MEGABYTES} MB: ${whole} with every byte and the right exit code, ${speed.toFixed(0)} MB/s, most resident memory ${result.peakMb.toFixed(0)} MB`,
    );
    if (whole < count) throw new Error("output or exit codes were lost");
  }
}

interface Finished {
  readonly hasAll: boolean;
  readonly exitCode: number | undefined;
  readonly wantedCode: number;
}

async function finishedJob(coordinator: StartedCoordinator, index: number): Promise<Finished> {
  const wantedCode = index + 1;
  const bytes = MEGABYTES * 1_000_000;
  const view = await coordinator.addJob({
    variables: [{ key: "GIT_STRATEGY", value: "none" }],
    steps: [{ name: "script", script: [`yes ${LINE} | head -c ${bytes} || true`, `exit ${wantedCode}`] }],
  }).finished;
  const log = Buffer.from(await coordinator.readTrace(view.id)).toString("latin1");
  const start = log.indexOf(`\n${LINE}\n`) + 1;
  const expected = `${LINE}\n`.repeat(Math.ceil(bytes / (LINE.length + 1))).slice(0, bytes);
  return { hasAll: log.slice(start, start + bytes) === expected, exitCode: view.exitCode, wantedCode };
}
