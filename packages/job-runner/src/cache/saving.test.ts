import { chmod, mkdir, readFile, readdir, rm, stat, truncate, utimes, watch, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { JobCache } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { treeManifestPath } from "./archive-files.ts";
import { CacheBench, inProcess } from "../test-support/cache-bench.ts";

let bench: CacheBench;

beforeEach(async () => {
  bench = await CacheBench.open();
});

afterEach(async () => {
  await bench.close();
});

const gems: JobCache = { key: "gems", paths: ["vendor"] };

describe("saving on this host", () => {
  it("keeps an archive while nothing changed", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const before = await stat(bench.archive("gems"));
    bench.forget();
    await bench.save(gems);
    expect(bench.events).toEqual([{ kind: "unchanged", entry: 0, key: "gems", bytes: before.size }]);
    expect((await stat(bench.archive("gems"))).ino).toBe(before.ino);
  });

  it("keeps it after a restore in a fresh project, too", async () => {
    await bench.write({ "vendor/a": "one", "vendor/dir/b": "two" });
    await chmod(join(bench.project, "vendor/a"), 0o4755);
    await bench.save(gems);
    await bench.clean();
    await bench.restore(gems);
    bench.forget();
    await bench.save(gems);
    expect(bench.events).toMatchObject([{ kind: "unchanged" }]);
  });

  it("keeps it after a restore from a tar archive, which rounds times up", async () => {
    bench.variables = { CACHE_COMPRESSION_FORMAT: "tarzstd" };
    await bench.write({ "vendor/a": "one" });
    for (const name of ["vendor/a", "vendor"])
      await utimes(join(bench.project, name), 1_700_000_000.7, 1_700_000_000.7);
    await bench.save(gems);
    await utimes(bench.archive("gems"), 1_700_000_000.8, 1_700_000_000.8);
    await bench.clean();
    await bench.restore(gems);
    expect((await stat(join(bench.project, "vendor/a"))).mtimeMs).toBe(1_700_000_001_000);
    bench.forget();
    await bench.save(gems);
    expect(bench.events).toMatchObject([{ kind: "unchanged" }]);
  });

  it.each([
    { how: "is newer", change: (vendor: string) => writeFile(join(vendor, "a"), "new"), old: false },
    { how: "went away", change: (vendor: string) => rm(join(vendor, "b")), old: true },
    { how: "came with an old time", change: (vendor: string) => writeFile(join(vendor, "c"), "three"), old: true },
    {
      how: "has another length and an old time",
      change: (vendor: string) => truncate(join(vendor, "a"), 1),
      old: true,
    },
    { how: "has another mode", change: (vendor: string) => chmod(join(vendor, "a"), 0o755), old: true },
  ])("CA H10: makes the archive anew when a file $how", async ({ change, old }) => {
    await bench.write({ "vendor/a": "one", "vendor/b": "two" });
    await bench.save(gems);
    await change(join(bench.project, "vendor"));
    if (old) await bench.age();
    else await utimes(join(bench.project, "vendor/a"), Date.now() / 1000 + 60, Date.now() / 1000 + 60);
    bench.forget();
    await bench.save(gems);
    expect(bench.events).toMatchObject([{ kind: "saved" }]);
  });

  it("CA H10: goes by times alone for an archive that somebody else made", async () => {
    await bench.write({ "vendor/a": "one", "vendor/b": "two" });
    await bench.save(gems);
    await rm(treeManifestPath(bench.archive("gems"), bench.project));
    await rm(join(bench.project, "vendor/b"));
    await bench.age();
    bench.forget();
    await bench.save(gems);
    expect(bench.events).toMatchObject([{ kind: "unchanged" }]);
  });

  it("CA H10: makes the archive anew in another project directory that it was not restored into", async () => {
    await bench.write({ "vendor/a": "one", "vendor/b": "two" });
    await bench.save(gems);
    bench.extra = { projectDirectory: join(bench.top, "builds/1/project") };
    await mkdir(join(bench.top, "builds/1/project/vendor"), { recursive: true });
    await writeFile(join(bench.top, "builds/1/project/vendor/a"), "one");
    for (const name of ["vendor/a", "vendor"]) await utimes(join(bench.top, "builds/1/project", name), 1000, 1000);
    bench.forget();
    await bench.save(gems);
    await bench.save(gems);
    expect(bench.events).toMatchObject([{ kind: "saved" }, { kind: "unchanged" }]);
  });

  it("CA H10: knows files that were made anew with the same content, length, mode and time", async () => {
    await bench.write({ "vendor/a": "one", "vendor/b": "two" });
    await bench.save(gems);
    const vendor = join(bench.project, "vendor");
    const { atimeMs, mtimeMs } = await stat(vendor);
    for (const [name, content] of [
      ["a", "one"],
      ["b", "TWO"],
    ] as const) {
      const file = await stat(join(vendor, name));
      await rm(join(vendor, name));
      await writeFile(join(vendor, name), content);
      await utimes(join(vendor, name), file.atimeMs / 1000, file.mtimeMs / 1000);
      await utimes(vendor, atimeMs / 1000, mtimeMs / 1000);
      bench.forget();
      await bench.save(gems);
      expect(bench.events, name).toMatchObject([{ kind: content === "one" ? "unchanged" : "saved" }]);
    }
  });

  it("writes nothing when no file matches, and leaves what is there", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const before = await stat(bench.archive("gems"));
    await bench.clean();
    bench.forget();
    await bench.save(gems, { ...gems, key: "fresh" });
    expect(bench.warnings()).toContain(`No files were found in the working directory ${bench.project}.`);
    expect(bench.events).toEqual([]);
    expect((await stat(bench.archive("gems"))).ino).toBe(before.ino);
    expect(await readdir(bench.cacheDirectory)).toEqual(["gems"]);
  });

  it("makes a damaged archive anew, since the restore removed it", async () => {
    await bench.write({ "vendor/a": "one".repeat(10_000) });
    await bench.save(gems);
    await truncate(bench.archive("gems"), 20);
    bench.forget();
    await bench.restore(gems);
    expect(bench.events).toMatchObject([{ kind: "miss" }]);
    await bench.save(gems);
    expect(bench.events).toMatchObject([{ kind: "miss" }, { kind: "saved" }]);
    await bench.clean();
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toHaveLength(30_000);
  });

  it.each([
    { row: "CA C11", format: "tarzstd", start: "28b52ffd" },
    { row: "CA C11", format: "zipzstd", start: "504b0304" },
  ])("$row: writes cache.zip in the format $format, which begins with $start", async ({ format, start }) => {
    bench.variables = { CACHE_COMPRESSION_FORMAT: format };
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    expect((await readFile(bench.archive("gems"))).toString("hex", 0, 4)).toBe(start);
    await bench.clean();
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("one");
    expect(bench.warnings()).toEqual([]);
  });

  it("CA C10: warns of the unknown format 7z, and writes a zip", async () => {
    bench.variables = { CACHE_COMPRESSION_FORMAT: "7z" };
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    expect((await readFile(bench.archive("gems"))).toString("hex", 0, 4)).toBe("504b0304");
    expect(bench.warnings()).toEqual([
      'CACHE_COMPRESSION_FORMAT is "7z", which is not known: "zip" is used. It knows zip, zipzstd and tarzstd.',
    ]);
  });

  it("CA C12: warns of an unknown compression level, and takes the default one", async () => {
    await bench.write({ "vendor/a": "one".repeat(10_000) });
    for (const level of ["default", "Fast"]) {
      bench.variables = { CACHE_COMPRESSION_LEVEL: level };
      await bench.save({ ...gems, key: level });
    }
    expect(bench.warnings()).toEqual([expect.stringContaining('CACHE_COMPRESSION_LEVEL is "Fast"')]);
    expect((await stat(bench.archive("Fast"))).size).toBe((await stat(bench.archive("default"))).size);
  });

  it("CA C14: fails the cache, not the job, when a setting of the archiver is wrong", async () => {
    bench.variables = { FASTZIP_ARCHIVER_CONCURRENCY: "0" };
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    expect(bench.events).toEqual([{ kind: "failed", entry: 0, key: "gems" }]);
    expect(bench.warnings()).toEqual([
      expect.stringContaining('FASTZIP_ARCHIVER_CONCURRENCY is "0": concurrency must be at least 1'),
    ]);
  });

  it("fails the restore, and names the variable, when a setting of the extractor is wrong", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    await bench.clean();
    bench.variables = { FASTZIP_EXTRACTOR_CONCURRENCY: "two" };
    await bench.restore(gems);
    expect(bench.warnings()).toEqual([
      expect.stringContaining('FASTZIP_EXTRACTOR_CONCURRENCY is "two": concurrency must be an integer'),
    ]);
    bench.variables = {};
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("one");
  });

  it("names a cache directory that cannot be used, and goes on", async () => {
    await mkdir(dirname(bench.cacheDirectory), { recursive: true });
    await writeFile(bench.cacheDirectory, "a file where a directory should be");
    await bench.write({ "vendor/a": "one" });
    await bench.restore(gems);
    await bench.save(gems);
    expect(bench.events.map(({ kind }) => kind)).toEqual(["miss", "failed"]);
    expect(bench.warnings()).toEqual([
      expect.stringMatching(new RegExp(`could not be restored from ${bench.cacheDirectory}/gems: .*ENOTDIR`)),
      expect.stringMatching(new RegExp(`could not be saved in ${bench.cacheDirectory}/gems: .*ENOTDIR`)),
    ]);
  });

  it("keeps the old archive when the disk is full, and goes on", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const before = await readFile(bench.archive("gems"));
    const random = crypto.getRandomValues(new Uint8Array(60_000));
    for (let index = 0; index < 20; index += 1) await writeFile(join(bench.project, `vendor/r${index}`), random);
    // A limit on the length of files is what a full disk looks like to the writer, and needs no disk to fill.
    const { stdout } = await inProcess("saveCaches", bench, gems, "ulimit -f 200; ");
    expect(stdout).toMatch(/warning: Cache gems could not be saved in .*/);
    expect(Buffer.compare(await readFile(bench.archive("gems")), before)).toBe(0);
    expect((await readdir(dirname(bench.archive("gems")))).sort()).toEqual(bench.companions("gems"));
  });

  it("CA E7: keeps the old archive when the process is killed while it makes a new one", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const before = await readFile(bench.archive("gems"));
    const random = crypto.getRandomValues(new Uint8Array(60_000));
    for (let index = 0; index < 400; index += 1) {
      await writeFile(join(bench.project, `vendor/r${index}`), random.fill(index % 256, 0, 8));
    }
    const ended = new AbortController();
    const changes = watch(dirname(bench.archive("gems")), { signal: ended.signal });
    const saving = inProcess("saveCaches", bench, gems);
    void saving.then(() => ended.abort(new Error("the process ended by itself")));
    for await (const { filename } of changes) {
      if (filename?.startsWith("archive_") === true) break;
    }
    saving.child.kill("SIGKILL");
    expect((await saving).signal).toBe("SIGKILL");
    expect(Buffer.compare(await readFile(bench.archive("gems")), before)).toBe(0);
    await bench.clean();
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("one");
  });

  it("stops with the signal's reason", async () => {
    const reason = new Error("the job was cancelled");
    bench.extra = { signal: AbortSignal.abort(reason) };
    await bench.write({ "vendor/a": "one" });
    await expect(bench.save(gems)).rejects.toBe(reason);
    await expect(bench.restore(gems)).rejects.toBe(reason);
  });
});
