import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { CacheArchiveError, extractArchive } from "@fleetfoot/cache-archive";
import type { JobCache } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { CacheBench, inProcess } from "../test-support/cache-bench.ts";
import { realArchiver } from "./archiver.ts";

const FILES = 100;
/** The whole proof takes 200, for which there is not always time. */
const KILLS = Number(process.env["FLEETFOOT_KILLS"] ?? 50);
const gems: JobCache = { key: "gems", paths: ["vendor"] };

describe("a restore that does not come to its end", () => {
  let bench: CacheBench;
  beforeEach(async () => {
    bench = await CacheBench.open();
    await mkdir(join(bench.project, "vendor"));
    const names = Array.from({ length: FILES }, (_, index) => join(bench.project, `vendor/file-${index}`));
    await Promise.all(names.map((name) => writeFile(name, name.repeat(20))));
    await bench.save(gems);
    await bench.clean();
    bench.forget();
  });
  afterEach(() => bench.close());

  /** Fails after everything was written, as a wrong checksum at the end of an archive does. */
  function breakOnce(): void {
    let broken = false;
    bench.extra = {
      archiver: {
        ...realArchiver,
        extractArchive: async (options) => {
          const result = await extractArchive(options);
          if (broken) return result;
          broken = true;
          throw new CacheArchiveError({ code: "checksum", message: "the checksum is wrong" });
        },
      },
    };
  }

  it("leaves nothing in the project", async () => {
    breakOnce();
    await bench.restore(gems);
    expect(bench.events).toMatchObject([{ kind: "miss" }]);
    expect([await readdir(bench.project), await readdir(bench.temporary)]).toEqual([[], []]);
  });

  it("leaves nothing when another process kills it, at whatever moment", async () => {
    const outcomes = new Map<string, number>();
    let longestMs = 0;
    for (let kill = 0; kill < KILLS; kill += 1) {
      const restoring = inProcess("restoreCaches", bench, gems, "", { announce: true });
      await restoring.announced;
      const startedAt = performance.now();
      // The first one may come to its end, and shows how long that takes.
      if (kill === 0) await restoring;
      else await new Promise((resolve) => setTimeout(resolve, Math.random() * longestMs));
      restoring.child.kill("SIGKILL");
      if (kill === 0) longestMs = performance.now() - startedAt;
      const { stdout } = await restoring;
      const names = await readdir(bench.project);
      const count = names.length === 0 ? 0 : (await readdir(join(bench.project, "vendor"))).length;
      expect([0, FILES]).toContain(count);
      if (stdout.includes("Restored cache")) expect(count).toBe(FILES);
      const outcome = count === 0 ? "nothing" : "all";
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      await bench.clean();
      // As the next job's preparation does.
      await rm(bench.temporary, { recursive: true });
      await mkdir(bench.temporary);
    }
    expect([...outcomes.keys()].toSorted()).toEqual(["all", "nothing"]);
  }, 180_000);

  it("is followed by one over what is in the way, which stays", async () => {
    await mkdir(join(bench.project, "vendor"));
    await writeFile(join(bench.project, "vendor/own"), "own");
    await bench.restore(gems);
    expect(await readFile(join(bench.project, "vendor/own"), "utf8")).toBe("own");
    expect(await readdir(join(bench.project, "vendor"))).toHaveLength(FILES + 1);
    expect(await readdir(bench.temporary)).toEqual([]);
  });

  it("does not lose what the archive holds beyond the paths of its entry", async () => {
    await mkdir(join(bench.project, "vendor"));
    await writeFile(join(bench.project, "vendor/own"), "own");
    await bench.restore({ ...gems, paths: ["other"] });
    expect(bench.events).toMatchObject([{ kind: "hit" }]);
    expect(await readdir(join(bench.project, "vendor"))).toHaveLength(FILES + 1);
  });
});
