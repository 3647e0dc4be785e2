import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { acquireLock } from "./acquire-lock.ts";
import { DirectoryLockError, LockHeldError, UnusableLockError } from "./errors.ts";
import type { NoHardLinksError } from "./errors.ts";

const deadProcess = 999_999_999;
const holdIt = `
const { acquireLock } = await import(${JSON.stringify(new URL("acquire-lock.ts", import.meta.url).href)});
await acquireLock(process.argv[1]);
process.stdout.write("held");
setInterval(() => {}, 1000);
`;
const takeIt = `
const { acquireLock } = await import(${JSON.stringify(new URL("acquire-lock.ts", import.meta.url).href)});
await (await acquireLock(process.argv[1], { silentMs: 500 })).release();
`;
const own = [process.execPath, "--input-type=module", "--eval", holdIt];
const inOwnNamespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", ...own];

describe("acquireLock", () => {
  let directory: string;
  let path: string;
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "lock-"));
    path = join(directory, "lock");
  });

  afterEach(async () => {
    for (const child of children.splice(0)) await kill(child);
    await rm(directory, { recursive: true, force: true });
  });

  /** A process that has the lock. */
  async function startHolder(
    command: readonly string[],
    environment: NodeJS.ProcessEnv = process.env,
  ): Promise<ChildProcess> {
    const [program = "", ...rest] = command;
    const child = spawn(program, [...rest, path], { stdio: ["ignore", "pipe", "inherit"], env: environment });
    children.push(child);
    await once(child.stdout, "data");
    return child;
  }

  async function kill(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "close");
  }

  it("is refused while a living process has the lock, naming the process", async () => {
    const lock = await acquireLock(path);
    const second = acquireLock(path);
    await expect(second).rejects.toThrow(LockHeldError);
    await expect(second).rejects.toMatchObject({ processId: process.pid, isElsewhere: false, code: "lock-held", path });
    expect(DirectoryLockError.isInstance(await second.catch((error: unknown) => error))).toBe(true);
    await lock.release();
  });

  it.runIf(process.platform === "linux")(
    "is taken from a process that has ended and whose parent does not ask how",
    async () => {
      // The shell becomes a program that does not know of its child.
      const keeps = `"$@" & read -r line; kill -9 $!; exec sleep 1000`;
      const parent = spawn("sh", ["-c", keeps, "sh", ...own, path], { stdio: ["pipe", "pipe", "inherit"] });
      children.push(parent);
      await once(parent.stdout, "data");
      await expect(acquireLock(path)).rejects.toThrow(LockHeldError);
      const holder = Number((await readFile(path, "latin1")).split(" ")[0]);
      parent.stdin.end("\n");
      await expect.poll(() => readFile(`/proc/${holder}/stat`, "latin1")).toContain(") Z ");
      await (await acquireLock(path)).release();
      expect(await readdir(directory)).toEqual([]);
    },
  );

  it("can be taken again after it was released", async () => {
    for (let time = 0; time < 2; time += 1) await (await acquireLock(path)).release();
    expect(await readdir(directory)).toEqual([]);
  });

  it("names a folder that is in its place, and says what to do", async () => {
    await mkdir(path);
    const error = await acquireLock(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UnusableLockError);
    expect(error).toMatchObject({
      message: `${path} is a folder, where the file of a lock belongs.`,
      code: "lock-unusable",
    });
    expect(error).toHaveProperty("cure");
    expect(await readdir(directory)).toEqual(["lock"]);
  });

  it.each([
    ["of a process that is dead", `${deadProcess} 1\n`],
    ["of an earlier process with our own number, as after the restart of a container", `${process.pid} 1\n`],
    ["that says nothing", ""],
    ["of garbage", "garbage\n"],
    ["of no process", "0 1\n"],
    ["that was cut", `${process.pid}`],
  ])("is taken over from a file %s", async (_what, text) => {
    await writeFile(path, text);
    const lock = await acquireLock(path);
    expect(await readdir(directory)).toEqual(["lock"]);
    await expect(acquireLock(path)).rejects.toThrow(LockHeldError);
    await lock.release();
  });

  it.each(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"])(
    "says what to do where there are no hard links (%s), and leaves nothing",
    async (code) => {
      const { link } = fs.promises;
      fs.promises.link = async () => await Promise.reject(Object.assign(new Error(`${code}: refused`), { code }));
      syncBuiltinESMExports();
      try {
        const error = await acquireLock(path).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(UnusableLockError);
        expect(error).toMatchObject({ name: "NoHardLinksError", code: "no-hard-links", path, retryable: false });
        expect(String(error)).toContain(`its file system has no hard links (${code})`);
        expect((error as NoHardLinksError).cure).toContain("file system that has them");
      } finally {
        fs.promises.link = link;
        syncBuiltinESMExports();
      }
      expect(await readdir(directory)).toEqual([]);
    },
  );

  it.each(["link", "pipe"])("is taken over from a %s, which is neither followed nor waited for", async (what) => {
    const outside = join(directory, "outside");
    await writeFile(outside, "secret");
    if (what === "link") await symlink(outside, path);
    else execFileSync("mkfifo", [path]);
    const lock = await acquireLock(path);
    expect(await readFile(outside, "utf8")).toBe("secret");
    expect((await lstat(path)).isFile()).toBe(true);
    await lock.release();
  });

  it("is refused without that anything is written", async () => {
    const child = await startHolder(inOwnNamespace);
    const { mtimeNs } = await lstat(directory, { bigint: true });
    await expect(acquireLock(path)).rejects.toThrow(LockHeldError);
    expect((await lstat(directory, { bigint: true })).mtimeNs).toBe(mtimeNs);
    await kill(child);
    await (await acquireLock(path)).release();
  });

  it("is refused while another living process has it, and taken over when that has died", async () => {
    const child = await startHolder(own);
    await expect(acquireLock(path)).rejects.toMatchObject({ processId: child.pid, isElsewhere: false });
    await kill(child);
    await (await acquireLock(path)).release();
  });

  it("is refused while a process of another container has it, and taken over at once when that was killed", async () => {
    const child = await startHolder(inOwnNamespace);
    const refused = acquireLock(path, { sleep: noSleep });
    await expect(refused).rejects.toMatchObject({ processId: 1, isElsewhere: true });
    await expect(refused).rejects.toThrow("process 1 of another container or machine");
    await kill(child);
    await (await acquireLock(path, { sleep: noSleep })).release();
  });

  it("goes by signs of life where the kernel cannot be asked", async () => {
    const child = await startHolder(
      inOwnNamespace.map((word) => (word === "unshare" ? "/usr/bin/unshare" : word)),
      { PATH: "/nowhere" },
    );
    expect((await readFile(path, "utf8")).trim().split(" ").at(-1)).toBe("-");
    await expect(acquireLock(path, { silentMs: 60_000 })).rejects.toMatchObject({ isElsewhere: true });
    await kill(child);
    await (await acquireLock(path, { silentMs: 1000 })).release();
  });

  it("waits for signs of life from another machine although its own kernel knows of none", async () => {
    await writeFile(path, `1 1 11111111-1111-1111-1111-111111111111 pid:[4026531836] kernel\n`);
    let waitedMs = 0;
    const sleep = async (milliseconds: number, signal?: AbortSignal): Promise<void> => {
      // The wait between its own signs of life has one.
      if (signal !== undefined) return noSleep(milliseconds, signal);
      waitedMs += milliseconds;
    };
    await (await acquireLock(path, { sleep })).release();
    // Once: not before anything is written, and again to take it over.
    expect(waitedMs).toBe(10_000);
  });

  it("lives until the lock is taken over, as a process that has begun nothing else", async () => {
    // As after a crash of the whole machine: the holder's was started another time.
    await writeFile(path, `1 1 11111111-1111-1111-1111-111111111111 pid:[4026531836] kernel\n`);
    const words = ["--input-type=module", "--eval", takeIt, path];
    const child = spawn(process.execPath, words, { stdio: ["ignore", "ignore", "inherit"] });
    children.push(child);
    expect(await once(child, "close")).toEqual([0, null]);
    expect(await readdir(directory)).toEqual([]);
  });

  it("stops waiting when it is told to", async () => {
    await writeFile(path, `1 1 11111111-1111-1111-1111-111111111111 pid:[4026531836] kernel\n`);
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(acquireLock(path, { signal })).rejects.toThrow("enough");
    expect(await readdir(directory)).toEqual(["lock"]);
  });

  it("tells that it is gone when the directory was removed, also when another process has it there now", async () => {
    const lock = await acquireLock(path);
    expect(await lock.isHeld()).toBe(true);
    await rm(directory, { recursive: true });
    expect(await lock.isHeld()).toBe(false);
    await mkdir(directory);
    const child = await startHolder(own);
    expect(await lock.isHeld()).toBe(false);
    await lock.release();
    await expect(acquireLock(path)).rejects.toMatchObject({ processId: child.pid });
  });

  it("goes to exactly one of many that find a dead process's lock at once", async () => {
    await writeFile(path, `${deadProcess} 1\n`);
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => acquireLock(path)));
    const taken = results.filter((result) => result.status === "fulfilled");
    expect(taken).toHaveLength(1);
    expect(await readdir(directory)).toEqual(["lock"]);
    for (const { value } of taken) await value.release();
  });
});

/** Rejects like a wait that was ended: nothing is to be waited for. */
async function noSleep(_milliseconds: number, signal?: AbortSignal): Promise<void> {
  if (signal === undefined) throw new Error("it waits");
  await new Promise<never>((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
