// The parallel engine against Go's fastzip, which GitLab's runner uses: whole processes, one directly after the other, in memory.
import { access, mkdir, mkdtemp, rm, stat, statfs } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { requireFastzip, requireProgram } from "@fleetfoot-tooling/systems";
import { build } from "rolldown";
import { repositoryRoot, run } from "../process.ts";
import { median } from "../statistics.ts";
import { requireDataSet, setNames } from "./data-sets.ts";
import type { DataSet, SetName } from "./data-sets.ts";
import { verify } from "./verify.ts";

/** What a whole process took, its peak memory, and for our own the longest block of the main thread. */
interface Sample {
  readonly milliseconds: number;
  /** Of all its threads and children, in the system, too. */
  readonly processorMs: number;
  readonly peakMegabytes: number;
  readonly longestBlockMs: number;
}

/** What to reach on a set: ratios of time to fastzip, and of bytes to its archive. */
interface Targets {
  readonly create: number;
  readonly bytes: number;
  readonly extractForeign: number;
  readonly extractOwn: number;
}

const targets: Readonly<Record<SetName, Targets>> = {
  modules: { create: 0.8, bytes: 1.1, extractForeign: 0.7, extractOwn: 0.6 },
  binaries: { create: 1, bytes: 1.1, extractForeign: 0.7, extractOwn: 0.65 },
  text: { create: 0.55, bytes: 1.2, extractForeign: 0.65, extractOwn: 0.4 },
  random: { create: 1.2, bytes: 1.1, extractForeign: 1.5, extractOwn: 1 },
  tiny: { create: 1.1, bytes: 1.1, extractForeign: 1.3, extractOwn: 1.3 },
};
const TAR_TARGETS = { create: 0.45, bytes: 0.8, extract: 0.45, again: 0.25 };
const UNCHANGED_TARGET = 0.15;
const MAX_PEAK_MEGABYTES = 300;
const MAX_BLOCK_MS = 50;
/** What the reference calls its default. */
const REFERENCE_LEVEL = "5";
/** Compiled as users have it: to strip types from a program takes Node longer than a short archive takes it. */
const ownProgram = join(repositoryRoot, "bench/dist/cache-archive.js");

/** `npm run bench -- cache-archive [--rounds=N] [SET...]` */
export async function measure(): Promise<void> {
  const words = process.argv.slice(3);
  const rounds = Number(words.find((word) => word.startsWith("--rounds="))?.slice("--rounds=".length) ?? 5);
  const chosen = setNames.filter((name) => words.every((word) => word.startsWith("--")) || words.includes(name));
  await build({
    input: join(import.meta.dirname, "../programs/cache-archive.ts"),
    platform: "node",
    external: (id) => id.startsWith("@fleetfoot/"),
    output: { file: ownProgram, format: "esm" },
    logLevel: "warn",
  });
  const fastzip = await requireFastzip();
  await requireProgram("time");
  await requireProgram("unzip");
  console.log(
    `Node ${process.version}, fastzip v0.2.0 at level ${REFERENCE_LEVEL}, ${availableParallelism()} processors`,
  );
  for (const name of chosen) {
    const set = await requireDataSet(name);
    await using place = await makePlace();
    await measureSet(set, place.path, fastzip, rounds);
  }
}

async function measureSet(set: DataSet, place: string, fastzip: string, rounds: number): Promise<void> {
  const archive = {
    reference: join(place, "reference.zip"),
    own: join(place, "own.zip"),
    tar: join(place, "own.tzst"),
  };
  const target = join(place, "out");
  const manifest = join(place, "manifest");
  const hasTar = set.name === "modules";
  const extract = async (from: string): Promise<Sample> => {
    await rm(target, { recursive: true, force: true });
    return await own("extract", from, target);
  };
  const extractAsReference = async (): Promise<Sample> => {
    await rm(target, { recursive: true, force: true });
    return await whole(fastzip, ["extract", archive.reference, target]);
  };
  const runs = {
    create: async () => await own("create", archive.own, set.root),
    "fastzip create": async () => await whole(fastzip, ["create", archive.reference, set.root, REFERENCE_LEVEL]),
    "tar create": async () => await own("create", archive.tar, set.root, "tarzstd"),
    "extract own": async () => await extract(archive.own),
    "fastzip extract": extractAsReference,
    "tar extract": async () => await extract(archive.tar),
    "extract foreign": async () => await extract(archive.reference),
    "fastzip extract again": extractAsReference,
  };
  const groups: (keyof typeof runs)[][] = [
    hasTar ? ["create", "fastzip create", "tar create"] : ["create", "fastzip create"],
    hasTar ? ["extract own", "fastzip extract", "tar extract"] : ["extract own", "fastzip extract"],
    ["extract foreign", "fastzip extract again"],
  ];
  const samples = new Map<string, Sample[]>();
  const add = (row: string, sample: Sample): void => void samples.set(row, [...(samples.get(row) ?? []), sample]);
  // Not counted: memory that a virtual machine gave back to its host is slow for whoever takes it first. What it makes is verified.
  for (const row of groups.flat()) {
    await runs[row]();
    if (row.includes("extract") && !row.startsWith("fastzip")) await verify(set.root, target);
  }
  await run("unzip", ["-tqq", archive.own]);
  for (let round = 0; round < rounds; round += 1) {
    for (const group of groups) {
      // Whoever comes first finds another state of memory than whoever comes last.
      for (const row of round % 2 === 0 ? group : group.toReversed()) {
        add(row, await runs[row]());
      }
    }
    // Writes the manifest of what is there, as the restore before would have.
    await own("extract", archive.own, target, "zip", manifest);
    add("extract again", await own("extract", archive.own, target, "zip", manifest));
    add("unchanged", await own("compare", archive.own, target, "zip", manifest));
  }

  console.log(
    `\n${set.name} (fastzip: create ${seconds(samples, "fastzip create")}, extract ${seconds(samples, "fastzip extract")})`,
  );
  const bytes = async (path: string): Promise<number> => (await stat(path)).size / (await stat(archive.reference)).size;
  const goal = targets[set.name];
  const byteRatio = await bytes(archive.own);
  const inClass = byteRatio <= goal.bytes ? "" : `, NOT IN ITS BYTE CLASS (${goal.bytes})`;
  print(samples, "create", "fastzip create", goal.create, `bytes ${byteRatio.toFixed(2)}${inClass}`);
  print(samples, "extract foreign", "fastzip extract again", goal.extractForeign);
  print(samples, "extract own", "fastzip extract", goal.extractOwn);
  print(
    samples,
    "extract again",
    "extract own",
    TAR_TARGETS.again,
    "over the tree that is there, to a cold restore of our own",
  );
  print(
    samples,
    "unchanged",
    "create",
    UNCHANGED_TARGET,
    "what a save of an unchanged tree takes, to a create of our own",
  );
  if (!hasTar) return;
  const tarBytes = await bytes(archive.tar);
  print(
    samples,
    "tar create",
    "fastzip create",
    TAR_TARGETS.create,
    `bytes ${tarBytes.toFixed(2)} (to reach ${TAR_TARGETS.bytes})`,
  );
  print(samples, "tar extract", "fastzip extract", TAR_TARGETS.extract);
}

