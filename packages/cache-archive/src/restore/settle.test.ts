import fs, { lstatSync } from "node:fs";
import { lstat, mkdir, mkdtemp, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createArchive } from "../create.ts";
import { extractArchive } from "../extract.ts";
import { selectFiles } from "../select/select.ts";
import { makeScratch } from "../test-support/scratch.ts";
import type { Scratch } from "../test-support/scratch.ts";
import { finishRestores } from "./finish-restores.ts";
import { finishPlacing } from "./place.ts";
import { openStaging } from "./staging.ts";
import type { Staging } from "./staging.ts";

let scratch: Scratch;
let root: string;

beforeEach(async () => {
  scratch = await makeScratch();
  root = scratch.at("project");
  await mkdir(root);
});

afterEach(async () => {
  await scratch[Symbol.asyncDispose]();
});

describe("settling a killed restore of many files", () => {
  const FILES = 2000;

  it("is done on another thread, so that this one does other work meanwhile", async () => {
    const { staging, places } = await manyFiles();
    await killed(staging, root);
    let renames = 0;
    const stop = countRenames(() => (renames += 1));
    try {
      expect(await finishRestores(root)).toBe(1);
    } finally {
      stop();
    }
    expect(renames).toBe(0);
    expect(await contentsOf(places)).toEqual(["2"]);
  });

  it("takes a step for each file that it moves", async () => {
    const { folder, lock } = (await manyFiles()).staging;
    await writeJournal(folder, root);
    const steps = [...finishPlacing(root, folder)];
    await lock.release();
    expect(steps.length).toBeGreaterThan(2 * FILES);
  });

  it("is done once when several ask for it at the same time", async () => {
    const { staging } = await manyFiles();
    await killed(staging, root);
    expect(await Promise.all([finishRestores(root), finishRestores(root)])).toEqual([1, 0]);
    expect(await finishRestores(root)).toBe(0);
    expect(await readdir(scratch.path)).toEqual(["project"]);
  });

  async function manyFiles(): Promise<{ staging: Staging; places: string[] }> {
    const staging = await openStaging(root);
    const places: string[] = [];
    for (const [folder, content] of [
      [root, "1"],
      [path.join(staging.folder, "tree"), "2"],
    ] as const) {
      await mkdir(path.join(folder, "many"));
      for (let nth = 0; nth < FILES; nth += 1) await writeFile(path.join(folder, `many/f${nth}`), content);
    }
    for (let nth = 0; nth < FILES; nth += 100) places.push(path.join(root, `many/f${nth}`));
    return { staging, places };
  }

  async function contentsOf(places: readonly string[]): Promise<string[]> {
    return [...new Set(await Promise.all(places.map(async (place) => await readFile(place, "utf8"))))];
  }

  /** Those of this thread: others have a module of their own. @returns what ends it */
  function countRenames(count: () => void): () => void {
    const { renameSync } = fs;
    fs.renameSync = (...parameters: Parameters<typeof renameSync>) => {
      count();
      renameSync(...parameters);
    };
    syncBuiltinESMExports();
    return () => {
      fs.renameSync = renameSync;
      syncBuiltinESMExports();
    };
  }
});

describe("an unfinished restore", () => {
  it("is not completed into a folder that has taken the place of its root, which is not to be trusted then", async () => {
    const staging = await openStaging(root);
    await writeFile(path.join(staging.folder, "tree/file"), "2");
    await killed(staging, root);
    await rename(root, scratch.at("before"));
    await mkdir(root);
    await expect(finishRestores(root)).rejects.toMatchObject({
      name: "CacheArchiveError",
      message: expect.stringContaining("was made for another folder"),
    });
    expect(await readdir(root)).toEqual([]);
    expect((await readdir(scratch.path)).sort()).toEqual(["before", "project"]);
    expect(await finishRestores(root)).toBe(0);
  });

  it("is completed, or not, by the root that it names, whatever its name says", async () => {
    const inner = path.join(root, "inner");
    await mkdir(inner);
    const staging = await openStaging(inner);
    await writeFile(path.join(staging.folder, "tree/file"), "2");
    // Wholly real, but written for the outer root.
    await killed(staging, root);
    expect(await finishRestores(inner)).toBe(0);
    expect(await readdir(inner)).toEqual([]);
    expect(await readdir(root)).toEqual(["inner"]);
  });

  it("that has a journal without end, or of another form, had not begun", async () => {
    for (const journal of ["", "[]", "[]\n", "null\n", `{"root":${JSON.stringify(root)}`, "x".repeat(200_000)]) {
      const staging = await openStaging(root);
      await writeFile(path.join(staging.folder, "tree/file"), "2");
      await killed(staging, root, journal);
      expect(await finishRestores(root)).toBe(0);
      expect(await readdir(root)).toEqual([]);
      expect(await readdir(scratch.path)).toEqual(["project"]);
    }
  });
});

describe("an archive", () => {
  it.each([".fleetfoot-restore-x", "outer/.fleetfoot-restore-x"])(
    "neither takes nor brings what could be an unfinished restore, such as %s",
    async (name) => {
      const source = await mkdtemp(scratch.at("source-"));
      await mkdir(path.join(source, name), { recursive: true });
      await writeFile(path.join(source, name, "complete.jsonl"), "{}");
      await writeFile(path.join(source, "file"), "x");
      const { entries } = await selectFiles({ root: source, paths: ["**"] });
      expect(entries.map((entry) => entry.path).filter((found) => found.includes("restore"))).toEqual([]);
      const archivePath = scratch.at("planted.zip");
      const facts = lstatSync(path.join(source, name));
      const folder = { mode: facts.mode & 0o7777, mtimeMs: 0, uid: facts.uid, gid: facts.gid, bytes: 0 };
      const planted = { ...folder, path: name, kind: "directory" as const };
      await createArchive({ root: source, entries: [planted], archivePath });
      for (const engine of ["parallel", "streaming"] as const) {
        const refused = { code: "outside-root", entryName: `${name}/` };
        await expect(extractArchive({ archivePath, root, engine })).rejects.toMatchObject(refused);
      }
      expect(await readdir(root)).toEqual([]);
    },
  );
});

/** Makes a staging folder look as if its process had been killed in the middle of its moves. */
async function killed({ folder, lock }: Staging, owner: string, journal?: string): Promise<void> {
  if (journal === undefined) await writeJournal(folder, owner);
  else await writeFile(path.join(folder, "complete.jsonl"), journal);
  await lock.release();
}

async function writeJournal(staging: string, owner: string): Promise<void> {
  const { dev, ino } = await lstat(owner, { bigint: true });
  const head = { root: owner, device: String(dev), inode: String(ino) };
  await writeFile(path.join(staging, "complete.jsonl"), `${JSON.stringify(head)}\n`);
}
