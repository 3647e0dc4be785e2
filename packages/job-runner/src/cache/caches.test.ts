import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  lutimes,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  watch,
  writeFile,
} from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { createHttpStore, startObjectServer } from "@fleetfoot/cache-backend/testing";
import type { ObjectServer, RecordedRequest } from "@fleetfoot/cache-backend/testing";
import { hashCacheKey, prepareVariables } from "@fleetfoot/cache-key";
import type { JobCache } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { JobConfigurationError } from "../errors.ts";
import { hasCacheToSave, hasCacheWork, restoreCaches, saveCaches } from "./index.ts";
import type { CacheEvent, CacheStageOptions, RemoteCache } from "./index.ts";

/** One host with one project, and a log that can be read. */
class Bench {
  readonly top: string;
  readonly project: string;
  readonly cacheDirectory: string;
  readonly lines: { readonly kind: string; readonly text: string }[] = [];
  readonly events: CacheEvent[] = [];
  readonly sleeps: number[] = [];
  variables: Record<string, string> = {};
  hashKeys = false;
  store: RemoteCache | undefined;
  extra: Partial<CacheStageOptions> = {};

  constructor(top: string) {
    this.top = top;
    this.project = join(top, "builds/project");
    this.cacheDirectory = join(top, "cache/g/p");
  }

  async restore(...entries: readonly JobCache[]): Promise<void> {
    await restoreCaches(this.options(entries));
  }

  async save(...entries: readonly JobCache[]): Promise<void> {
    await saveCaches({ ...this.options(entries), succeeded: true });
  }

  options(entries: readonly JobCache[]): CacheStageOptions {
    const variables = Object.entries(this.variables).map(([key, value]) => ({ key, value }));
    const line =
      (kind: string) =>
      (text: string): void => {
        this.lines.push({ kind, text });
      };
    return {
      entries,
      job: { name: "unit", ref: "main", projectId: 42 },
      ...prepareVariables(variables),
      environment: this.variables,
      projectDirectory: this.project,
      cacheDirectory: this.cacheDirectory,
      store: this.store,
      hashKeys: this.hashKeys,
      platform: { os: "linux", arch: "amd64" },
      log: {
        plain: line("plain"),
        info: line("info"),
        notice: line("notice"),
        warning: line("warning"),
        error: line("error"),
      },
      events: (event) => this.events.push(event),
      signal: new AbortController().signal,
      sleep: async (milliseconds) => {
        this.sleeps.push(milliseconds);
      },
      ...this.extra,
    };
  }

  /** Puts files with an old time into the project. */
  async write(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, content] of Object.entries(files)) {
      const path = join(this.project, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, content);
    }
    await this.age();
  }

  /** Makes everything in the project an hour old, directories too. */
  async age(): Promise<void> {
    const old = Date.now() / 1000 - 3600;
    const names = await readdir(this.project, { recursive: true });
    for (const name of names.toReversed()) await lutimes(join(this.project, name), old, old);
  }

  async clean(): Promise<void> {
    await rm(this.project, { recursive: true, force: true });
    await mkdir(this.project, { recursive: true });
  }

  async read(name: string): Promise<string | undefined> {
    return readFile(join(this.project, name), "utf8").catch(() => undefined);
  }

  archive(key: string): string {
    return join(this.cacheDirectory, key, "cache.zip");
  }

  warnings(): string[] {
    return this.lines.filter(({ kind }) => kind === "warning").map(({ text }) => text);
  }

  forget(): void {
    this.lines.length = 0;
    this.events.length = 0;
    this.sleeps.length = 0;
  }
}

let top: string;
let bench: Bench;

beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), "caches-"));
  bench = new Bench(top);
  await mkdir(bench.project, { recursive: true });
});

