import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { acquireLock, LockedError } from "./lock.ts";

const DEAD_PROCESS = 999_999_999;
const HOLD = `
const { acquireLock } = await import(${JSON.stringify(new URL("lock.ts", import.meta.url).href)});
await acquireLock(process.argv[1]);
process.stdout.write("held");
setInterval(() => {}, 1000);
`;

describe("acquireLock", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "fleetfoot-lock-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("is refused while a living process has the lock, naming the process", async () => {
    await acquireLock(join(folder, "lock"));
    const second = acquireLock(join(folder, "lock"));
    await expect(second).rejects.toThrow(LockedError);
    await expect(second).rejects.toMatchObject({ processId: process.pid });
  });

  it("can be taken again after it was released", async () => {
    const lock = await acquireLock(join(folder, "lock"));
    await lock.release();
    await (await acquireLock(join(folder, "lock"))).release();
    expect(await readdir(folder)).toEqual([]);
  });

  it("names a folder that is in its place", async () => {
    await mkdir(join(folder, "lock"));
    await expect(acquireLock(join(folder, "lock"))).rejects.toThrow(`${join(folder, "lock")} is a folder`);
    expect(await readdir(folder)).toEqual(["lock"]);
  });

  it("is taken over from a process that is dead", async () => {
    await writeFile(join(folder, "lock"), `${DEAD_PROCESS} 1\n`);
    await acquireLock(join(folder, "lock"));
    expect(await readdir(folder)).toEqual(["lock"]);
  });

  it("is taken over from an earlier process with our own number, as after the restart of a container", async () => {
    await writeFile(join(folder, "lock"), `${process.pid} 1\n`);
    await acquireLock(join(folder, "lock"));
    expect(await readdir(folder)).toEqual(["lock"]);
    await expect(acquireLock(join(folder, "lock"))).rejects.toThrow(LockedError);
  });

  it("is refused while another living process has it, and taken over when that has died", async () => {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", HOLD, join(folder, "lock")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    await expect(acquireLock(join(folder, "lock"))).rejects.toMatchObject({ processId: child.pid });
    child.kill("SIGKILL");
    await once(child, "close");
    await acquireLock(join(folder, "lock"));
    expect(await readdir(folder)).toEqual(["lock"]);
  });

  it.each(["", "garbage\n", "0 1\n", `${process.pid}`])(
    "is taken over when the file says nothing: %j",
    async (text) => {
      await writeFile(join(folder, "lock"), text);
      await acquireLock(join(folder, "lock"));
      expect(await readdir(folder)).toEqual(["lock"]);
    },
  );

  it("goes to exactly one of many that find a dead process's lock at once", async () => {
    await writeFile(join(folder, "lock"), `${DEAD_PROCESS} 1\n`);
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => acquireLock(join(folder, "lock"))));
    expect(results.filter((result) => result.status === "fulfilled")).toHaveLength(1);
    expect(await readdir(folder)).toEqual(["lock"]);
  });

  it("makes the folder of the lock", async () => {
    await acquireLock(join(folder, "a/b/lock"));
    expect(await readdir(join(folder, "a/b"))).toEqual(["lock"]);
  });
});
