import { execFileSync } from "node:child_process";
import { lstat, mkdir, readFile, rename, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { CacheBench } from "../test-support/cache-bench.ts";

const gems = { key: "gems", paths: ["vendor"] };

let bench: CacheBench;

beforeEach(async () => {
  bench = await CacheBench.open();
});

afterEach(async () => {
  await bench.close();
});

it("an archive that a link leads to from the place of the cache is neither restored nor written to", async () => {
  await bench.write({ "vendor/a": "of another project" });
  await bench.save(gems);
  const outside = join(bench.top, "outside.zip");
  await rename(bench.archive("gems"), outside);
  await symlink(outside, bench.archive("gems"));
  const before = await readFile(outside);
  await bench.clean();
  bench.forget();
  await bench.restore(gems);
  expect(bench.events).toMatchObject([{ kind: "miss" }]);
  expect(await bench.read("vendor/a")).toBeUndefined();
  await bench.write({ "vendor/a": "mine" });
  await bench.save(gems);
  expect(await readFile(outside)).toEqual(before);
  expect((await lstat(bench.archive("gems"))).isFile()).toBe(true);
  await bench.clean();
  await bench.restore(gems);
  expect(await bench.read("vendor/a")).toBe("mine");
});

it("a pipe in the place of the cache is not waited for", async () => {
  await mkdir(dirname(bench.archive("gems")), { recursive: true });
  execFileSync("mkfifo", [bench.archive("gems")]);
  await bench.restore(gems);
  expect(bench.events).toMatchObject([{ kind: "miss" }]);
});
