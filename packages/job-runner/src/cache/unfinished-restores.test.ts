import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { createArchive, finishRestores, selectFiles } from "@fleetfoot/cache-archive";
import type { JobCache } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { CacheBench, inProcess } from "../test-support/cache-bench.ts";
import { helloJob, openHarness, plain, script } from "../test-support/job-harness.ts";
import type { Harness } from "../test-support/job-harness.ts";

const FILES = 100;
/** The whole proof takes 200, for which there is not always time. */
const KILLS = Number(process.env["FLEETFOOT_KILLS"] ?? 50);
const gems: JobCache = { key: "gems", paths: ["vendor"] };

describe("a restore that does not come to its end", () => {
  let bench: CacheBench;
  beforeEach(async () => {
    bench = await CacheBench.open();
    await mkdir(join(bench.project, "vendor"));
    const names = Array.from({ length: FILES }, (_, index) => join(bench.project, `vendor/file-${index}`));
    await Promise.all(names.map((name) => writeFile(name, name.repeat(20))));
    await bench.save(gems);
    await bench.clean();
    bench.forget();
  });
  afterEach(() => bench.close());

  it("leaves nothing in the project", async () => {
    const archive = await readFile(bench.archive("gems"));
    // The content of the last file: behind its header, its name and its extra fields.
    const header = archive.lastIndexOf("PK\u0003\u0004");
    const at = header + 30 + archive.readUInt16LE(header + 26) + archive.readUInt16LE(header + 28);
    archive[at] = (archive[at] ?? 0) ^ 0xff;
    await writeFile(bench.archive("gems"), archive);
    await bench.restore(gems);
    expect(bench.events).toMatchObject([{ kind: "miss" }]);
    expect(await readdir(dirname(bench.project), { recursive: true })).toEqual(["project"]);
  });

  it(
    "leaves nothing when another process kills it, at whatever moment",
    async () => {
      const outcomes = new Map<string, number>();
      let longestMs = 0;
      for (let kill = 0; kill < KILLS; kill += 1) {
        const restoring = inProcess("restoreCaches", bench, gems, "", { announce: true });
        await restoring.announced;
        const startedAt = performance.now();
        // The first one may come to its end, and shows how long that takes.
        if (kill === 0) await restoring;
        else await new Promise((resolve) => setTimeout(resolve, Math.random() * longestMs));
        restoring.child.kill("SIGKILL");
        if (kill === 0) longestMs = performance.now() - startedAt;
        const { stdout } = await restoring;
        const names = await readdir(bench.project);
        const count = names.length === 0 ? 0 : (await readdir(join(bench.project, "vendor"))).length;
        expect([0, FILES]).toContain(count);
        if (stdout.includes("Restored cache")) expect(count).toBe(FILES);
        const outcome = count === 0 ? "nothing" : "all";
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        await bench.clean();
        // As the next job's preparation does.
        await finishRestores(bench.project);
        await bench.clean();
        expect(await readdir(dirname(bench.project))).toEqual(["project"]);
      }
      expect([...outcomes.keys()].toSorted()).toEqual(["all", "nothing"]);
    },
    KILLS * 6000,
  );

  it("is followed by one over what is in the way, which stays", async () => {
    await mkdir(join(bench.project, "vendor"));
    await writeFile(join(bench.project, "vendor/own"), "own");
    await bench.restore(gems);
    expect(await readFile(join(bench.project, "vendor/own"), "utf8")).toBe("own");
    expect(await readdir(join(bench.project, "vendor"))).toHaveLength(FILES + 1);
    expect(await readdir(dirname(bench.project))).toEqual(["project"]);
  });

  it("does not lose what the archive holds beyond the paths of its entry", async () => {
    await mkdir(join(bench.project, "vendor"));
    await writeFile(join(bench.project, "vendor/own"), "own");
    await bench.restore({ ...gems, paths: ["other"] });
    expect(bench.events).toMatchObject([{ kind: "hit" }]);
    expect(await readdir(join(bench.project, "vendor"))).toHaveLength(FILES + 1);
  });
});

describe("a restore over files that were there, killed between two of its moves", () => {
  let harness: Harness;
  let project: string;
  beforeEach(async () => {
    harness = await openHarness();
    project = join(harness.root, "builds/AbCdEfGhI/0/g/p");
    const place = { root: project, archivePath: join(harness.root, "new.zip") };
    await mkdir(join(project, "vendor"), { recursive: true });
    for (const content of ["new", "old"]) {
      for (let nth = 0; nth < FILES; nth += 1) await writeFile(join(project, `vendor/file-${nth}`), content);
      if (content === "old") break;
      const { entries } = await selectFiles({ root: project, paths: ["vendor"] });
      await createArchive({ ...place, entries });
    }
    await restoreAndDie(place);
    expect(await contents()).toEqual(["new", "old"]);
  });
  afterEach(() => harness.dispose());

  async function contents(): Promise<readonly string[]> {
    const names = await readdir(join(project, "vendor"));
    return [...new Set(await Promise.all(names.map((name) => readFile(join(project, "vendor", name), "utf8"))))].sort();
  }

  it("is completed before the next job, even one without a cache", async () => {
    const run = await harness.run({ ...helloJob(), steps: script("true") });
    expect(plain(run.log)).toContain("Completed what an earlier job had begun to restore");
    expect(await contents()).toEqual(["new"]);
    expect(await readdir(dirname(project))).toEqual(["p"]);
  });

  it("costs the next job all files when it cannot be completed", async () => {
    for (let nth = 0; nth < FILES; nth += 1) {
      await rm(join(project, `vendor/file-${nth}`), { force: true });
      await mkdir(join(project, `vendor/file-${nth}/own`), { recursive: true });
    }
    const run = await harness.run({ ...helloJob(), steps: script("ls") });
    expect(plain(run.log)).toContain("cannot be completed, so all files are removed");
    expect(await readdir(project)).toEqual([]);
  });
});

/** Restores in a process that kills itself between two moves. */
async function restoreAndDie(place: { readonly root: string; readonly archivePath: string }): Promise<void> {
  const source = `
    import fs from "node:fs";
    import { syncBuiltinESMExports } from "node:module";
    const rename = fs.renameSync;
    let moves = 0;
    fs.renameSync = (...names) => {
      if ((moves += 1) > ${FILES}) process.kill(process.pid, "SIGKILL");
      rename(...names);
    };
    syncBuiltinESMExports();
    const { extractArchive } = await import("@fleetfoot/cache-archive");
    await extractArchive({ ...${JSON.stringify(place)}, maxInlineMs: 60_000 });`;
  const words = ["--conditions=@fleetfoot/source", "--input-type=module", "--eval", source];
  const child = spawn(process.execPath, words, { stdio: "inherit", cwd: import.meta.dirname });
  expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
}
