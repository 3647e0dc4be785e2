import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemEnvironment } from "./environment.ts";
import { withLock } from "./lock.ts";
import { runProgram } from "./run-program.ts";

describe("withLock", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "fleetfoot-lock-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("runs one work at a time", async () => {
    let running = 0;
    let most = 0;
    const work = () =>
      withLock(join(folder, "lock"), async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
      });
    await Promise.all([work(), work(), work(), work()]);
    expect(most).toBe(1);
  });

  it("is free again after work that fails", async () => {
    const file = join(folder, "lock");
    await expect(withLock(file, () => Promise.reject(new Error("work")))).rejects.toThrow("work");
    expect(await withLock(file, async () => "again")).toBe("again");
  });

  it("is free again when its holder is killed by SIGKILL", async () => {
    const file = join(folder, "lock");
    const program = `
      import { withLock } from ${JSON.stringify(join(import.meta.dirname, "lock.ts"))};
      await withLock(${JSON.stringify(file)}, () => { console.log("held"); return new Promise(() => setInterval(() => {}, 1000)); });
    `;
    const holder = spawn(process.execPath, ["--input-type=module-typescript", "--eval", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(holder.stdout, "data");
    const tryLock = ["--nonblock", file, "true"];
    await expect(runProgram("flock", tryLock, { environment: systemEnvironment("/") })).rejects.toThrow("status 1");
    const waiting = withLock(file, async () => "free again");
    holder.kill("SIGKILL");
    expect(await waiting).toBe("free again");
  });
});