afterEach(async () => {
  await rm(top, { recursive: true });
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
      expect((await stat(bench.archive(directory))).isFile()).toBe(true);
    }
  });

  it("CA A23, CA H2: never take another project's archive for an alternate one", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save({ ...gems, key: "k" });
    const other = join(top, "cache/other/k/cache.zip");
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
    await rm(join(dirname(bench.archive("gems")), "manifest.json"));
    await rm(join(bench.project, "vendor/b"));
    await bench.age();
    bench.forget();
    await bench.save(gems);
    expect(bench.events).toMatchObject([{ kind: "unchanged" }]);
  });

  it("writes nothing when no file matches, and leaves what is there", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const before = await stat(bench.archive("gems"));
    await bench.clean();
    bench.forget();
    await bench.save(gems, { ...gems, key: "fresh" });
    expect(bench.warnings()).toContain(`No files were found in the working directory ${bench.project}.`);
    expect(bench.events.map(({ kind }) => kind)).toEqual(["unchanged", "unchanged"]);
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
    { row: "CA C10", format: "7z", start: "504b0304" },
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

  it("CA C12: warns of an unknown compression level, and takes the default one", async () => {
    await bench.write({ "vendor/a": "one".repeat(10_000) });
    for (const level of ["default", "Fast"]) {
      bench.variables = { CACHE_COMPRESSION_LEVEL: level };
      await bench.save({ ...gems, key: level });
    }
    expect(bench.warnings()).toEqual([expect.stringContaining('"Fast"')]);
    expect((await stat(bench.archive("Fast"))).size).toBe((await stat(bench.archive("default"))).size);
  });

  it("CA C14: fails the cache, not the job, when a setting of the archiver is wrong", async () => {
    bench.variables = { FASTZIP_ARCHIVER_CONCURRENCY: "0" };
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    expect(bench.events).toEqual([{ kind: "failed", entry: 0, key: "gems" }]);
    expect(bench.warnings()).toEqual([expect.stringContaining("concurrency must be at least 1")]);
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
    const { stdout } = await runSave("ulimit -f 200; ");
    expect(stdout).toMatch(/warning: Cache gems could not be saved in .*/);
    expect(Buffer.compare(await readFile(bench.archive("gems")), before)).toBe(0);
    expect((await readdir(dirname(bench.archive("gems")))).sort()).toEqual([
      "cache.zip",
      "manifest.json",
      "metadata.json",
    ]);
  });

  it("CA E7: keeps the old archive when the process is killed while it makes a new one", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const before = await readFile(bench.archive("gems"));
    const random = crypto.getRandomValues(new Uint8Array(60_000));
    for (let index = 0; index < 400; index += 1) {
      await writeFile(join(bench.project, `vendor/r${index}`), random.fill(index % 256, 0, 8));
    }
    const changes = watch(dirname(bench.archive("gems")));
    const saving = runSave("");
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

describe("archives that do not fit", () => {
  it("CA F12: count as absent when they are compressed with gzip", async () => {
    await mkdir(dirname(bench.archive("gems")), { recursive: true });
    await writeFile(bench.archive("gems"), Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]));
    await bench.restore(gems);
    expect(bench.events).toEqual([{ kind: "miss", entry: 0, key: "gems" }]);
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

describe("caches in a store", () => {
  let server: ObjectServer;
  let intercept:
    | ((request: RecordedRequest, response: ServerResponse, incoming: IncomingMessage) => boolean)
    | undefined;

  beforeEach(async () => {
    intercept = undefined;
    server = await startObjectServer({ intercept: (...facts) => intercept?.(...facts) ?? false });
    bench.store = {
      store: createHttpStore({ url: server.url }),
      path: "",
      shared: false,
      runnerShortToken: "AbCdEfGhI",
      maxUploadedArchiveBytes: 0,
    };
  });

  afterEach(async () => {
    await server.close();
  });

  const base = "runner/AbCdEfGhI/project/42";
  const requested = (method: string): string[] =>
    server.requests.filter((request) => request.method === method).map(({ name }) => name.replace(`${base}/`, ""));

  /** Saves an archive, takes it off this host, and forgets what happened. */
  async function saveElsewhere(entry: JobCache, files: Readonly<Record<string, string>>): Promise<void> {
    await bench.write(files);
    await bench.save(entry);
    await rm(bench.cacheDirectory, { recursive: true });
    await bench.clean();
    reset();
  }

  function reset(): void {
    (server.requests as RecordedRequest[]).length = 0;
    bench.forget();
  }

  it("CA H11: are uploaded whole, with their key, platform and paths, and come back on another host", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const put = server.requests.find(({ method }) => method === "PUT");
    expect(put?.name).toBe(`${base}/gems`);
    const { size } = await stat(bench.archive("gems"));
    expect(put?.headers).toMatchObject({
      "content-length": String(size),
      "content-type": "application/octet-stream",
      "x-test-meta-cachekey": "gems",
      "x-test-meta-os": "linux",
      "x-test-meta-arch": "amd64",
      "x-test-meta-paths": expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(put?.headers["transfer-encoding"]).toBeUndefined();
    const metadata = await readFile(join(dirname(bench.archive("gems")), "metadata.json"), "utf8");

    await rm(bench.cacheDirectory, { recursive: true });
    await bench.clean();
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("one");
    expect(await readFile(join(dirname(bench.archive("gems")), "metadata.json"), "utf8")).toBe(metadata);
    expect(bench.events.at(-1)).toEqual({ kind: "hit", entry: 0, key: "gems", bytes: size });
  });

  it("CA A11: are looked for in the order primary, fallback keys, CACHE_FALLBACK_KEY", async () => {
    bench.variables = { EMPTY: "", CACHE_FALLBACK_KEY: "c" };
    await bench.restore({ ...gems, fallback_keys: ["a", "$EMPTY", "b/"] });
    expect(requested("GET")).toEqual(["gems", "a", "b", "c"]);
  });

  it("CA A16: are not downloaded under a policy that only saves, fallback keys included", async () => {
    await bench.restore({ ...gems, policy: "push", fallback_keys: ["a"] });
    expect(server.requests).toEqual([]);
    expect(bench.lines).toEqual([{ kind: "plain", text: expect.stringContaining("only saves") }]);
  });

  it("CA F1: are found under the first fallback key, and no further name is asked for", async () => {
    await saveElsewhere({ ...gems, key: "old" }, { "vendor/a": "one" });
    bench.variables = { CACHE_FALLBACK_KEY: "common" };
    await bench.restore({ ...gems, fallback_keys: ["old"] });
    expect(await bench.read("vendor/a")).toBe("one");
    expect(requested("GET")).toEqual(["gems", "old"]);
    expect(server.requests.filter(({ name }) => name.endsWith("/common"))).toEqual([]);
    expect(bench.events).toMatchObject([{ kind: "hit", key: "old" }]);
  });

  it("CA F2: are not downloaded when this host has an archive of the same time", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const stored = server.objects.get(`${base}/gems`);
    const local = await stat(bench.archive("gems"));
    const seconds = (stored?.modifiedAtMs ?? 0) / 1000;
    await utimes(bench.archive("gems"), seconds, seconds);
    await bench.clean();
    reset();
    await bench.restore(gems);
    expect(bench.lines).toEqual([{ kind: "info", text: expect.stringContaining("still up to date on this host") }]);
    expect((await stat(bench.archive("gems"))).ino).toBe(local.ino);
    expect(await bench.read("vendor/a")).toBe("one");
  });

  it("are not downloaded on the host that uploaded them, until another one uploads others", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const name = `${base}/gems`;
    const stored = server.objects.get(name);
    if (stored === undefined) throw new Error("nothing was stored");
    // A store's clock may be ahead, and its time is later than the archive's anyhow.
    server.objects.set(name, { ...stored, modifiedAtMs: Date.now() + 60_000 });
    const local = await stat(bench.archive("gems"));
    await bench.clean();
    reset();
    await bench.restore(gems);
    expect((await stat(bench.archive("gems"))).ino).toBe(local.ino);
    expect(bench.lines).toEqual([{ kind: "info", text: expect.stringContaining("still up to date on this host") }]);

    const other = new Bench(join(top, "other"));
    await mkdir(other.project, { recursive: true });
    other.store = bench.store;
    await other.write({ "vendor/a": "two" });
    await other.save(gems);
    server.objects.set(name, { ...(server.objects.get(name) ?? stored), modifiedAtMs: Date.now() + 60_000 });
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("two");
  });

  it("CA F3: are never extracted from a body that is shorter than announced", async () => {
    await saveElsewhere(gems, { "vendor/a": "one" });
    intercept = (request, response) => {
      if (request.method !== "GET") return false;
      response.writeHead(200, { "content-length": "1000" });
      response.write(new Uint8Array(500), () => response.destroy());
      return true;
    };
    await bench.restore(gems);
    expect(requested("GET")).toHaveLength(3);
    expect(bench.sleeps).toEqual([1000, 1000]);
    expect(bench.events).toMatchObject([{ kind: "miss" }]);
    expect(bench.warnings()).toHaveLength(1);
    expect(await readdir(dirname(bench.archive("gems")))).toEqual([]);
    expect(await readdir(bench.project)).toEqual([]);
  });

  it("CA F13: go on to the next key when the archive came whole but its checksum is wrong", async () => {
    await saveElsewhere({ ...gems, key: "old" }, { "vendor/a": "good" });
    await saveElsewhere(gems, { "vendor/a": "damaged damaged damaged" });
    const name = `${base}/gems`;
    const object = server.objects.get(name);
    if (object === undefined) throw new Error("nothing was stored");
    const content = Buffer.from(object.content);
    // The CRC-32 of the first entry that is a file, in the central directory.
    const position = content.indexOf("vendor/a", content.indexOf("PK\u0001\u0002")) - 30;
    content.writeUInt32LE((content.readUInt32LE(position) ^ 1) >>> 0, position);
    server.objects.set(name, { ...object, content });
    await bench.restore({ ...gems, fallback_keys: ["old"] });
    expect(await bench.read("vendor/a")).toBe("good");
    expect(bench.events).toMatchObject([{ kind: "hit", key: "old" }]);
    expect(bench.warnings()).toHaveLength(1);
  });

  it("CA H14: are missed when the store has none, whatever lies on this host", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    server.objects.clear();
    await bench.clean();
    reset();
    await bench.restore(gems);
    expect(bench.events).toEqual([{ kind: "miss", entry: 0, key: "gems" }]);
    expect(await bench.read("vendor/a")).toBeUndefined();
  });

  it("are taken from the alternate name where it is newer, or the only one", async () => {
    await saveElsewhere(gems, { "vendor/a": "plain name" });
    bench.hashKeys = true;
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe("plain name");
    expect(requested("GET")).toEqual(["gems"]);

    const hash = hashCacheKey("gems");
    await rm(bench.cacheDirectory, { recursive: true });
    await saveElsewhere(gems, { "vendor/a": "hashed name" });
    const [plain, hashed] = [`${base}/gems`, `${base}/${hash.slice(0, 2)}/${hash}`];
    for (const [newer, content] of [
      [plain, "plain name"],
      [hashed, "hashed name"],
    ] as const) {
      for (const name of [plain, hashed]) {
        const object = server.objects.get(name);
        if (object === undefined) throw new Error(`nothing was stored as ${name}`);
        server.objects.set(name, { ...object, modifiedAtMs: name === newer ? 2_000_000 : 1_000_000 });
      }
      await rm(bench.cacheDirectory, { recursive: true, force: true });
      await bench.restore(gems);
      expect(await bench.read("vendor/a")).toBe(content);
    }
  });

  it("are fetched in parts when the job wants it", async () => {
    const random = Buffer.from(crypto.getRandomValues(new Uint8Array(50_000))).toString("base64");
    await saveElsewhere(gems, { "vendor/a": random });
    bench.variables = { FF_USE_PARALLEL_CACHE_TRANSFER: "true", CACHE_CHUNK_SIZE: "20000" };
    await bench.restore(gems);
    expect(await bench.read("vendor/a")).toBe(random);
    const ranges = server.requests.flatMap(({ headers }) => headers["range"] ?? []);
    expect(ranges).toContain("bytes=20000-39999");
    bench.variables = { ...bench.variables, CACHE_CONCURRENCY: "-1" };
    reset();
    await bench.restore(gems);
    expect(bench.warnings()).toEqual([expect.stringContaining("CACHE_CONCURRENCY")]);
  });

  it("CA E1: are neither made nor uploaded when nothing changed and the store has them", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    reset();
    await bench.save(gems);
    expect(server.requests.map(({ method }) => method)).toEqual(["HEAD"]);
    expect(bench.events).toMatchObject([{ kind: "unchanged" }]);
  });

  it("CA E2: are uploaded as they are when nothing changed but the store has none", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const before = await stat(bench.archive("gems"));
    server.objects.clear();
    reset();
    await bench.save(gems);
    expect((await stat(bench.archive("gems"))).ino).toBe(before.ino);
    expect(server.requests.map(({ method }) => method)).toEqual(["HEAD", "PUT"]);
    const stored = server.objects.get(`${base}/gems`);
    expect(Buffer.compare(stored?.content ?? new Uint8Array(), await readFile(bench.archive("gems")))).toBe(0);
    expect(stored?.metadata).toMatchObject({ cachekey: "gems", os: "linux" });
  });

  it("CA D10: are neither made nor uploaded when no file matches, and the old archive stays", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const before = await stat(bench.archive("gems"));
    await bench.clean();
    server.objects.clear();
    reset();
    await bench.save(gems);
    expect(server.requests).toEqual([]);
    expect(bench.warnings()).toContain(`No files were found in the working directory ${bench.project}.`);
    expect((await stat(bench.archive("gems"))).ino).toBe(before.ino);
  });

  it("CA H7: are not uploaded again when nobody may ask whether the store has them", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    reset();
    intercept = (request, response) => {
      if (request.method !== "HEAD") return false;
      response.writeHead(403).end();
      return true;
    };
    await bench.save(gems);
    expect(server.requests.map(({ method }) => method)).toEqual(["HEAD"]);
    expect(bench.events).toMatchObject([{ kind: "unchanged" }]);
  });

  it("CA E3: are made anew beside the old archive and uploaded when one file is newer", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save(gems);
    const before = await stat(bench.archive("gems"));
    await writeFile(join(bench.project, "vendor/a"), "two");
    await utimes(join(bench.project, "vendor/a"), Date.now() / 1000 + 60, Date.now() / 1000 + 60);
    reset();
    await bench.save(gems);
    const after = await stat(bench.archive("gems"));
    expect(after.ino).not.toBe(before.ino);
    expect(requested("PUT")).toEqual(["gems"]);
    const stored = server.objects.get(`${base}/gems`);
    expect(Buffer.compare(stored?.content ?? new Uint8Array(), await readFile(bench.archive("gems")))).toBe(0);
    expect((await readdir(dirname(bench.archive("gems")))).sort()).toEqual([
      "cache.zip",
      "manifest.json",
      "metadata.json",
    ]);
  });

  it("CA E4: are uploaded up to the limit, and stay on this host above it", async () => {
    await bench.write({ "vendor/a": "one" });
    await bench.save({ ...gems, key: "measured" });
    const { size } = await stat(bench.archive("measured"));
    const remote = bench.store;
    if (remote === undefined) throw new Error("there is no store");
    for (const [key, limit] of [
      ["allowed", size],
      ["too-long", size - 1],
    ] as const) {
      bench.store = { ...remote, maxUploadedArchiveBytes: limit };
      await bench.save({ ...gems, key });
      expect((await stat(bench.archive(key))).size).toBe(size);
    }
    expect(requested("PUT")).toEqual(["measured", "allowed"]);
    expect(bench.events.map(({ kind }) => kind)).toEqual(["saved", "saved", "saved"]);
    bench.variables = { CACHE_MAX_UPLOADED_ARCHIVE_SIZE: String(size - 1) };
    bench.store = remote;
    await bench.save({ ...gems, key: "too-long-too" });
    expect(requested("PUT")).toHaveLength(2);
  });

  it("CA E5: are uploaded after two waits of a second when the store answers 500 twice", async () => {
    await bench.write({ "vendor/a": "one" });
    let puts = 0;
    intercept = (request, response, incoming) => {
      if (request.method !== "PUT") return false;
      puts += 1;
      if (puts > 2) return false;
      incoming.resume().on("end", () => response.writeHead(500).end());
      return true;
    };
    await bench.save(gems);
    expect(bench.sleeps).toEqual([1000, 1000]);
    expect(requested("PUT")).toHaveLength(3);
    expect(bench.warnings()).toEqual([]);
    const stored = server.objects.get(`${base}/gems`);
    expect(Buffer.compare(stored?.content ?? new Uint8Array(), await readFile(bench.archive("gems")))).toBe(0);
  });

  it("CA E6: are given up after one attempt when the store refuses, with its code and text", async () => {
    await bench.write({ "vendor/a": "one" });
    intercept = (request, response, incoming) => {
      if (request.method !== "PUT") return false;
      const text = "<Error><Code>AccessDenied</Code><Message>Not for you</Message></Error>";
      incoming.resume().on("end", () => response.writeHead(403, { "content-type": "application/xml" }).end(text));
      return true;
    };
    await bench.save(gems, { ...gems, key: "second" });
    expect(requested("PUT")).toEqual(["gems", "second"]);
    expect(bench.sleeps).toEqual([]);
    expect(bench.warnings()[0]).toMatch(/AccessDenied.*Not for you/);
    expect(bench.events.map(({ kind }) => kind)).toEqual(["failed", "failed"]);
    expect((await stat(bench.archive("gems"))).isFile()).toBe(true);
  });

  it("have relative names in the store, however the configured prefix was written", async () => {
    await bench.write({ "vendor/a": "one" });
    const remote = bench.store;
    if (remote === undefined) throw new Error("there is no store");
    bench.store = { ...remote, path: "/prefix/" };
    await bench.save(gems);
    const put = server.requests.find(({ method }) => method === "PUT");
    expect(put?.name).toBe(`prefix/${base}/gems`);
  });
});

