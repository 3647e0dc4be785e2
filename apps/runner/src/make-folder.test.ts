import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runnerWorld } from "./testing/running-runner.ts";

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
