import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LockHeldError } from "@fleetfoot/directory-lock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { takeLock } from "./lock.ts";

describe("takeLock", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "fleetfoot-lock-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("makes the folder of the lock, which is then one process's", async () => {
    const lock = await takeLock(join(folder, "a/b/lock"));
    expect(await readdir(join(folder, "a/b"))).toEqual(["lock"]);
    await expect(takeLock(join(folder, "a/b/lock"))).rejects.toThrow(LockHeldError);
    await lock.release();
  });

  it("names a folder that is in its place", async () => {
    await mkdir(join(folder, "lock"));
    await expect(takeLock(join(folder, "lock"))).rejects.toThrow(`${join(folder, "lock")} is a folder`);
    expect(await readdir(folder)).toEqual(["lock"]);
  });
});
