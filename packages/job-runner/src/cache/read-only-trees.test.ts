import { chmod, mkdir, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { JobCache } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { CacheBench } from "../test-support/cache-bench.ts";
import { asNobody, NOBODY, own } from "../test-support/ordinary-user.ts";
import { KeptTrees } from "./kept-trees.ts";

const modules: JobCache = { key: "modules", paths: ["vendor/"] };

describe("a cache with folders that nobody may write to, on a runner of an ordinary user", () => {
  let bench: CacheBench;
  beforeEach(async () => {
    bench = await CacheBench.open();
    await bench.write({ "vendor/mod/a": "one" });
    await chmod(join(bench.project, "vendor/mod"), 0o555);
    await bench.save(modules);
    await bench.clean();
    await mkdir(join(bench.project, ".git"));
    await restoreFor(1);
    await own(bench.top, NOBODY);
    bench.forget();
  });
  afterEach(() => bench.close());

  const keptFor = (job: number): KeptTrees => new KeptTrees(bench.project, job, bench.options([]).log);

  async function restoreFor(job: number): Promise<void> {
    bench.extra = { keptTrees: keptFor(job) };
    await bench.restore(modules);
  }

  it("is removed for a job whose key has no archive", async () => {
    await asNobody(async () => {
      expect(await keptFor(2).choose([modules])).toEqual(["vendor/"]);
      await rm(dirname(bench.archive("modules")), { recursive: true });
      await restoreFor(2);
    });
    expect(bench.events).toMatchObject([{ kind: "miss" }]);
    expect(bench.warnings()).toEqual([]);
    expect(await readdir(bench.project)).toEqual([".git"]);
  });

  it("is given up after many jobs that did not want it", async () => {
    await asNobody(async () => {
      for (let job = 2; job <= 18; job += 1) expect(await keptFor(job).choose([])).toEqual([]);
    });
    expect(bench.warnings()).toEqual([]);
    expect(await readdir(join(bench.project, ".git/fleetfoot-aside"))).toEqual([]);
  });

  it("is removed where it cannot be set aside, since no cleaning could do that", async () => {
    await chmod(join(bench.project, "vendor"), 0o555);
    await asNobody(async () => expect(await keptFor(2).choose([])).toEqual([]));
    expect(bench.warnings()).toEqual([]);
    expect(await readdir(bench.project)).toEqual([".git"]);
  });

  it.each([
    { what: "nothing is restored", lose: true },
    { what: "another archive is to be restored", lose: false },
  ])(
    "costs the job a warning when it is somebody else's and $what, and is left to the next cleaning",
    async ({ lose }) => {
      await own(join(bench.project, "vendor"), 0);
      await asNobody(async () => {
        expect(await keptFor(2).choose([modules])).toEqual(["vendor/"]);
        if (lose) await rm(dirname(bench.archive("modules")), { recursive: true });
        await restoreFor(2);
        expect(await keptFor(3).choose([modules])).toEqual([]);
      });
      expect(bench.events).toMatchObject([{ kind: "miss" }]);
      expect(bench.warnings()[0]).toMatch(/could not be removed: E(ACCES|PERM)/);
      expect((await stat(join(bench.project, "vendor/mod"))).mode & 0o777).toBe(0o555);
    },
  );
});
