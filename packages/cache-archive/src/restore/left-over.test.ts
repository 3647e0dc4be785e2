import fs from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createArchive } from "../create.ts";
import { extractArchive } from "../extract.ts";
import { selectFiles } from "../select/select.ts";
import { makeScratch } from "../test-support/scratch.ts";
import type { Scratch } from "../test-support/scratch.ts";

let scratch: Scratch;
let archivePath: string;
let restored: () => void;
/** How often somebody tried to remove a staging folder. */
let removals: number;

beforeEach(async () => {
  scratch = await makeScratch();
  archivePath = scratch.at("cache.zip");
  await mkdir(scratch.at("source"));
  for (const name of ["a", "b"]) await writeFile(scratch.at("source", name), "new");
  const { entries } = await selectFiles({ root: scratch.at("source"), paths: ["*"] });
  await createArchive({ root: scratch.at("source"), entries, archivePath });
  removals = 0;
  restored = replaceRemovals(() => undefined);
});

afterEach(async () => {
  restored();
  await scratch[Symbol.asyncDispose]();
});

describe.each(["parallel", "streaming"] as const)("the %s engine", (engine) => {
  it("reports what it restored as restored although its staging folder cannot be removed", async () => {
    const root = scratch.at("roots/project");
    await mkdir(root, { recursive: true });
    await writeFile(path.join(root, "a"), "old");
    refuseRemovals();
    const summary = await extractArchive({ archivePath, root, engine, maxInlineMs: 60_000 });
    expect(summary).toMatchObject({ entries: 2, wasInPlace: false, stagingError: { code: "io" } });
    expect(summary.stagingError?.message).toMatch(/everything is restored, but .*\.fleetfoot-restore-.* EBUSY/);
    expect(await readFile(path.join(root, "a"), "utf8")).toBe("new");
    // Nobody completes it later over what is there by then.
    const [left = ""] = await readdir(scratch.at("roots"));
    expect(await readdir(scratch.at("roots", left))).toEqual([]);
  });

  it("restores again although an older staging folder cannot be removed", async () => {
    const root = scratch.at("roots/project");
    refuseRemovals();
    await extractArchive({ archivePath, root, engine, maxInlineMs: 60_000 });
    await writeFile(path.join(root, "a"), "changed");
    await extractArchive({ archivePath, root, engine, maxInlineMs: 60_000 });
    expect(await readFile(path.join(root, "a"), "utf8")).toBe("new");
  });

  it("restored everything although somebody else has come to clear its staging folder away", async () => {
    restored();
    restored = replaceRemovals((folder) => fs.writeFileSync(path.join(folder, "lock"), ""));
    const root = scratch.at("roots/project");
    const { stagingError } = await extractArchive({ archivePath, root, engine, maxInlineMs: 60_000 });
    expect(stagingError).toBeUndefined();
    expect(removals).toBe(1);
  });

  it("removes its staging folder exactly once", async () => {
    await extractArchive({ archivePath, root: scratch.at("roots/project"), engine, maxInlineMs: 60_000 });
    expect(removals).toBe(1);
    expect(await readdir(scratch.at("roots"))).toEqual(["project"]);
  });

  it("removes it exactly once after a failure, too, and tells of the failure alone", async () => {
    const root = scratch.at("roots/project");
    await mkdir(path.join(root, "a/full"), { recursive: true });
    await expect(extractArchive({ archivePath, root, engine, maxInlineMs: 60_000 })).rejects.toMatchObject({
      entryName: "a",
    });
    expect(removals).toBe(1);
    expect(await readdir(scratch.at("roots"))).toEqual(["project"]);
    refuseRemovals();
    await expect(extractArchive({ archivePath, root, engine, maxInlineMs: 60_000 })).rejects.toMatchObject({
      entryName: "a",
    });
  });
});

function refuseRemovals(): void {
  restored();
  restored = replaceRemovals((folder) => {
    throw Object.assign(new Error(`EBUSY: resource busy or locked, ${folder}`), { code: "EBUSY" });
  });
}

/** Calls `before` whenever a staging folder as a whole is about to be removed. @returns how things were before */
function replaceRemovals(before: (folder: string) => void): () => void {
  const { rmSync, rmdirSync } = fs;
  const { rm } = fs.promises;
  const look = (place: unknown): void => {
    if (!/\/\.fleetfoot-restore-[^/]*$/.test(String(place))) return;
    removals += 1;
    before(String(place));
  };
  fs.rmdirSync = (...parameters: Parameters<typeof rmdirSync>) => {
    look(parameters[0]);
    rmdirSync(...parameters);
  };
  fs.rmSync = (...parameters: Parameters<typeof rmSync>) => {
    look(parameters[0]);
    rmSync(...parameters);
  };
  fs.promises.rm = async (...parameters: Parameters<typeof rm>) => {
    look(parameters[0]);
    await rm(...parameters);
  };
  syncBuiltinESMExports();
  return () => {
    Object.assign(fs, { rmSync, rmdirSync });
    fs.promises.rm = rm;
    syncBuiltinESMExports();
  };
}
