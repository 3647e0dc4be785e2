import { execFileSync, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { createArchive } from "./create.ts";
import { extractArchive } from "./extract.ts";
import { selectFiles } from "./select/select.ts";
import { forgeZip } from "./test-support/forged-zip.ts";
import { makeScratch } from "./test-support/scratch.ts";

/*
 * Processes are killed at random moments of their work, again and again. What is looked at is what somebody else would find
 * afterwards. Which phase of the work a kill meets is chance; a run of many must meet each of them.
 */
const KILLS = Number(process.env["FLEETFOOT_KILLS"] ?? 40);
const MANY_KILLS = 200;
const AT_ONCE = 4;
const FILES = 60;
/** Each takes a second where four run at once, and several where others use the processors, too. */
const TIMEOUT_MS = Math.max(300_000, KILLS * 6000);

const modules = import.meta.dirname;

let compileCache = "";

beforeAll(async () => {
  compileCache = await mkdtemp(path.join(tmpdir(), "compile-cache-"));
  const program = `for (const name of ["create", "extract", "select/select", "archive-worker"]) await import(process.argv[1] + name + ".ts");`;
  execFileSync(
    process.execPath,
    ["--conditions=@fleetfoot/source", "--input-type=module", "--eval", program, `${modules}/`],
    {
      env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
    },
  );
});

afterAll(async () => await rm(compileCache, { recursive: true, force: true }));

describe("a process that is killed", () => {
  it(
    "CA E7: while it writes archives leaves a whole one under the name",
    { timeout: TIMEOUT_MS },
    async ({ annotate }) => {
      await using scratch = await makeScratch();
      await makeTree(scratch.at("v1"), "1");
      await makeTree(scratch.at("v2"), "2");
      const phases = new Phases("writes", "is between two archives");
      await killAgainAndAgain(async (nth) => {
        const archivePath = scratch.at(`out-${nth}`, "cache.zip");
        const format = nth % 2 === 0 ? "zip" : "tarzstd";
        await runAndKill(`
        const trees = [${JSON.stringify(scratch.at("v1"))}, ${JSON.stringify(scratch.at("v2"))}];
        const lists = [];
        for (const root of trees) lists.push((await selectFiles({ root, paths: ["tree"] })).entries);
        for (let turn = 0; ; turn += 1) {
          if (turn === 1) started();
          await createArchive({ root: trees[turn % 2], entries: lists[turn % 2], archivePath: ${JSON.stringify(archivePath)},
            format: ${JSON.stringify(format)}, maxInlineMs: ${nth % 4 < 2 ? 1000 : 0} });
        }`);
        const names = await readdir(path.dirname(archivePath));
        phases.count(names.some((name) => name.startsWith("archive_")) ? "writes" : "is between two archives");
        const root = scratch.at(`restored-${nth}`);
        await extractArchive({ archivePath, root });
        expect(["1", "2"]).toContain(await versionOf(root));
      });
      await annotate(phases.shares());
      phases.expectEach();
    },
  );

  it(
    "while it restores leaves no half tree for a later restore, and reports none",
    { timeout: TIMEOUT_MS },
    async ({ annotate }) => {
      await using scratch = await makeScratch();
      for (const version of ["1", "2"]) {
        await makeTree(scratch.at(`v${version}`), version);
        const { entries } = await selectFiles({ root: scratch.at(`v${version}`), paths: ["tree"] });
        const archivePath = scratch.at(`v${version}.zip`);
        await createArchive({ root: scratch.at(`v${version}`), entries, archivePath });
      }
      await writeFile(scratch.at("empty.zip"), forgeZip([]));
      const phases = new Phases("makes the tree", "moves it", "clears away", "is between two restores");
      await killAgainAndAgain(async (nth) => {
        const roots = scratch.at(`roots-${nth}`);
        await mkdir(roots);
        const reported = await runAndKill(`
        for (let turn = 0; ; turn += 1) {
          if (turn === 2) started();
          const root = ${JSON.stringify(`${roots}/`)} + turn;
          const options = { root, maxInlineMs: ${nth % 2 === 0 ? 1000 : 0} };
          // Every other tree finds an older one in its place, and replaces it file by file.
          if (turn % 2 === 1) await extractArchive({ ...options, archivePath: ${JSON.stringify(scratch.at("v1.zip"))} });
          await extractArchive({ ...options, archivePath: ${JSON.stringify(scratch.at("v2.zip"))} });
          report(turn);
        }`);
        phases.count(await phaseOf(roots));
        for (const name of await readdir(roots)) {
          if (name.startsWith(".")) continue;
          const root = path.join(roots, name);
          if (reported.includes(Number(name))) expect(await versionOf(root)).toBe("2");
          // What the next job does first completes what was begun.
          await extractArchive({ archivePath: scratch.at("empty.zip"), root });
          expect(["none", "1", "2"]).toContain(await versionOf(root));
        }
        expect((await readdir(roots)).filter((name) => name.startsWith("."))).toEqual([]);
      });
      await annotate(phases.shares());
      phases.expectEach();
    },
  );
});

it(
  "a process that is killed while it restores cannot undo a later restore with a manifest",
  { timeout: TIMEOUT_MS },
  async () => {
    await using scratch = await makeScratch();
    for (const version of ["1", "2"]) {
      await makeTree(scratch.at(`v${version}`), version);
      const { entries } = await selectFiles({ root: scratch.at(`v${version}`), paths: ["tree"] });
      await createArchive({ root: scratch.at(`v${version}`), entries, archivePath: scratch.at(`v${version}.zip`) });
    }
    await writeFile(scratch.at("empty.zip"), forgeZip([]));
    await killAgainAndAgain(async (nth) => {
      const root = scratch.at(`root-${nth}/project`);
      const options = { root, archivePath: scratch.at("v1.zip"), manifestPath: scratch.at(`v1-${nth}.tree`) };
      await extractArchive(options);
      await runAndKill(`
      const options = { root: ${JSON.stringify(root)}, maxInlineMs: ${nth % 2 === 0 ? 1000 : 0} };
      for (let turn = 0; ; turn += 1) {
        if (turn === 1) started();
        await extractArchive({ ...options, archivePath: ${JSON.stringify(scratch.path)} + (turn % 2 === 0 ? "/v2.zip" : "/v1.zip") });
      }`);
      await extractArchive(options);
      await extractArchive({ archivePath: scratch.at("empty.zip"), root });
      expect(await versionOf(root)).toBe("1");
    });
  },
);

/** How many kills met which phase. */
class Phases<Name extends string> {
  readonly #counts: Map<Name, number>;

  constructor(...names: readonly Name[]) {
    this.#counts = new Map(names.map((name) => [name, 0]));
  }

  count(name: Name): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  /** For example `writes: 71 %, is between two archives: 29 %`. */
  shares(): string {
    const all = this.#counts.values().reduce((sum, count) => sum + count, 0);
    return [...this.#counts].map(([name, count]) => `${name}: ${Math.round((100 * count) / all)} %`).join(", ");
  }

  /** What a few kills meet is chance. */
  expectEach(): void {
    const missed = [...this.#counts].filter(([, count]) => count === 0).map(([name]) => name);
    if (KILLS >= MANY_KILLS) expect(missed, this.shares()).toEqual([]);
  }
}

/** What a restore into one of these roots was at when it was killed. */
async function phaseOf(
  roots: string,
): Promise<"makes the tree" | "moves it" | "clears away" | "is between two restores"> {
  const staging = (await readdir(roots)).find((name) => name.startsWith("."));
  if (staging === undefined) return "is between two restores";
  const names = await readdir(path.join(roots, staging));
  const isMade = names.includes("replaced");
  // The journal goes first when all is in its place.
  if (!names.includes("complete.jsonl")) return isMade ? "clears away" : "makes the tree";
  return "moves it";
}

async function killAgainAndAgain(once: (nth: number) => Promise<void>): Promise<void> {
  const turns = Array.from({ length: KILLS }, (_, nth) => nth).values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const nth of turns) await once(nth);
    }),
  );
}

