import { mkdir, readFile, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { hashCacheKey } from "@fleetfoot/cache-key";
import type { JobCache } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { JobConfigurationError } from "../errors.ts";
import { CacheBench } from "../test-support/cache-bench.ts";
import { hasCacheToSave, hasCacheWork, saveCaches } from "./index.ts";

let bench: CacheBench;

beforeEach(async () => {
  bench = await CacheBench.open();
});

afterEach(async () => {
  await bench.close();
});

const gems: JobCache = { key: "gems", paths: ["vendor"] };

describe("caches on this host", () => {
  it("come back as they were saved, below a directory for the runner's user alone", async () => {
    await bench.write({ "vendor/a": "one", "vendor/dir/b": "two", other: "not cached" });
    await symlink("a", join(bench.project, "vendor/link"));
    await bench.save(gems);
    expect(bench.events).toEqual([{ kind: "saved", entry: 0, key: "gems", bytes: expect.any(Number) }]);
    expect((await stat(bench.archive("gems"))).mode & 0o777).toBe(0o600);
    expect((await stat(dirname(bench.archive("gems")))).mode & 0o777).toBe(0o700);

    await bench.clean();
    bench.forget();
    await bench.restore(gems);
    expect([await bench.read("vendor/a"), await bench.read("vendor/dir/b")]).toEqual(["one", "two"]);
    expect([await bench.read("vendor/link"), await bench.read("other")]).toEqual(["one", undefined]);
    const { size } = await stat(bench.archive("gems"));
    expect(bench.events).toEqual([{ kind: "hit", entry: 0, key: "gems", bytes: size }]);
    expect(bench.lines).toEqual([
      { kind: "info", text: expect.stringMatching(/^Restored cache gems: 5 entries from .* B, kept on this host$/) },
    ]);
  });

  it("have their key, platform and list of paths beside them", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save({ ...gems, key: "a<b>&c" });
    const text = await readFile(join(bench.cacheDirectory, "a<b>&c/metadata.json"), "utf8");
    expect(text).toMatch(
      /^\{"arch":"amd64","cachekey":"a\\u003cb\\u003e\\u0026c","os":"linux","paths":"[0-9a-f]{64}"\}$/,
    );
  });

  it("are missed without harm", async () => {
    await bench.restore(gems);
    expect(bench.events).toEqual([{ kind: "miss", entry: 0, key: "gems" }]);
    expect(bench.warnings()).toEqual([]);
  });

  it("CA A5: keep the key of which a backslash became a slash, with a warning", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save({ ...gems, key: "some\\job" });
    expect((await stat(bench.archive("some/job"))).isFile()).toBe(true);
    expect(bench.warnings()).toHaveLength(1);
  });

  it.each([
    { row: "CA A6", key: "%2E%2E" },
    { row: "CA A7", key: "$EMPTY" },
    { row: "CA A9", key: "${A:-z}" },
  ])("$row: skip the entry with the key $key, and go on", async ({ key }) => {
    bench.variables = { A: "x", EMPTY: "" };
    await bench.write({ "vendor/a": "one" });
    await bench.save({ ...gems, key }, { ...gems, key: "second" });
    expect(bench.warnings()).toEqual([expect.stringContaining("empty cache key")]);
    expect(await readdir(bench.cacheDirectory)).toEqual(["second"]);
    bench.forget();
    await bench.clean();
    await bench.restore({ ...gems, key }, { ...gems, key: "second" });
    expect(bench.events.map(({ kind }) => kind)).toEqual(["miss", "hit"]);
    expect(bench.warnings()).toEqual([expect.stringContaining("empty cache key")]);
  });

  it("CA H13: try fallback keys although the key itself is unusable", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save({ ...gems, key: "old" });
    await bench.clean();
    await bench.restore({ ...gems, key: "..", fallback_keys: ["old"] });
    expect(await bench.read("vendor/a")).toBe("one");
  });

  it("CA A10: lie below the hash of their key when hashing is on", async () => {
    bench.hashKeys = true;
    await bench.write({ "vendor/a": "one" });
    await bench.save({ ...gems, key: "some-job/some-ref" });
    expect(await readdir(bench.cacheDirectory)).toEqual([
      "d03a852ba491ba611e907b1ef60ad5c4516a05b8f3aae6abb77f42bc60325aed",
    ]);
    expect(bench.events).toMatchObject([{ key: "some-job/some-ref" }]);
  });

  it("move to their other name when hashing is switched on or off", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    for (const [hashKeys, directory] of [
      [true, hashCacheKey("gems")],
      [false, "gems"],
    ] as const) {
      bench.hashKeys = hashKeys;
      bench.forget();
      await bench.clean();
      await bench.restore(gems);
      expect(bench.events).toMatchObject([{ kind: "hit" }]);
      expect((await readdir(dirname(bench.archive(directory)))).sort()).toEqual(bench.companions(directory));
    }
  });

  it("CA A23, CA H2: never take another project's archive for an alternate one", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save({ ...gems, key: "k" });
    const other = join(bench.top, "cache/other/k/cache.zip");
    await mkdir(dirname(other), { recursive: true });
    await writeFile(other, await readFile(bench.archive("k")));
    bench.hashKeys = true;
    await bench.clean();
    bench.forget();
    await bench.restore({ ...gems, key: "../../other/k" });
    expect(bench.events).toMatchObject([{ kind: "miss" }]);
    expect((await stat(other)).isFile()).toBe(true);
  });

  it("CA A12: are not reached by a fallback key that ends in -protected, while others are tried", async () => {
    await bench.write({ "vendor/a": "secret" });
    await bench.save({ ...gems, key: "main-protected" });
    await bench.write({ "vendor/a": "open" });
    await bench.save({ ...gems, key: "other" });
    await bench.clean();
    bench.forget();
    bench.variables = { CACHE_FALLBACK_KEY: "main-protected." };
    await bench.restore({ ...gems, key: "absent" });
    expect(bench.warnings()).toEqual([expect.stringContaining("CACHE_FALLBACK_KEY")]);
    expect(bench.events).toMatchObject([{ kind: "miss" }]);
    await bench.restore({ ...gems, key: "absent", fallback_keys: ["other"] });
    expect(await bench.read("vendor/a")).toBe("open");
  });

  it("CA A14: follow a policy that a variable gives: restored, not saved", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    bench.variables = { P: "pull" };
    await bench.clean();
    bench.forget();
    await bench.restore({ ...gems, policy: "$P" });
    expect(await bench.read("vendor/a")).toBe("one");
    await bench.save({ ...gems, key: "new", policy: "$P" });
    expect(await readdir(bench.cacheDirectory)).toEqual(["gems"]);
  });

  it("CA A15: fail the job when a policy does not exist", async () => {
    const failed = bench.restore({ ...gems, policy: "sometimes" });
    await expect(failed).rejects.toThrow(JobConfigurationError);
    await expect(bench.save({ ...gems, policy: "sometimes" })).rejects.toThrow("sometimes");
  });

  it("are saved once and never again under a policy that saves what is absent", async () => {
    const entry = { ...gems, policy: "pull-push-if-absent" };
    await bench.write({ "vendor/a": "one" });
    await bench.save(entry);
    const before = await stat(bench.archive("gems"));
    await bench.write({ "vendor/b": "two" });
    await bench.save(entry, { ...entry, policy: "push-if-absent" });
    expect(bench.events).toMatchObject([{ kind: "saved" }]);
    expect((await stat(bench.archive("gems"))).ino).toBe(before.ino);
    await bench.clean();
    await bench.restore({ ...entry, policy: "push-if-absent" });
    expect(await readdir(bench.project)).toEqual([]);
    await bench.restore(entry);
    expect(await readdir(join(bench.project, "vendor"))).toEqual(["a"]);
  });

  it("leave out what the job excludes", async () => {
    bench.variables = { CACHE_EXCLUDE: "vendor/tmp/**\n  **/*.log\n", NAME: "vendor" };
    await bench.write({ "vendor/a": "one", "vendor/a.log": "two", "vendor/tmp/b": "three" });
    await bench.save(gems);
    await bench.clean();
    await bench.restore(gems);
    expect(await readdir(join(bench.project, "vendor"))).toEqual(["a"]);
  });

  it("CA A17: are saved only after the outcome that they ask for", async () => {
    await bench.write({ "vendor/a": "one" });
    const outcomes = ["on_success", "", "on_failure", "always"].map((when) => ({ ...gems, key: `k${when}`, when }));
    await saveCaches({ ...bench.options(outcomes), succeeded: true });
    expect(bench.events.map(({ key }) => key)).toEqual(["kon_success", "k", "kalways"]);
    bench.forget();
    await saveCaches({ ...bench.options(outcomes), succeeded: false });
    expect(bench.events.map(({ key }) => key)).toEqual(["kon_failure", "kalways"]);
    const onFailure = [{ ...gems, when: "on_failure" }];
    expect([hasCacheToSave(onFailure, true), hasCacheToSave(onFailure, false)]).toEqual([false, true]);
  });

  it("CA A18: are no caches without paths and untracked files", async () => {
    const empty = { key: "gems", paths: [], untracked: false };
    expect([hasCacheWork([empty]), hasCacheToSave([empty], true)]).toEqual([false, false]);
    expect([hasCacheWork([empty, gems]), hasCacheWork([{ key: "k", untracked: true }])]).toEqual([true, true]);
    await bench.restore(empty);
    await bench.save(empty);
    expect([bench.lines, bench.events]).toEqual([[], []]);
  });

  it("CA A19: are restored although an entry before missed everything", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    await bench.clean();
    bench.forget();
    await bench.restore({ ...gems, key: "absent", fallback_keys: ["absent-too"] }, gems);
    expect(bench.events.map(({ kind }) => kind)).toEqual(["miss", "hit"]);
    expect(await bench.read("vendor/a")).toBe("one");
  });
});