function print(
  samples: ReadonlyMap<string, readonly Sample[]>,
  row: string,
  base: string,
  target: number,
  note = "",
): void {
  const mine = samples.get(row) ?? [];
  const theirs = samples.get(base) ?? [];
  const ratiosOf = (key: "milliseconds" | "processorMs"): number[] =>
    mine.map((sample, round) => sample[key] / (theirs[round]?.[key] ?? Number.NaN));
  const ratios = ratiosOf("milliseconds");
  const processor = `processor time ${median(ratiosOf("processorMs")).toFixed(2)}`;
  const figures = `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)})`;
  const peak = Math.max(...mine.map(({ peakMegabytes }) => peakMegabytes));
  const block = Math.max(...mine.map(({ longestBlockMs }) => longestBlockMs));
  const limits = `peak ${peak.toFixed(0)} MB (to reach ${MAX_PEAK_MEGABYTES}), longest block ${block.toFixed(0)} ms (to reach ${MAX_BLOCK_MS})`;
  console.log(
    `  ${row}: ratio ${figures}, to reach ${target}; ${processor}; ${limits}${note === "" ? "" : `; ${note}`}`,
  );
}

function seconds(samples: ReadonlyMap<string, readonly Sample[]>, row: string): string {
  const list = samples.get(row) ?? [];
  const peak = Math.max(...list.map(({ peakMegabytes }) => peakMegabytes));
  return `${(median(list.map(({ milliseconds }) => milliseconds)) / 1000).toFixed(2)} s, ${peak.toFixed(0)} MB`;
}

async function own(
  command: "create" | "extract" | "compare",
  archive: string,
  root: string,
  format = "zip",
  manifest = "",
): Promise<Sample> {
  const args = [ownProgram, command, archive, root, format, "parallel", manifest];
  const { output, ...sample } = await whole(process.execPath, args);
  const { longestBlockMs } = JSON.parse(output) as Pick<Sample, "longestBlockMs">;
  // Without the pauses that the measurement of blocks needs.
  return { ...sample, milliseconds: sample.milliseconds - 100, longestBlockMs };
}

async function whole(program: string, args: readonly string[]): Promise<Sample & { readonly output: string }> {
  const { milliseconds, output } = await run("time", ["-f", "%M %U %S", program, ...args]);
  const lines = output.trimEnd().split("\n");
  const [kilobytes = 0, user = 0, system = 0] = (lines.pop() ?? "").split(" ").map(Number);
  const processorMs = (user + system) * 1000;
  return {
    milliseconds,
    processorMs,
    peakMegabytes: (kilobytes * 1024) / 1e6,
    longestBlockMs: 0,
    output: lines.join("\n"),
  };
}

/** A folder in memory where there is one with room, so that programs are compared and not disks. */
async function makePlace(): Promise<AsyncDisposable & { readonly path: string }> {
  const memory = "/dev/shm";
  const parent = (await hasRoom(memory)) ? memory : tmpdir();
  const path = await mkdtemp(join(parent, "fleetfoot-bench-"));
  await mkdir(path, { recursive: true });
  if (parent !== memory) console.log(`The archives lie on a disk (${parent}), which limits every program.`);
  return { path, [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true }) };
}

const NEEDED_BYTES = 4e9;

async function hasRoom(folder: string): Promise<boolean> {
  try {
    await access(folder);
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize > NEEDED_BYTES;
  } catch {
    return false;
  }
}
