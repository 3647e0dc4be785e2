import childProcess from "node:child_process";
import type { ChildProcess } from "node:child_process";
import fs, { readFileSync, readlinkSync } from "node:fs";
import { lstat, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createArchive } from "../create.ts";
import { extractArchive } from "../extract.ts";
import { selectFiles } from "../select/select.ts";
import { makeScratch } from "../test-support/scratch.ts";
import type { Scratch } from "../test-support/scratch.ts";
import { finishRestores } from "./finish-restores.ts";
import { settleStaging } from "./settle.ts";
import { openStaging } from "./staging.ts";
import { stagingPrefix } from "./staging-places.ts";

let scratch: Scratch;
let root: string;
const { link, open } = fs.promises;
const { spawn } = childProcess;

beforeEach(async () => {
  scratch = await makeScratch();
  root = scratch.at("project");
  await mkdir(root);
});

afterEach(async () => {
  Object.assign(fs.promises, { link, open });
  childProcess.spawn = spawn;
  syncBuiltinESMExports();
  await scratch[Symbol.asyncDispose]();
});

describe.each(["EDQUOT", "ENOSPC", "ENOTSUP", "EPERM", "EROFS"])("where a lock cannot be written (%s)", (errno) => {
  it("what had not begun is cleared away, since it may be what fills the disk", async () => {
    const folder = await dead({ hasBegun: false });
    await mkdir(scratch.at(`${stagingPrefix(root)}empty`), { mode: 0o700 });
    refuseLocks(errno);
    expect(await finishRestores(root)).toBe(0);
    expect(await readdir(scratch.path)).toEqual(["project"]);
    expect(await readdir(root)).toEqual([]);
    await expect(lstat(folder)).rejects.toThrow("ENOENT");
  });

  it("what had begun is kept, and told", async () => {
    const folder = await dead({ hasBegun: true });
    refuseLocks(errno);
    await expect(finishRestores(root)).rejects.toMatchObject({ name: "CacheArchiveError" });
    expect((await readdir(folder)).sort()).toEqual(["complete.jsonl", "tree"]);
    Object.assign(fs.promises, { link, open });
    syncBuiltinESMExports();
    expect(await finishRestores(root)).toBe(1);
    expect(await readFile(path.join(root, "file"), "utf8")).toBe("new");
  });

  it("what a living process has is left alone", async () => {
    const { folder, lock } = await openStaging(root);
    refuseLocks(errno);
    expect(await finishRestores(root)).toBe(0);
    expect((await readdir(folder)).sort()).toEqual(["lock", "tree"]);
    await lock.release();
  });

  it("a restore fails, and leaves nothing", async () => {
    await writeFile(scratch.at("file"), "x");
    const { entries } = await selectFiles({ root: scratch.path, paths: ["file"] });
    await createArchive({ root: scratch.path, entries, archivePath: scratch.at("cache.zip") });
    refuseLocks(errno);
    await expect(extractArchive({ archivePath: scratch.at("cache.zip"), root })).rejects.toThrow(errno);
    expect((await readdir(scratch.path)).sort()).toEqual(["cache.zip", "file", "project"]);
  });
});

it("a restore says what to do about a file system without hard links", async () => {
  await writeFile(scratch.at("file"), "x");
  const { entries } = await selectFiles({ root: scratch.path, paths: ["file"] });
  await createArchive({ root: scratch.path, entries, archivePath: scratch.at("cache.zip") });
  refuseLocks("EPERM");
  await expect(extractArchive({ archivePath: scratch.at("cache.zip"), root })).rejects.toThrow(
    /has no hard links \(EPERM\)\. Use a place on a file system that has them/,
  );
});

describe("a restore that had begun, whose lock cannot be looked at", () => {
  it("is completed when its lock is a file of ours that is not for us to read", async () => {
    const folder = await dead({ hasBegun: true });
    await writeFile(path.join(folder, "lock"), "");
    failOpens("EACCES", (place) => place === path.join(folder, "lock"));
    expect(await finishRestores(root)).toBe(1);
    expect(await readFile(path.join(root, "file"), "utf8")).toBe("new");
    expect(await readdir(scratch.path)).toEqual(["project"]);
  });

  it.each(["EIO", "EMFILE", "ESTALE"])("does not count as one that goes on (%s)", async (errno) => {
    const folder = await dead({ hasBegun: true });
    failOpens(errno, (place) => place.startsWith(folder));
    await expect(finishRestores(root)).rejects.toMatchObject({
      name: "CacheArchiveError",
      code: "io",
      message: expect.stringContaining(errno),
    });
    expect(await readdir(root)).toEqual([]);
  });

  it("is left to others when the folder is theirs, too", async () => {
    const folder = await dead({ hasBegun: true });
    await fs.promises.chmod(folder, 0o755);
    failOpens("EACCES", (place) => place.startsWith(folder));
    expect(await finishRestores(root)).toBe(0);
    expect(await readdir(folder)).toEqual(["complete.jsonl", "tree"]);
  });
});

