// How long an archive of 1 GiB takes to MinIO and back, against rclone in the same run, and how much memory it needs.
import { randomFillSync } from "node:crypto";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Minio, requireProgram, startMinio } from "@fleetfoot-tooling/systems";
import { repositoryRoot, run } from "./process.ts";
import { median, spread } from "./statistics.ts";

const BYTES = 1024 ** 3;
const BUCKET = "bench";
/** Of the process that transfers, to reach. */
const MOST_MEMORY_MB = 150;
const LONGEST_BLOCK_MS = 50;

interface Transfer {
  readonly milliseconds: number;
  readonly peakMb: number;
  /** By the clock. */
  readonly longestBlockMs: number;
  /** By the processor's time of the main thread. */
  readonly longestOwnMs: number;
}

/** `npm run bench -- cache-backends [--rounds=N]` */
export async function measure(): Promise<void> {
  const words = process.argv.slice(3);
  const rounds = Number(words.find((word) => word.startsWith("--rounds="))?.slice("--rounds=".length) ?? 5);
  await run("turbo", ["run", "build", "--filter=@fleetfoot/cache-backend-s3", "--output-logs=errors-only"]);
  const rclone = await requireProgram("rclone", "a program to compare with");
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-bench-"));
  try {
    await using minio = await startMinio();
    await minio.createBucket(BUCKET);
    const archive = join(folder, "archive");
    await writeNoise(archive);
    const other = await rcloneTransfers(rclone.path, minio, folder);
    const own = ownTransfers(minio);
    const times: Record<"up" | "down", { own: Transfer[]; other: Transfer[] }> = {
      up: { own: [], other: [] },
      down: { own: [], other: [] },
    };
    // In turns, so that both meet the same machine; the first round warms it up.
    for (let round = -1; round < rounds; round += 1) {
      for (const direction of ["up", "down"] as const) {
        // Who begins changes, too: the other one finds the memory that the first one has given back.
        const turns = [
          { transfer: own, results: times[direction].own },
          { transfer: other, results: times[direction].other },
        ];
        for (const { transfer, results } of round % 2 === 0 ? turns : turns.toReversed()) {
          const result = await transfer(direction, archive);
          if (round >= 0) results.push(result);
        }
      }
    }
    for (const direction of ["up", "down"] as const) {
      const { own: ours, other: theirs } = times[direction];
      const ratio = median(ours.map(milliseconds)) / median(theirs.map(milliseconds));
      const peak = (transfers: readonly Transfer[]): string =>
        `${Math.max(...transfers.map(({ peakMb }) => peakMb)).toFixed(0)} MB`;
      const longest = (block: (transfer: Transfer) => number): string =>
        `${Math.max(...ours.map(block)).toFixed(0)} ms`;
      console.log(
        `1 GiB ${direction}: ${spread(ours.map(milliseconds), "ms")}, peak ${peak(ours)}; rclone ${rclone.version} ${spread(theirs.map(milliseconds), "ms")}, peak ${peak(theirs)}; ratio ${ratio.toFixed(2)}, to reach 1.00 and ${MOST_MEMORY_MB} MB; longest block ${longest(({ longestBlockMs }) => longestBlockMs)}, by its own processor time ${longest(({ longestOwnMs }) => longestOwnMs)}, to reach ${LONGEST_BLOCK_MS} ms`,
      );
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

function milliseconds(transfer: Transfer): number {
  return transfer.milliseconds;
}

function ownTransfers(minio: Minio): (direction: "up" | "down", archive: string) => Promise<Transfer> {
  const program = join(repositoryRoot, "bench/src/programs/transfer.ts");
  const settings = JSON.stringify({
    bucket: BUCKET,
    serverAddress: new URL(minio.endpoint).host,
    insecure: true,
    region: minio.region,
    accessKeyId: minio.accessKeyId,
    secretAccessKey: minio.secretAccessKey,
  });
  return async (direction, archive) => {
    const path = direction === "up" ? archive : `${archive}.own`;
    const { milliseconds: time, output } = await run(process.execPath, [program, direction, path, settings]);
    const { peakMegabytes, ...blocks } = JSON.parse(output) as Omit<Transfer, "milliseconds" | "peakMb"> & {
      readonly peakMegabytes: number;
    };
    await rm(`${archive}.own`, { force: true });
    return { milliseconds: time, peakMb: peakMegabytes, ...blocks };
  };
}

async function rcloneTransfers(
  program: string,
  minio: Minio,
  folder: string,
): Promise<(direction: "up" | "down", archive: string) => Promise<Transfer>> {
  const config = join(folder, "rclone.conf");
  await writeFile(
    config,
    `[minio]\ntype = s3\nprovider = Minio\nendpoint = ${minio.endpoint}\nregion = ${minio.region}\naccess_key_id = ${minio.accessKeyId}\nsecret_access_key = ${minio.secretAccessKey}\n`,
    { mode: 0o600 },
  );
  const time = join(folder, "rclone.time");
  return async (direction, archive) => {
    const remote = `minio:${BUCKET}/archive-rclone`;
    const places = direction === "up" ? [archive, remote] : [remote, `${archive}.rclone`];
    // It refuses to work with a bundle of certificates in its environment, and other variables change what it does.
    const environment = { PATH: process.env["PATH"] ?? "", HOME: folder, RCLONE_CONFIG: config };
    const { milliseconds: elapsed } = await run("env", [
      "-i",
      ...Object.entries(environment).map(([name, value]) => `${name}=${value}`),
      ...timed(time),
      program,
      "copyto",
      // Otherwise it finds that nothing has changed since the round before.
      "--ignore-times",
      ...places,
    ]);
    await rm(`${archive}.rclone`, { force: true });
    return { milliseconds: elapsed, peakMb: await peakOf(time), longestBlockMs: 0, longestOwnMs: 0 };
  };
}

/** The shell's own way to learn the peak memory of a child. */
function timed(report: string): readonly string[] {
  const script = `import os, sys
pid = os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(pid, 0)
open(sys.argv[1], "w").write(str(usage.ru_maxrss * 1024))
sys.exit(os.waitstatus_to_exitcode(status))`;
  return ["python3", "-c", script, report];
}

async function peakOf(report: string): Promise<number> {
  const file = await open(report);
  try {
    return Number(await file.readFile("utf8")) / 1_000_000;
  } finally {
    await file.close();
  }
}

/** Content that nothing can make smaller. */
async function writeNoise(path: string): Promise<void> {
  const file = await open(path, "w");
  try {
    const block = Buffer.allocUnsafe(16 * 1024 * 1024);
    for (let written = 0; written < BYTES; written += block.byteLength) await file.write(randomFillSync(block));
  } finally {
    await file.close();
  }
}
