// How long a shell job waits for its cache: a `node_modules` of 50,000 files, restored from MinIO and saved by `fleetfoot run`, on a host that
// has never seen it and on one that has. The job itself changes nothing.
import type { ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GitRepository, type GitServer, type Minio, startGitServer, startMinio } from "@fleetfoot-tooling/systems";
import { type NewJob, type StartedCoordinator, startLocalCoordinator } from "@fleetfoot/local-coordinator";
import { requireDataSet } from "./cache-archive/data-sets.ts";
import { verify } from "./cache-archive/verify.ts";
import { type CountingForwarder, startCountingForwarder } from "./counting-forwarder.ts";
import { residentMb, startFleetfootRun, stopFleetfootRun } from "./fleetfoot-run.ts";
import { repositoryRoot, run } from "./process.ts";
import { sectionTimes } from "./section-times.ts";
import { median, spread } from "./statistics.ts";

const BUCKET = "caches";
const WARM_JOBS = 2;
const POLL_HOLD_MS = 10_000;
const createFiles = join(repositoryRoot, "bench/src/programs/create-files.ts");

/** Of GitLab Runner 19.4 on a machine of this size, for orientation: it cannot be installed from a package registry. */
const REFERENCE = "GitLab Runner restores in 24 s and saves in 23 s, with its fast archiver 13 s and 15 s";
const TARGETS = { coldMs: 11_000, warmMs: 2000, restoreAgain: 0.25, saveUnchanged: 0.15 };

/** What the two stages of one job took. */
interface Sample {
  readonly restoreMs: number;
  readonly saveMs: number;
  readonly log: string;
}

/** What the cache costs a job, row by row. */
interface Samples {
  readonly first: Sample[];
  readonly cold: Sample[];
  readonly warm: Sample[];
  readonly over: Sample[];
  readonly floorMs: number[];
  readonly peakMb: { cold: number; warm: number };
}

