import { copyFile, mkdir, readFile, readdir, rename, rm, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { JobCache } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { CacheBench } from "../test-support/cache-bench.ts";
import { realArchiver } from "./archiver.ts";
import type { CacheArchiver } from "./types.ts";

let bench: CacheBench;

beforeEach(async () => {
  bench = await CacheBench.open();
});

afterEach(async () => {
  await bench.close();
});

const gems: JobCache = { key: "gems", paths: ["vendor"] };

describe("archives that do not fit", () => {
  it("CA F12: count as absent when they are compressed with gzip", async () => {
    await mkdir(dirname(bench.archive("gems")), { recursive: true });
    await writeFile(bench.archive("gems"), Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]));
    await bench.restore(gems);
    expect(bench.events).toEqual([{ kind: "miss", entry: 0, key: "gems", hasFailed: true }]);
    expect(bench.warnings()).toEqual([expect.stringContaining("gzip")]);
  });

  it("leave nothing behind when the job wants it", async () => {
    await bench.write({ "vendor/a": "good", "vendor/b": "damaged damaged" });
    await bench.save(gems);
    const content = await readFile(bench.archive("gems"));
    const position = content.indexOf("vendor/b", content.indexOf("PK\u0001\u0002")) - 30;
    content.writeUInt32LE((content.readUInt32LE(position) ^ 1) >>> 0, position);
    for (const [flag, left] of [
      ["true", []],
      ["false", ["vendor"]],
    ] as const) {
      await writeFile(bench.archive("gems"), content);
      bench.variables = { FF_CLEAN_UP_FAILED_CACHE_EXTRACT: flag };
      await bench.clean();
      await mkdir(join(bench.project, "vendor"));
      await bench.restore(gems);
      expect(bench.events.at(-1)).toMatchObject({ kind: "miss" });
      expect(await readdir(bench.project)).toEqual(left);
    }
  });

  it("are left alone when another job has put a whole one in their place meanwhile", async () => {
    await bench.write({ "vendor/a": "whole" });
    await bench.save(gems);
    const [archive, whole] = [bench.archive("gems"), join(bench.top, "whole.zip")];
    await copyFile(archive, whole);
    await truncate(archive, 30);
    const extractArchive: CacheArchiver["extractArchive"] = async (options) => {
      try {
        return await realArchiver.extractArchive(options);
      } finally {
        await rename(whole, archive);
      }
    };
    bench.extra = { archiver: { ...realArchiver, extractArchive } };
    await bench.clean();
    await bench.restore(gems);
    expect(bench.events.at(-1)).toMatchObject({ kind: "miss" });
    expect(await readdir(dirname(archive))).toEqual(bench.companions("gems"));

    bench.extra = {};
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("whole");
  });

  it("CA F16, CA H17: are restored with one warning that names both platforms, or count as absent", async () => {
    await bench.write({ "vendor/a": "foreign" });
    bench.extra = { platform: { os: "linux", arch: "arm64" } };
    await bench.save(gems);
    bench.extra = {};
    await bench.write({ "vendor/a": "own" });
    await bench.save({ ...gems, key: "old" });

    await bench.clean();
    bench.forget();
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("foreign");
    expect(bench.warnings()).toEqual([expect.stringMatching(/linux\/arm64.*linux\/amd64/)]);

    bench.extra = { foreignArchitecture: "miss" };
    await bench.clean();
    bench.forget();
    await bench.restore({ ...gems, fallback_keys: ["old"] });
    expect(bench.events).toMatchObject([{ kind: "hit", key: "old" }]);
    expect(await bench.read("vendor/a")).toBe("own");

    await rm(join(dirname(bench.archive("gems")), "metadata.json"));
    await bench.clean();
    bench.forget();
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("foreign");
    expect(bench.warnings()).toEqual([]);
  });

  it("CA F17, CA H19: tell that another entry with the same key wrote them, when a declared path is missing", async () => {
    const [first, second] = [
      { key: "k", paths: ["a"] },
      { key: "k", paths: ["b"] },
    ];
    await bench.write({ "a/file": "of the first" });
    await bench.save(first);
    await bench.clean();
    bench.forget();
    await bench.restore(second);
    expect(bench.events).toMatchObject([{ kind: "hit" }]);
    expect(bench.warnings()).toEqual([expect.stringMatching(/another entry with the same key.* b$/)]);

    await bench.clean();
    await bench.write({ "c/file": "x" });
    const withoutB = { key: "k2", paths: ["b", "c"] };
    await bench.save(withoutB);
    await bench.clean();
    bench.forget();
    await bench.restore(withoutB);
    expect(bench.events).toMatchObject([{ kind: "hit" }]);
    expect(bench.warnings()).toEqual([]);
  });
});
