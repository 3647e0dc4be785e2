import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rename, rm, utimes, writeFile } from "node:fs/promises";
import path from "node:path";

import { beforeEach, describe, expect, it } from "vitest";

import { createArchive } from "../create.ts";
import { extractArchive } from "../extract.ts";
import { finishRestores } from "./finish-restores.ts";
import { openStaging } from "./staging.ts";
import { selectFiles } from "../select/select.ts";
import { makeScratch } from "../test-support/scratch.ts";

const FILES = 20;
/** Two renames for each file that is replaced, after that of the mark. */
const MOVES_BEFORE_DEATH = 12;

describe("a restore whose process died while it replaced files", () => {
  let root: string;
  let at: (...names: string[]) => string;
  beforeEach(async () => {
    const scratch = await makeScratch();
    at = scratch.at;
    root = scratch.at("roots/project");
    for (const version of ["1", "2"]) {
      const tree = scratch.at(`v${version}`);
      await mkdir(path.join(tree, "vendor"), { recursive: true });
      for (let nth = 0; nth < FILES; nth += 1) await writeFile(path.join(tree, `vendor/f${nth}`), version);
      const { entries } = await selectFiles({ root: tree, paths: ["vendor"] });
      await createArchive({ root: tree, entries, archivePath: scratch.at(`v${version}.zip`) });
    }
    await extractArchive({ archivePath: scratch.at("v1.zip"), root });
    await restoreAndDie(at("v2.zip"), root, MOVES_BEFORE_DEATH);
    expect(await versions()).toEqual(["1", "2"]);
    return async () => await scratch[Symbol.asyncDispose]();
  });

  async function versions(): Promise<string[]> {
    const names = await readdir(path.join(root, "vendor"));
    const contents = await Promise.all(names.map((name) => readFile(path.join(root, "vendor", name), "utf8")));
    return [...new Set(contents)].sort();
  }

  async function staged(): Promise<string[]> {
    return (await readdir(path.dirname(root))).filter((name) => name.startsWith("."));
  }

  it("is completed, once", async () => {
    expect(await finishRestores(root)).toBe(1);
    expect(await versions()).toEqual(["2"]);
    expect(await readdir(path.join(root, "vendor"))).toHaveLength(FILES);
    expect(await staged()).toEqual([]);
    expect(await finishRestores(root)).toBe(0);
  });

  it("is completed when this process has been given the id of the one that died", async () => {
    const [name = ""] = await staged();
    const reused = name.replace(/-\d+-(\d+)-/, `-${process.pid}-$1-`);
    await rename(path.join(path.dirname(root), name), path.join(path.dirname(root), reused));
    expect(await finishRestores(root)).toBe(1);
    expect(await versions()).toEqual(["2"]);
  });

  it("is completed a day later when its host was another one, as a container that was made anew", async () => {
    const [name = ""] = await staged();
    const foreign = path.join(path.dirname(root), name.replace(/-host[0-9a-f]{8}-/, "-host00000000-"));
    await rename(path.join(path.dirname(root), name), foreign);
    const hoursAgo = (hours: number): Date => new Date(Date.now() - hours * 3_600_000);
    await utimes(foreign, hoursAgo(23), hoursAgo(23));
    expect(await finishRestores(root)).toBe(0);
    expect(await versions()).toEqual(["1", "2"]);
    await utimes(foreign, hoursAgo(25), hoursAgo(25));
    expect(await finishRestores(root)).toBe(1);
    expect(await versions()).toEqual(["2"]);
    expect(await staged()).toEqual([]);
  });

  it("of another host does not come back over a tree that was restored since", async () => {
    const [name = ""] = await staged();
    const foreign = path.join(path.dirname(root), name.replace(/-host[0-9a-f]{8}-/, "-host00000000-"));
    await rename(path.join(path.dirname(root), name), foreign);
    await extractArchive({ archivePath: at("v1.zip"), root });
    expect(await versions()).toEqual(["1"]);
    await utimes(foreign, 1000, 1000);
    expect(await finishRestores(root)).toBe(0);
    expect(await versions()).toEqual(["1"]);
    expect(await staged()).toEqual([]);
  });

  it("is an error when it cannot be completed, and is not tried again", async () => {
    for (let nth = 0; nth < FILES; nth += 1) {
      await rm(path.join(root, `vendor/f${nth}`), { force: true });
      await mkdir(path.join(root, `vendor/f${nth}/own`), { recursive: true });
    }
    await expect(finishRestores(root)).rejects.toMatchObject({ name: "CacheArchiveError", code: "io" });
    expect(await staged()).toEqual([]);
    expect(await finishRestores(root)).toBe(0);
  });
});

describe("a restore whose process died right after it had marked its tree as complete", () => {
  it("is settled before a manifest may say that everything is in its place", async () => {
    await using scratch = await makeScratch();
    const root = scratch.at("roots/project");
    const archives: string[] = [];
    for (const version of ["1", "2"]) {
      const tree = scratch.at(`v${version}`);
      await mkdir(tree);
      await writeFile(path.join(tree, "file"), version);
      const { entries } = await selectFiles({ root: tree, paths: ["file"] });
      const archivePath = scratch.at(`v${version}.zip`);
      await createArchive({ root: tree, entries, archivePath });
      archives.push(archivePath);
    }
    const [first = "", second = ""] = archives;
    const options = { archivePath: first, root, manifestPath: scratch.at("v1.tree") };
    await extractArchive(options);
    expect(await extractArchive(options)).toMatchObject({ wasInPlace: true });
    await restoreAndDie(second, root, 1);
    expect(await extractArchive(options)).toMatchObject({ wasInPlace: false });
    expect(await finishRestores(root)).toBe(0);
    expect(await readFile(path.join(root, "file"), "utf8")).toBe("1");
  });
});

describe("finishRestores", () => {
  it("leaves a restore that is going on alone", async () => {
    await using scratch = await makeScratch();
    const { folder } = await openStaging(scratch.at("roots/project"));
    expect(await finishRestores(scratch.at("roots/project"))).toBe(0);
    expect(await readdir(folder)).toEqual(["tree"]);
  });

  it("finds nothing for a root that does not exist", async () => {
    await using scratch = await makeScratch();
    expect(await finishRestores(scratch.at("nowhere"))).toBe(0);
  });
});

/** Restores in a process that kills itself between two moves. */
async function restoreAndDie(archivePath: string, root: string, movesBefore: number): Promise<void> {
  const source = `
    import fs from "node:fs";
    import { syncBuiltinESMExports } from "node:module";
    const rename = fs.renameSync;
    let moves = 0;
    fs.renameSync = (...names) => {
      if ((moves += 1) > ${movesBefore}) process.kill(process.pid, "SIGKILL");
      rename(...names);
    };
    syncBuiltinESMExports();
    const { extractArchive } = await import(${JSON.stringify(path.join(import.meta.dirname, "../extract.ts"))});
    await extractArchive({ archivePath: ${JSON.stringify(archivePath)}, root: ${JSON.stringify(root)}, maxInlineMs: 60_000 });`;
  const child = spawn(process.execPath, ["--conditions=@fleetfoot/source", "--input-type=module", "--eval", source], {
    stdio: "inherit",
  });
  expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
}