interface SaveProcess extends Promise<{ readonly stdout: string; readonly signal: NodeJS.Signals | null }> {
  readonly child: ReturnType<typeof spawn>;
}

/** Saves the entry `gems` in a process of its own. */
function runSave(shellPrefix: string): SaveProcess {
  const module = JSON.stringify(new URL("index.ts", import.meta.url).href);
  const { entries, job, platform, projectDirectory, cacheDirectory } = bench.options([gems]);
  const facts = {
    entries,
    job,
    platform,
    projectDirectory,
    cacheDirectory,
    environment: {},
    hashKeys: false,
    succeeded: true,
  };
  const script = `
    import { saveCaches } from ${module};
    const line = (kind) => (text) => console.log(kind + ": " + text);
    const log = Object.fromEntries(["plain", "info", "notice", "warning", "error"].map((kind) => [kind, line(kind)]));
    const lookup = () => undefined;
    await saveCaches({ ...${JSON.stringify(facts)}, log, lookup, lookupContent: lookup, signal: new AbortController().signal });
  `;
  const command = `${shellPrefix}exec "$@"`;
  const node = [process.execPath, "--conditions=@fleetfoot/source", "--input-type=module", "-e", script];
  const child = spawn("sh", ["-c", command, "sh", ...node], { stdio: ["ignore", "pipe", "inherit"] });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  const ended = once(child, "close").then(([, signal]) => ({ stdout, signal: signal as NodeJS.Signals | null }));
  return Object.assign(ended, { child });
}
