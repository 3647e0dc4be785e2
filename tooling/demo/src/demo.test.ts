import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const program = join(import.meta.dirname, "main.ts");

describe("npm start", () => {
  let state: string;
  beforeEach(async () => {
    state = await mkdtemp(join(tmpdir(), "fleetfoot-demo-"));
  });
  afterEach(() => rm(state, { recursive: true, force: true }));

  it("runs the example pipeline twice: the caches miss at first and hit then, and the secret stays hidden", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ["--conditions=@fleetfoot/source", program, state]);
    const caches = [...stdout.matchAll(/^Caches: (\d+) hits? .*?, (\d+) miss(?:es)?, (\d+) saved/gm)].map((match) =>
      match.slice(1).map(Number),
    );
    expect(caches).toHaveLength(2);
    const [first, second] = caches;
    expect(first?.[1]).toBe(3);
    expect(first?.[2]).toBe(3);
    expect(second?.[1]).toBe(0);
    expect(second?.[0]).toBeGreaterThan(first?.[0] ?? 0);
    expect(stdout).toContain("Publishing with token [MASKED]");
    expect(stdout).toContain("is in no file");
  });
});