/** `npm run bench -- cache-job [--rounds=N]` */
export async function measure(): Promise<void> {
  const words = process.argv.slice(3);
  const rounds = Number(words.find((word) => word.startsWith("--rounds="))?.slice("--rounds=".length) ?? 3);
  const set = await requireDataSet("modules");
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-bench-"));
  try {
    await using minio = await startMinio();
    await minio.createBucket(BUCKET);
    await using git = await startGitServer();
    await using coordinator = await startLocalCoordinator({
      stateDirectory: join(folder, "coordinator"),
      longPolling: { holdMs: POLL_HOLD_MS, onWake: "assign" },
    });
    const bench: Bench = { coordinator, minio, job: await jobOf(git), folder, source: set.root };
    const samples: Samples = { first: [], cold: [], warm: [], over: [], floorMs: [], peakMb: { cold: 0, warm: 0 } };
    // Fills the bucket, as the first job of a project does.
    await withHost(bench, "first", async (host) => {
      samples.first.push(await host.runJob({ script: `cp -a '${set.root}' node_modules` }));
    });
    const stored = await objectsOf(minio);
    await countBytes(bench);
    for (let round = 0; round < rounds; round += 1) await measureRound(bench, samples, round);
    if ((await objectsOf(minio)) !== stored) throw new Error("a job that changed nothing replaced the stored cache");
    print(samples, rounds);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Bench {
  readonly coordinator: StartedCoordinator;
  readonly minio: Minio;
  readonly job: (order: JobOrder) => NewJob;
  readonly folder: string;
  /** The tree that the cache holds. */
  readonly source: string;
}

interface JobOrder {
  readonly script: string;
  /** Without it the working copy is as the job before left it, and nothing says what has become of its caches. @default true */
  readonly sources?: boolean;
}

interface Host {
  runJob(order: JobOrder): Promise<Sample>;
  readonly process: ChildProcess;
  /** Where its jobs work. */
  readonly folder: string;
}

async function jobOf(git: GitServer): Promise<Bench["job"]> {
  const repository: GitRepository = await git.createRepository("project", { ".gitignore": "node_modules/\n" });
  const sha = (await repository.git("rev-parse", "main")).trim();
  return ({ script, sources = true }) => ({
    allow_git_fetch: true,
    git_info: { repo_url: repository.url, sha, ref: "main", refspecs: ["+refs/heads/*:refs/remotes/origin/*"] },
    variables: [{ key: "GIT_STRATEGY", value: sources ? "fetch" : "none" }],
    steps: [{ name: "script", script: [script] }],
    cache: [{ key: "modules", paths: ["node_modules"], policy: "pull-push", when: "on_success" }],
  });
}

/** A runner with empty folders of its own, whose caches go to the bucket. What it makes stays: removing it would burden who comes next. */
async function withHost(
  { coordinator, minio, job, folder: parent }: Bench,
  name: string,
  action: (host: Host) => Promise<void>,
  forwarder?: CountingForwarder,
): Promise<void> {
  const folder = join(parent, name);
  await mkdir(folder);
  const address = forwarder?.address ?? new URL(minio.endpoint).host;
  const settings = `[runners.cache]\nType = "s3"\nShared = true\n[runners.cache.s3]\nServerAddress = "${address}"\nInsecure = true\nBucketName = "${BUCKET}"\nBucketLocation = "${minio.region}"\nAccessKey = "${minio.accessKeyId}"\nSecretKey = "${minio.secretAccessKey}"\n`;
  const process = await startFleetfootRun({ coordinator, folder, concurrent: 1, settings });
  const runJob = async (order: JobOrder): Promise<Sample> => {
    const view = await coordinator.addJob(job(order)).finished;
    const log = Buffer.from(await coordinator.readTrace(view.id)).toString("utf8");
    if (view.status !== "success") throw new Error(`Job ${view.id} ended with ${view.failureReason}:\n${log}`);
    const times = sectionTimes(log);
    const time = (section: string): number => times.get(section) ?? Number.NaN;
    return { restoreMs: time("restore_cache"), saveMs: time("archive_cache"), log };
  };
  try {
    await action({ runJob, process, folder });
  } finally {
    await stopFleetfootRun(process);
  }
}

/** The first round takes no times: everything goes through a counter, and the trees are compared with their source. */
async function countBytes(bench: Bench): Promise<void> {
  const { hostname, port } = new URL(bench.minio.endpoint);
  await using forwarder = await startCountingForwarder(hostname, Number(port));
  await withHost(
    bench,
    "counted",
    async (host) => {
      const project = join(host.folder, "builds");
      const check = async (name: string, order: JobOrder, line: string): Promise<void> => {
        const { log } = await host.runJob(order);
        const { up, down } = forwarder.takeCounts();
        console.log(`${name}: ${bytes(down)} down, ${bytes(up)} up`);
        if (!log.includes(line)) throw new Error(`the log of the ${name} job does not say "${line}":\n${log}`);
        await verify(bench.source, await findTree(project));
      };
      await check("cold", { script: "true" }, "downloaded from s3");
      await check("warm", { script: "true" }, "the files of the job before are unchanged");
      await check("over a tree without a record", { script: "true", sources: false }, "still up to date on this host");
    },
    forwarder,
  );
}

async function measureRound(bench: Bench, samples: Samples, round: number): Promise<void> {
  // What others have written must not be written to the disk in the time of this one.
  await run("sync", []);
  const words = [createFiles, bench.source, join(bench.folder, `made-${round}`)];
  samples.floorMs.push(Number((await run(process.execPath, words)).output));
  await run("sync", []);
  await withHost(bench, `host-${round}`, async (host) => {
    samples.cold.push(await host.runJob({ script: "true" }));
    samples.peakMb.cold = Math.max(samples.peakMb.cold, (await residentMb(host.process)).most);
    for (let jobs = 0; jobs < WARM_JOBS; jobs += 1) samples.warm.push(await host.runJob({ script: "true" }));
    samples.over.push(await host.runJob({ script: "true", sources: false }));
    samples.peakMb.warm = Math.max(samples.peakMb.warm, (await residentMb(host.process)).most);
  });
}

function print({ first, cold, warm, over, floorMs, peakMb }: Samples, rounds: number): void {
  const restores = (list: readonly Sample[]): readonly number[] => list.map(({ restoreMs }) => restoreMs);
  const saves = (list: readonly Sample[]): readonly number[] => list.map(({ saveMs }) => saveMs);
  const both = (list: readonly Sample[]): readonly number[] => list.map(({ restoreMs, saveMs }) => restoreMs + saveMs);
  const row = (list: readonly Sample[]): string =>
    `${spread(both(list), "ms")}; restore ${spread(restores(list), "ms")}, save ${spread(saves(list), "ms")}`;
  console.log(`first job, which makes the cache: ${row(first)}`);
  console.log(`cold, ${rounds} rounds: ${row(cold)}; to reach ${TARGETS.coldMs} ms; peak ${peakMb.cold.toFixed(0)} MB`);
  console.log(`creating as many files of the same lengths: ${spread(floorMs, "ms")}`);
  console.log(
    `warm: ${row(warm)}; to reach ${TARGETS.warmMs} ms; peak ${peakMb.warm.toFixed(0)} MB, all jobs of a host`,
  );
  console.log(`over a tree without a record: ${row(over)}`);
  const ratio = (mine: readonly number[], base: readonly number[]): string => (median(mine) / median(base)).toFixed(2);
  console.log(
    `restore of what is there to a cold one: ${ratio(restores(warm), restores(cold))} with a record, ${ratio(restores(over), restores(cold))} without; to reach ${TARGETS.restoreAgain}`,
  );
  console.log(
    `save of an unchanged cache to its making: ${ratio(saves(cold), saves(first))} cold, ${ratio(saves(warm), saves(first))} warm; to reach ${TARGETS.saveUnchanged}`,
  );
  console.log(REFERENCE);
}

/** The one tree below the working copies of a host. */
async function findTree(builds: string): Promise<string> {
  const { output } = await run("find", [builds, "-maxdepth", "6", "-name", "node_modules", "-prune"]);
  const paths = output.trim().split("\n");
  const [path] = paths;
  if (path === undefined || path === "" || paths.length > 1) throw new Error(`found ${paths.length} trees: ${output}`);
  return path;
}

/** Names, digests and times of everything in the bucket. */
async function objectsOf(minio: Minio): Promise<string> {
  const response = await minio.request({ method: "GET", path: `/${BUCKET}`, query: { "list-type": "2" } });
  const objects = [...(await response.text()).matchAll(/<Contents>.*?<\/Contents>/gs)].map(([text]) => text);
  if (objects.length === 0) throw new Error("the first job stored nothing");
  return objects.join("\n");
}

function bytes(count: number): string {
  return count < 100_000 ? `${count} bytes` : `${(count / 1e6).toFixed(1)} MB`;
}