describe("a dead restore from which a job has taken all rights", () => {
  it.each([
    { what: "the folder", name: "", hasBegun: true },
    { what: "the folder of one that had not begun", name: "", hasBegun: false },
    { what: "the tree", name: "tree", hasBegun: true },
    { what: "the tree of one that had not begun", name: "tree", hasBegun: false },
    { what: "what says that it had begun", name: "complete.jsonl", hasBegun: true },
  ])("is completed, or cleared away, by its own user: $what", async ({ name, hasBegun }) => {
    const folder = await dead({ hasBegun });
    const { chmod, chown } = fs.promises;
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) {
      for (const owned of ["", ...(await readdir(scratch.path, { recursive: true }))])
        await chown(scratch.at(owned), 65_534, 65_534);
    }
    await chmod(path.join(folder, name), 0);
    if (isRoot) process.seteuid?.(65_534);
    try {
      expect(await finishRestores(root)).toBe(hasBegun ? 1 : 0);
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
    expect(await readdir(scratch.path)).toEqual(["project"]);
    expect(await readdir(root)).toEqual(hasBegun ? ["file"] : []);
  });

  it("is not believed when it is open to others by then", async () => {
    const folder = await dead({ hasBegun: true });
    await fs.promises.chmod(folder, 0o077);
    expect(await finishRestores(root)).toBe(0);
    expect(await readdir(scratch.path)).toEqual(["project"]);
    expect(await readdir(root)).toEqual([]);
  });
});

describe("several dead restores", () => {
  it("of other machines are watched at the same time, and once", async () => {
    for (let nth = 0; nth < 3; nth += 1) await writeMark(await dead({ hasBegun: false }), { boot: "another-one" });
    let waiting: (() => void)[] = [];
    let waits = 0;
    // Nobody's wait is over before all are waiting.
    const sleep = async (_milliseconds: number, signal?: AbortSignal): Promise<void> => {
      if (signal !== undefined) return await never(signal);
      waits += 1;
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        if (waiting.length < 3) return;
        for (const wake of waiting) wake();
        waiting = [];
      });
    };
    expect(await settleStaging(root, { sleep, silentMs: 1000 })).toBe(0);
    expect(waits).toBe(3 * 4);
    expect(await readdir(scratch.path)).toEqual(["project"]);
  });

  it("of containers are asked for two at a time, since each takes a process", async () => {
    for (let nth = 0; nth < 8; nth += 1) await writeMark(await dead({ hasBegun: false }), { namespace: "pid:[1]" });
    let running = 0;
    let most = 0;
    let all = 0;
    childProcess.spawn = ((...parameters: Parameters<typeof spawn>): ChildProcess => {
      all += 1;
      most = Math.max(most, (running += 1));
      return spawn(...parameters).once("close", () => (running -= 1));
    }) as typeof spawn;
    syncBuiltinESMExports();
    expect(await finishRestores(root)).toBe(0);
    expect(all).toBeGreaterThanOrEqual(8);
    expect(most).toBeLessThanOrEqual(2);
    expect(await readdir(scratch.path)).toEqual(["project"]);
  });

  it("are given back when the signal aborts, each of them", async () => {
    const reason = new Error("canceled");
    const controller = new AbortController();
    await dead({ hasBegun: true });
    await writeMark(await dead({ hasBegun: false }), { boot: "another-one" });
    const sleep = async (_milliseconds: number, signal?: AbortSignal): Promise<void> => {
      // The first sign of life of its own: one is taken, and the other one is watched.
      if (signal !== undefined && signal !== controller.signal) controller.abort(reason);
      await never(signal);
    };
    await expect(settleStaging(root, { sleep, signal: controller.signal })).rejects.toBe(reason);
    const noWait = async (_milliseconds: number, signal?: AbortSignal): Promise<void> =>
      signal === undefined ? undefined : await never(signal);
    expect(await settleStaging(root, { sleep: noWait })).toBe(1);
    expect(await readdir(scratch.path)).toEqual(["project"]);
    expect(await readFile(path.join(root, "file"), "utf8")).toBe("new");
  });
});

/** What a process leaves that dies before, or after, it has begun to move its tree. */
async function dead({ hasBegun }: { readonly hasBegun: boolean }): Promise<string> {
  const { mkdtemp } = fs.promises;
  const folder = await mkdtemp(scratch.at(`${stagingPrefix(root)}dead-`));
  await mkdir(path.join(folder, "tree"));
  await writeFile(path.join(folder, "tree/file"), "new");
  if (!hasBegun) return folder;
  const { dev, ino } = await lstat(root, { bigint: true });
  const head = { root, device: String(dev), inode: String(ino) };
  await writeFile(path.join(folder, "complete.jsonl"), `${JSON.stringify(head)}\n`);
  return folder;
}

/** Makes it the restore of another process. */
async function writeMark(
  folder: string,
  { boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim(), namespace = ownNamespace() },
): Promise<void> {
  await writeFile(path.join(folder, "lock"), `${process.pid} - ${boot} ${namespace} kernel\n`);
}

function ownNamespace(): string {
  return readlinkSync("/proc/self/ns/pid");
}

/** A full disk refuses files, one without hard links only these. */
function refuseLocks(errno: string): void {
  if (errno !== "EPERM" && errno !== "ENOTSUP") return failOpens(errno, (place) => /\/lock\.[^/]+$/.test(place));
  fs.promises.link = async () => await Promise.reject(failure(errno));
  syncBuiltinESMExports();
}

function failOpens(errno: string, isRefused: (place: string) => boolean): void {
  fs.promises.open = async (...parameters: Parameters<typeof open>) => {
    if (isRefused(String(parameters[0]))) throw failure(errno);
    return await open(...parameters);
  };
  syncBuiltinESMExports();
}

function failure(errno: string): Error {
  return Object.assign(new Error(`${errno}: refused`), { code: errno });
}

async function never(signal: AbortSignal | undefined): Promise<never> {
  signal?.throwIfAborted();
  return await new Promise((_resolve, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
