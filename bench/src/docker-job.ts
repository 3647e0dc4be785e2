// How long an empty job in a container takes in `fleetfoot run`, against the engine's own bare minimum, turn and turn about.
import { importImage, requireProgram, startDockerEngine } from "@fleetfoot-tooling/systems";
import type { JobView, StartedCoordinator } from "@fleetfoot/local-coordinator";
import { withDockerRunner } from "./docker-runner.ts";
import { peakMemoryMb } from "./peak-memory.ts";
import { run } from "./process.ts";
import { median, spread } from "./statistics.ts";

const ROUNDS = 20;
const WARM_UP_ROUNDS = 2;
const JOBS_AT_FOUR = 40;

/** Of GitLab Runner 19.4 on a machine of this size, for orientation: it cannot be installed from a package registry. */
const REFERENCE = { ratio: "5.5", perMinute: "46" };

export async function measure(): Promise<void> {
  await using engine = await startDockerEngine();
  const image = await importImage(engine);
  const { path: docker } = await requireProgram("docker", "the bare minimum of an engine");
  const bareRun = (): Promise<number> =>
    run(docker, ["--host", engine.dockerHost, "run", "--rm", image, "true"]).then(({ milliseconds }) => milliseconds);
  const one = await withDockerRunner({ engine, image, concurrent: 1 }, async ({ coordinator, runner }) => {
    const jobs: number[] = [];
    const bare: number[] = [];
    for (let round = 0; round < ROUNDS + WARM_UP_ROUNDS; round += 1) {
      const job = duration(await finishedJob(coordinator));
      const milliseconds = await bareRun();
      if (round < WARM_UP_ROUNDS) continue;
      jobs.push(job);
      bare.push(milliseconds);
    }
    return { jobs, bare, peakMb: await peakMemoryMb(runner.pid ?? Number.NaN) };
  });
  const four = await withDockerRunner({ engine, image, concurrent: 4 }, async ({ coordinator, runner }) => {
    const jobs = await Promise.all(Array.from({ length: JOBS_AT_FOUR }, () => finishedJob(coordinator)));
    const startedAt = Math.min(...jobs.map((job) => job.startedAtMs ?? Number.NaN));
    const finishedAt = Math.max(...jobs.map((job) => job.finishedAtMs ?? Number.NaN));
    return {
      perMinute: (JOBS_AT_FOUR * 60_000) / (finishedAt - startedAt),
      peakMb: await peakMemoryMb(runner.pid ?? Number.NaN),
    };
  });
  const barePerMinute = await perMinuteAtFour(bareRun);
  console.log(`empty job, received to final update: ${spread(one.jobs, "ms")} (${ROUNDS} jobs)`);
  console.log(`docker run --rm ${image} true: ${spread(one.bare, "ms")}`);
  const ratio = median(one.jobs) / median(one.bare);
  console.log(`ratio: ${ratio.toFixed(2)}; to reach 2.0; GitLab Runner ${REFERENCE.ratio}`);
  console.log(`jobs per minute at 4: ${four.perMinute.toFixed(0)}; to reach 120; GitLab Runner ${REFERENCE.perMinute}`);
  console.log(`docker run --rm per minute at 4: ${barePerMinute.toFixed(0)}`);
  console.log(`most resident memory: ${one.peakMb.toFixed(0)} MB one by one, ${four.peakMb.toFixed(0)} MB at 4`);
}

/** What the engine itself gets done when four ask it all the time. */
async function perMinuteAtFour(work: () => Promise<unknown>): Promise<number> {
  let left = JOBS_AT_FOUR;
  const startedAt = performance.now();
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await work();
    }
  };
  await Promise.all(Array.from({ length: 4 }, worker));
  return (JOBS_AT_FOUR * 60_000) / (performance.now() - startedAt);
}

async function finishedJob(coordinator: StartedCoordinator): Promise<JobView> {
  const view = await coordinator.addJob({
    variables: [{ key: "GIT_STRATEGY", value: "none" }],
    steps: [{ name: "script", script: ["true"] }],
  }).finished;
  if (view.status !== "success") throw new Error(`Job ${view.id} ended with ${view.status}: ${view.failureReason}`);
  return view;
}

function duration(job: JobView): number {
  return (job.finishedAtMs ?? Number.NaN) - (job.startedAtMs ?? Number.NaN);
}
