import { spawn } from "node:child_process";
import { once } from "node:events";
import fs, { readFileSync, readlinkSync, utimesSync } from "node:fs";
import { lstat, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import path from "node:path";

import { beforeEach, describe, expect, it } from "vitest";

import { createArchive } from "../create.ts";
import { extractArchive } from "../extract.ts";
import { finishRestores } from "./finish-restores.ts";
import { settleStaging } from "./settle.ts";
import { openStaging } from "./staging.ts";
import type { Staging } from "./staging.ts";
import { realPathOf } from "./staging-places.ts";
import { pathFromBytes, toFileSystemPath } from "../path-bytes.ts";
import { selectFiles } from "../select/select.ts";
import { makeScratch } from "../test-support/scratch.ts";

const FILES = 20;
/** Runs what follows where its ids are its own, as in a container. */
const ownNamespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
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
    await writeMark({ start: "1" });
    expect(await finishRestores(root)).toBe(1);
    expect(await versions()).toEqual(["2"]);
  });

  it("is completed at once when its container is gone, whatever name it had", async () => {
    await writeMark({ namespace: "pid:[1]" });
    expect(await finishRestores(root)).toBe(1);
    expect(await versions()).toEqual(["2"]);
    expect(await staged()).toEqual([]);
  });

  it("is completed when it was another machine's that gives no sign of life", async () => {
    await writeMark({ boot: "another-one" });
    // Waits for signs of life are over at once, those between its own never.
    const sleep = async (_milliseconds: number, signal?: AbortSignal): Promise<void> => {
      if (signal !== undefined) await once(signal, "abort");
    };
    expect(await settleStaging(realPathOf(root), { sleep })).toBe(1);
    expect(await versions()).toEqual(["2"]);
    expect(await staged()).toEqual([]);
  });

  it("is left to another machine that gives signs of life", async () => {
    await writeMark({ boot: "another-one" });
    const [name = ""] = await staged();
    const lock = path.join(path.dirname(root), name, "lock");
    const sleep = async (): Promise<void> => utimesSync(lock, 1000, 1);
    expect(await settleStaging(realPathOf(root), { sleep })).toBe(0);
    expect(await versions()).toEqual(["1", "2"]);
  });

  it("is waited for no longer when the signal aborts, and can be completed after that", async () => {
    await writeMark({ boot: "another-one" });
    const controller = new AbortController();
    const reason = new Error("canceled");
    const finished = finishRestores(root, { signal: controller.signal });
    setImmediate(() => controller.abort(reason));
    await expect(finished).rejects.toBe(reason);
    await expect(finishRestores(root, { signal: controller.signal })).rejects.toBe(reason);
    await writeMark({ start: "1" });
    expect(await finishRestores(root)).toBe(1);
  });

  /** Makes it the restore of another process. */
  async function writeMark({
    start = "-",
    boot = ownBoot(),
    namespace = readlinkSync("/proc/self/ns/pid"),
  }): Promise<void> {
    const [name = ""] = await staged();
    const mark = `${process.pid} ${start} ${boot} ${namespace} kernel\n`;
    await writeFile(path.join(path.dirname(root), name, "lock"), mark);
  }

  it("is completed by one process when several ask for it", async () => {
    const start = at("start");
    const settlers = await Promise.all(Array.from({ length: 4 }, () => startSettler(root, start)));
    await writeFile(start, "");
    const counts = await Promise.all(settlers.map(({ result }) => result));
    expect(counts.toSorted()).toEqual(["0", "0", "0", "1"]);
    expect(await versions()).toEqual(["2"]);
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
    expect((await readdir(folder)).toSorted()).toEqual(["lock", "tree"]);
  });

  it("knows who holds a restore below a folder whose name is not UTF-8", async () => {
    await using scratch = await makeScratch();
    const root = pathFromBytes(
      Buffer.concat([Buffer.from(`${scratch.path}/`), Buffer.from([0xff]), Buffer.from("/project")]),
    );
    await mkdir(toFileSystemPath(root), { recursive: true });
    const { folder, lock } = await openStaging(root);
    expect(await finishRestores(root)).toBe(0);
    expect((await readdir(toFileSystemPath(folder))).toSorted()).toEqual(["lock", "tree"]);
    await lock.release();
    await finishRestores(root);
    expect(await readdir(toFileSystemPath(path.dirname(root)))).toEqual(["project"]);
  });

  it("leaves a restore alone that goes on in another container of the same name", async () => {
    await using scratch = await makeScratch();
    const root = scratch.at("roots/project");
    const source = `
      const { openStaging } = await import(${JSON.stringify(path.join(import.meta.dirname, "staging.ts"))});
      process.stdout.write((await openStaging(${JSON.stringify(root)})).folder);
      setInterval(() => {}, 1000);`;
    const node = [process.execPath, "--conditions=@fleetfoot/source", "--input-type=module", "--eval", source];
    const [program = "", ...words] = [...ownNamespace, ...node];
    const child = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"] });
    const closed = once(child, "close");
    try {
      const [folder] = (await once(child.stdout, "data")) as [Buffer];
      expect(await finishRestores(root)).toBe(0);
      expect((await readdir(folder.toString())).toSorted()).toEqual(["lock", "tree"]);
      child.kill("SIGKILL");
      await closed;
      // The kernel takes the lock back when the last process of the container is gone.
      await expect.poll(async () => (await finishRestores(root), readdir(scratch.at("roots")))).toEqual(["project"]);
    } finally {
      child.kill("SIGKILL");
      await closed;
    }
  });

  it("settles the others, too, when one of them cannot be removed, and says so", async () => {
    await using scratch = await makeScratch();
    const root = scratch.at("roots/project");
    const made = [await openStaging(root), await openStaging(root)];
    const folders = made.map(({ folder }) => folder).toSorted();
    for (const staging of made) await dieWhileCleaningUp(staging);
    const [stuck = ""] = folders;
    const { rmSync } = fs;
    fs.rmSync = (...parameters: Parameters<typeof rmSync>) => {
      if (String(parameters[0]).startsWith(stuck)) throw Object.assign(new Error("EBUSY: stuck"), { code: "EBUSY" });
      rmSync(...parameters);
    };
    syncBuiltinESMExports();
    try {
      await expect(finishRestores(root)).rejects.toThrow("EBUSY: stuck");
    } finally {
      fs.rmSync = rmSync;
      syncBuiltinESMExports();
    }
    expect((await readdir(scratch.at("roots"))).toSorted()).toEqual([path.basename(stuck), "project"]);
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

/** Leaves of a restore what there is when its process has died although all of it was done. */
async function dieWhileCleaningUp({ root, folder, lock }: Staging): Promise<void> {
  const { dev, ino } = await lstat(root, { bigint: true });
  const head = { root, device: String(dev), inode: String(ino) };
  await writeFile(path.join(folder, "complete.jsonl"), `${JSON.stringify(head)}\n`);
  await rm(path.join(folder, "tree"), { recursive: true });
  await lock.release();
}

interface Settler {
  /** What `finishRestores` returned. */
  readonly result: Promise<string>;
}

/** Starts a process that settles a root as soon as a file is there; resolves when it waits for the file. */
async function startSettler(root: string, start: string): Promise<Settler> {
  const source = `
    import { existsSync } from "node:fs";
    const { finishRestores } = await import(${JSON.stringify(path.join(import.meta.dirname, "finish-restores.ts"))});
    process.stdout.write("ready");
    while (!existsSync(${JSON.stringify(start)}));
    process.stdout.write(String(await finishRestores(${JSON.stringify(root)})));`;
  const child = spawn(process.execPath, ["--conditions=@fleetfoot/source", "--input-type=module", "--eval", source], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  const result = once(child, "close").then(() => output.replace("ready", ""));
  await once(child.stdout, "data");
  return { result };
}

function ownBoot(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
}
