import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { describeWithProgram } from "./describe-with-system.ts";
import { systemEnvironment } from "./environment.ts";
import { runProgram } from "./run-program.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "fleetfoot-programs-"));
  await mkdir(join(folder, "from"));
  await writeFile(join(folder, "from/file"), "content");
});
afterEach(() => rm(folder, { recursive: true }));

const run = (path: string, ...args: readonly string[]) =>
  runProgram(path, args, { folder, environment: systemEnvironment(folder) });

describeWithProgram("zip", (zip) => {
  describeWithProgram("unzip", (unzip) => {
    it("packs a file, and unzip gives it back", async () => {
      await run(zip().path, "-q", "-r", "archive.zip", "from");
      await run(unzip().path, "-q", "archive.zip", "-d", "to");
      expect(await readFile(join(folder, "to/from/file"), "utf8")).toBe("content");
      expect(zip().version).not.toBe("");
    });
  });
});

describeWithProgram("rsync", (rsync) => {
  it("copies a folder", async () => {
    await run(rsync().path, "--archive", "from/", "to/");
    expect(await readFile(join(folder, "to/file"), "utf8")).toBe("content");
  });
});