/** @returns the numbers that the program reported before it was killed */
async function runAndKill(program: string): Promise<number[]> {
  const source = `
    import { writeSync } from "node:fs";
    import { createArchive } from ${JSON.stringify(path.join(modules, "create.ts"))};
    import { extractArchive } from ${JSON.stringify(path.join(modules, "extract.ts"))};
    import { selectFiles } from ${JSON.stringify(path.join(modules, "select/select.ts"))};
    const began = performance.now();
    const started = () => writeSync(1, "started " + (performance.now() - began) + "\\n");
    const report = (number) => writeSync(1, number + "\\n");
    ${program}`;
  const child = spawn(process.execPath, ["--conditions=@fleetfoot/source", "--input-type=module", "--eval", source], {
    stdio: ["ignore", "pipe", "inherit"],
    // Filled by a process that ends by itself; without it each of the others would spend its time on loading.
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
  });
  let output = "";
  const ended = new Promise<NodeJS.Signals | null>((resolve) => child.on("close", (_code, signal) => resolve(signal)));
  await new Promise<void>((resolve) => {
    child.stdout.on("data", (piece: Buffer) => {
      output += piece.toString();
      if (/started \S+\n/.test(output)) resolve();
    });
    child.on("close", () => resolve());
  });
  // A random moment is the point here, in about as much time as its first steps took.
  const firstStepsMs = Number(/started (\S+)/.exec(output)?.[1]);
  await new Promise((resolve) => setTimeout(resolve, Math.random() * firstStepsMs));
  child.kill("SIGKILL");
  expect(await ended).toBe("SIGKILL");
  // A number counts when its line is complete.
  return output.split("\n").slice(0, -1).map(Number).filter(Number.isInteger);
}

async function makeTree(place: string, version: string): Promise<void> {
  for (let nth = 0; nth < FILES; nth += 1) {
    const folder = path.join(place, `tree/d${nth % 7}/e${nth % 3}`);
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, `f${nth}`), `${version}\n`.repeat(1 + nth * 20));
  }
}

/** The version of a tree that is complete; "none" when nothing is there. */
async function versionOf(root: string): Promise<string> {
  const files = (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  if (files.length === 0) return "none";
  const versions = new Set<string>();
  for (const { parentPath, name } of files) {
    const content = await readFile(path.join(parentPath, name), "utf8");
    versions.add(content.length === 2 * (1 + Number(name.slice(1)) * 20) ? content.slice(0, 1) : "torn");
  }
  return files.length === FILES && versions.size === 1
    ? ([...versions][0] ?? "none")
    : `${files.length} files of ${[...versions].join(" and ")}`;
}
