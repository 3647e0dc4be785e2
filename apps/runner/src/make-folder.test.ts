import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeFolder } from "./make-folder.ts";
import { runnerWorld } from "./testing/running-runner.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "make-folder-"));
});
afterEach(() => rm(folder, { recursive: true }));

describe("makeFolder", () => {
  it("makes what is missing, with its mode, and leaves what is there as it is", async () => {
    await makeFolder(join(folder, "a"), 0o755);
    await makeFolder(join(folder, "a", "b", "c"), 0o700);
    await makeFolder(join(folder, "a", "b", "c"), 0o755);
    const modes = ["a", "a/b", "a/b/c"].map(async (path) =>
      ((await stat(join(folder, path))).mode & 0o777).toString(8),
    );
    expect(await Promise.all(modes)).toEqual(["755", "700", "700"]);
  });

  it("may be asked for the same folder many times at once", async () => {
    await Promise.all(Array.from({ length: 20 }, () => makeFolder(join(folder, "x", "y", "z"))));
    expect((await stat(join(folder, "x", "y", "z"))).isDirectory()).toBe(true);
  });

  it("refuses a place behind a file, by the system's own error", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(makeFolder(join(folder, "file"))).rejects.toMatchObject({ code: "EEXIST" });
    await expect(makeFolder(join(folder, "file", "x"))).rejects.toMatchObject({ code: "ENOTDIR" });
  });

  it.runIf(process.platform === "linux")("comes to an end where a file system takes no folders", async () => {
    await expect(makeFolder("/proc/x/y")).rejects.toThrow("/proc/x cannot be made: /proc takes no folders.");
  });
});

describe.runIf(process.platform === "linux")("commands", () => {
  it.each([
    { words: ["exec", "--state-dir", "/proc/x"], place: "/proc/x" },
    { words: ["coordinator", "--state-dir", "/proc/x"], place: "/proc/x" },
    { words: ["run", "--config", "CONFIG", "--working-directory", "/proc/x"], place: "/proc/x" },
  ])("$words refuse a place that takes no folders, and do not hang", async ({ words, place }) => {
    await using world = await runnerWorld();
    await world.configure();
    await writeFile(join(world.folder, ".gitlab-ci.yml"), "job: { script: [echo] }\n");
    const result = await world.command(words.map((word) => (word === "CONFIG" ? world.configPath : word)));
    expect([result.code, result.complained()]).toEqual([1, expect.stringContaining(`${place} cannot be made`)]);
  });
});
