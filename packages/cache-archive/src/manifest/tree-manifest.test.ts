import { execFile, execFileSync } from "node:child_process";
import {
  cp,
  lstat,
  lutimes,
  mkdir,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
  chmod,
  copyFile,
} from "node:fs/promises";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { crc32 } from "node:zlib";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createArchive } from "../create.ts";
import type { FoundFacts } from "../engine/found-table.ts";
import { JobControl, makeControl } from "../engine/control.ts";
import { JobAborted } from "../engine/job-aborted.ts";
import { extractArchive } from "../extract.ts";
import { openSelection, selectFiles } from "../select/select.ts";
import { makeScratch } from "../test-support/scratch.ts";
import type { Scratch } from "../test-support/scratch.ts";
import type { ArchiveEntry, ArchiveFormat, ArchiveSummary, RestoreSummary, TreeState } from "../types.ts";
import { isUnchanged, lookAt } from "./look.ts";
import { identityOf, readManifest, writeManifest } from "./manifest-file.ts";
import { ManifestRows } from "./manifest-rows.ts";
import type { SharedRows } from "./manifest-rows.ts";
import { compareTree } from "./tree-manifest.ts";
import { treeHandler } from "./tree-runner.ts";

const OLD = new Date("2001-02-03T04:05:06Z");

let scratch: Scratch;
let root: string;
let archivePath: string;
let manifestPath: string;

beforeEach(async () => {
  scratch = await makeScratch();
  root = scratch.at("project");
  archivePath = scratch.at("cache.zip");
  manifestPath = scratch.at("cache.tree");
  await mkdir(scratch.at("project/modules/a/deep"), { recursive: true });
  await mkdir(scratch.at("project/modules/empty"));
  await writeFile(at("a/index.js"), "content");
  await writeFile(at("a/deep/long.bin"), Buffer.alloc(3_000_000, "x"));
  await writeFile(at("a/deep/nothing"), "");
  await symlink("../a/index.js", at("empty/link"));
  await writeFile(at("b.js"), "b");
  // Times that can be put back exactly.
  for (const { path } of (await select(["modules"])).toReversed()) await lutimes(scratch.at("project", path), OLD, OLD);
});

afterEach(async () => {
  await scratch[Symbol.asyncDispose]();
});

describe.each<ArchiveFormat>(["zip", "zipzstd", "tarzstd"])(
  "the manifest of a tree that was found while it was packed (%s)",
  (format) => {
    it.each([
      { row: "by several threads", options: { concurrency: 2, maxInlineMs: 0 } },
      { row: "on the calling thread", options: { concurrency: 2, maxInlineMs: 100_000 } },
    ])("knows the content of everything, also of what was packed in parts: $row", async ({ options }) => {
      const parts = Buffer.alloc(9_000_000, "some text ");
      await writeFile(at("parts"), parts);
      for (const place of [at("parts"), at("")]) await lutimes(place, OLD, OLD);
      await createArchive({ ...places(), ...options, format, entries: openSelection({ root, paths: ["modules"] }) });
      expect(await compare({})).toEqual({ state: "unchanged" });
      // With another inode only the content can tell that it is the same.
      for (const name of ["parts", "a/index.js", "a/deep/long.bin", "a/deep/nothing", "empty/link"])
        await replace(at(name));
      for (const { path, kind } of await select(["modules"])) {
        if (kind === "directory") await lutimes(scratch.at("project", path), OLD, OLD);
      }
      expect(await compare({})).toEqual({ state: "unchanged" });
      await writeFile(at("parts"), parts.fill("S", 8_999_999));
      await lutimes(at("parts"), OLD, OLD);
      expect(await compare({})).toEqual({ state: "changed", what: "changed", path: "modules/parts" });
    });
  },
);

describe.each<[format: ArchiveFormat, maxInlineMs: number]>([
  ["zip", 1000],
  ["zip", 0],
  ["tarzstd", 0],
])("the manifest of a saved tree (%s, %i ms on the calling thread)", (format, maxInlineMs) => {
  it("shows that nothing has changed, for literal paths and for listed entries", async () => {
    await save(format, maxInlineMs);
    expect(await compare({ maxInlineMs })).toEqual({ state: "unchanged" });
    expect(await compareTree({ ...places(), paths: ["./modules/", "modules/a"] })).toEqual({ state: "unchanged" });
    expect(await compareTree({ ...places(), entries: await select(["mod*"]), maxInlineMs })).toEqual({
      state: "unchanged",
    });
  });

  it("knows a restored tree whose archive names the root itself", async () => {
    await createArchive({ root, archivePath, format, maxInlineMs, entries: await select(["."]) });
    await rm(scratch.at("project/modules"), { recursive: true });
    expect(await restore(maxInlineMs)).toMatchObject({ wasInPlace: false });
    expect(await compareTree({ ...places(), paths: ["."], maxInlineMs })).toEqual({ state: "unchanged" });
    expect(await restore(maxInlineMs)).toMatchObject({ wasInPlace: true });
  });

  it("shows that a restore has nothing to do, and then nothing is touched", async () => {
    await save(format, maxInlineMs);
    const before = await facts();
    expect(await restore(maxInlineMs)).toMatchObject({ wasInPlace: true, entries: 9 });
    expect(await facts()).toEqual(before);
  });

  it("is written after a restore, too, and shows the same", async () => {
    await save(format, maxInlineMs);
    await rm(root, { recursive: true });
    expect(await restore(maxInlineMs)).toMatchObject({ wasInPlace: false, entries: 9 });
    expect(await compare({ maxInlineMs })).toEqual({ state: "unchanged" });
    const before = await facts();
    expect(await restore(maxInlineMs)).toMatchObject({ wasInPlace: true, entries: 9 });
    expect(await facts()).toEqual(before);
  });
});

/** What a job may have done, and what is noticed first. */
const changes: readonly {
  readonly row: string;
  readonly change: () => Promise<void>;
  readonly difference: TreeState;
}[] = [
  {
    row: "CA H10: a file that is gone",
    change: async () => await rm(at("a/index.js")),
    // Its folder has another time, if the clock of the file system has ticked.
    difference: { state: "changed", what: "changed", path: "modules/a" },
  },
  {
    row: "a file that is gone from a folder that got its old time back",
    change: async () => await keepingTimes(at("a"), async () => await rm(at("a/index.js"))),
    difference: { state: "changed", what: "removed", path: "modules/a/index.js" },
  },
  {
    row: "CA H10: a file that was added with an old time, in a folder that got its old time back",
    change: async () =>
      await keepingTimes(at("empty"), async () => {
        await writeFile(at("empty/new"), "new");
        await utimes(at("empty/new"), OLD, OLD);
      }),
    difference: { state: "changed", what: "added", path: "modules/empty/new" },
  },
  {
    row: "content of the same length, with the old time put back",
    change: async () => await keepingTimes(at("a/index.js"), async () => await writeFile(at("a/index.js"), "CONTENT")),
    difference: { state: "changed", what: "changed", path: "modules/a/index.js" },
  },
  {
    row: "a file that another one of the same length and time was moved over",
    change: async () =>
      await keepingTimes(at("a"), async () => {
        const { atime, mtime } = await stat(at("a/index.js"));
        await writeFile(scratch.at("other"), "CONTENT");
        await utimes(scratch.at("other"), atime, mtime);
        await rename(scratch.at("other"), at("a/index.js"));
      }),
    difference: { state: "changed", what: "changed", path: "modules/a/index.js" },
  },
  {
    row: "another mode",
    change: async () => await chmod(at("b.js"), 0o755),
    difference: { state: "changed", what: "changed", path: "modules/b.js" },
  },
  {
    row: "another mode of a folder",
    change: async () => await chmod(at("a/deep"), 0o700),
    difference: { state: "changed", what: "changed", path: "modules/a/deep" },
  },
  {
    row: "a link that leads elsewhere",
    change: async () =>
      await keepingTimes(at("empty"), async () => {
        await rm(at("empty/link"));
        await symlink("../a/deep/long", at("empty/link"));
      }),
    difference: { state: "changed", what: "changed", path: "modules/empty/link" },
  },
];

describe("compareTree notices", () => {
  it.each(changes)("$row", async ({ change, difference }) => {
    await save("zip", 1000);
    await clockTick();
    await change();
    expect(await compare({})).toEqual(difference);
    expect((await compare({ maxInlineMs: 0 })).state).toBe("changed");
    expect((await compareTree({ ...places(), entries: await select(["modules"]) })).state).toBe("changed");
  });

  it.each(changes)("$row, right after a restore, and the next restore mends it", async ({ change, difference }) => {
    await save("zip", 1000);
    await rm(root, { recursive: true });
    await restore(1000);
    const restored = await content();
    await change();
    const state = await compare({});
    expect(state.state).toBe("changed");
    if (state.state === "changed" && difference.state === "changed") expect(difference.path).toContain("modules");
    const isAddition = difference.state === "changed" && difference.what === "added";
    expect(await restore(1000)).toMatchObject({ wasInPlace: isAddition });
    expect(await content()).toEqual(isAddition ? expect.arrayContaining(restored) : restored);
  });

  it("a whole tree that is gone", async () => {
    await save("zip", 1000);
    await rm(at("."), { recursive: true });
    expect(await compare({})).toEqual({ state: "changed", what: "removed", path: "modules" });
  });
});

describe("compareTree takes manifests of any shape", () => {
  it("with entries whose folders were not archived", async () => {
    await createArchive({ ...places(), entries: await select(["modules/a/index.js", "modules/b.js"]) });
    const paths = ["modules/b.js", "modules/a/index.js"];
    expect(await compareTree({ ...places(), paths })).toEqual({ state: "unchanged" });
    expect(await compare({})).toEqual({ state: "changed", what: "added", path: "modules" });
    await rm(at("a"), { recursive: true });
    expect(await compareTree({ ...places(), paths })).toMatchObject({ what: "removed", path: "modules/a/index.js" });
  });

  it("with entries in any order", async () => {
    await save("zip", 1000);
    await clockTick();
    const saved = finished(readManifest(manifestPath));
    if (saved === undefined) throw new Error("there is no manifest");
    const paths = saved.paths.toReversed();
    const shared = share(paths);
    const rows = new ManifestRows(shared);
    for (const [index, path] of paths.entries()) {
      const found = saved.rows.found(saved.paths.indexOf(path));
      if (found !== undefined) rows.setFound(index, found);
    }
    writeManifest(manifestPath, saved.facts, shared);
    expect(await compare({})).toEqual({ state: "unchanged" });
    await keepingTimes(at("a"), async () => await writeFile(at("a/added"), ""));
    expect(await compare({})).toEqual({ state: "changed", what: "added", path: "modules/a/added" });
  });

  it("with folders that hold what no archive holds", async () => {
    await keepingTimes(at("empty"), async () => void execFileSync("mkfifo", [at("empty/before")]));
    await save("zip", 1000);
    expect(await compare({})).toEqual({ state: "unchanged" });
    await keepingTimes(at("empty"), async () => await symlink("nowhere", at("empty/a-link")));
    expect(await compare({})).toEqual({ state: "changed", what: "added", path: "modules/empty/a-link" });
  });

  it("with paths that lead nowhere, as when files are selected", async () => {
    await symlink("loop", scratch.at("project/loop"));
    const paths = ["modules", "loop", "loop/below", "gone"];
    await createArchive({ ...places(), entries: await select(paths) });
    expect(await compareTree({ ...places(), paths })).toEqual({ state: "unchanged" });
  });

  it("with what could be an unfinished restore, which no archive takes", async () => {
    await mkdir(at("empty/.fleetfoot-restore-x/tree"), { recursive: true });
    await save("zip", 1000);
    expect(await compare({})).toEqual({ state: "unchanged" });
    const paths = ["modules", "modules/empty/.fleetfoot-restore-x"];
    expect(await compareTree({ ...places(), paths })).toEqual({ state: "unchanged" });
  });

  it("and misses what became something that no archive holds", async () => {
    await save("zip", 1000);
    await keepingTimes(at("."), async () => {
      await rm(at("b.js"));
      execFileSync("mkfifo", [at("b.js")]);
    });
    expect(await compare({})).toEqual({ state: "changed", what: "removed", path: "modules/b.js" });
  });

  it("and paths that begin in different folders, one of which is not archived", async () => {
    await createArchive({ ...places(), entries: await select(["modules/a/deep", "modules/b.js"]) });
    const paths = ["modules/a/deep", "modules/b.js"];
    expect(await compareTree({ ...places(), paths })).toEqual({ state: "unchanged" });
    expect(await compareTree({ ...places(), paths: [...paths, "modules/gone"] })).toEqual({ state: "unchanged" });
    expect(await compareTree({ ...places(), paths: [...paths, "modules/empty"] })).toEqual({
      state: "changed",
      what: "added",
      path: "modules/empty",
    });
    expect(await compareTree({ ...places(), paths: ["modules/b.js"] })).toMatchObject({ what: "removed" });
  });

  it("and reads nothing behind a link that took the place of a folder", async () => {
    await save("zip", 1000);
    await keepingTimes(at("."), async () => {
      await rename(at("a"), scratch.at("a"));
      await symlink("../../a", at("a"));
    });
    await writeFile(scratch.at("a/deep/outside"), "");
    for (const maxInlineMs of [0, 1000]) {
      expect(await compare({ maxInlineMs })).toMatchObject({
        state: "changed",
        path: expect.not.stringContaining("outside"),
      });
    }
  });
});

describe("compareTree lets the content decide", () => {
  it("about a tree that was set aside and put back, and about one that was copied with its times", async () => {
    await save("zip", 1000);
    await rename(at("."), scratch.at("aside"));
    await rename(scratch.at("aside"), at("."));
    expect(await compare({})).toEqual({ state: "unchanged" });
    await cp(at("."), scratch.at("copy"), { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    await keepingTimes(at("a"), async () => await rename(scratch.at("copy/a/index.js"), at("a/index.js")));
    expect(await compare({})).toEqual({ state: "unchanged" });
  });
});

describe("a manifest is about the very archive that was written", () => {
  it("when another job puts its own under the same name before the manifest is written", async () => {
    await save("zip", 1000);
    await rename(archivePath, scratch.at("first.zip"));
    await keepingTimes(at("b.js"), async () => await writeFile(at("b.js"), "B"));
    await save("zip", 1000);
    await rename(archivePath, scratch.at("other.zip"));
    await rename(scratch.at("first.zip"), archivePath);
    const source = (name: string): string => JSON.stringify(path.join(import.meta.dirname, "..", name));
    const program = `
      import fs from "node:fs/promises";
      import { syncBuiltinESMExports } from "node:module";
      const { rename } = fs;
      const archivePath = ${JSON.stringify(archivePath)};
      fs.rename = async (from, to) => {
        await rename(from, to);
        if (to === archivePath) await rename(${JSON.stringify(scratch.at("other.zip"))}, archivePath);
      };
      syncBuiltinESMExports();
      const { createArchive } = await import(${source("create.ts")});
      const { selectFiles } = await import(${source("select/select.ts")});
      const root = ${JSON.stringify(root)};
      const { entries } = await selectFiles({ root, paths: ["modules"] });
      const { manifestError } = await createArchive({ root, archivePath, entries, manifestPath: ${JSON.stringify(manifestPath)} });
      if (manifestError !== undefined) throw manifestError;`;
    await keepingTimes(at("b.js"), async () => await writeFile(at("b.js"), "C"));
    await promisify(execFile)(process.execPath, [
      "--conditions=@fleetfoot/source",
      "--input-type=module",
      "--eval",
      program,
    ]);
    await expect(stat(scratch.at("other.zip"))).rejects.toMatchObject({ code: "ENOENT" });
    expect(await compare({})).toEqual({ state: "unknown" });
    expect(await restore(1000)).toMatchObject({ wasInPlace: false });
    expect(await readFile(at("b.js"), "utf8")).toBe("B");
  });
});

describe("a change time in whole seconds", () => {
  it("says nothing about a file that was looked at within the same two seconds", async () => {
    await writeFile(at("b.js"), "old");
    await utimes(at("b.js"), OLD, OLD);
    const was = { ...lookAt(at("b.js")), crc: crc32("old"), ctimeMs: 5000 } as FoundFacts;
    await keepingTimes(at("b.js"), async () => await writeFile(at("b.js"), "new"));
    const now = Object.assign(await lstat(at("b.js")), { ctimeMs: 5000 });
    expect(isUnchanged(at("b.js"), now, was, 6900)).toBe(false);
    expect(isUnchanged(at("b.js"), now, was, 7100)).toBe(true);
  });
});

describe("a manifest is ignored", () => {
  beforeEach(async () => await save("zip", 1000));

  it("when it is missing, and when any byte of it is damaged or cut off", async () => {
    const whole = await readFile(manifestPath);
    const step = Math.ceil(whole.length / 60);
    for (let at = 0; at < whole.length; at += step) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      await writeFile(manifestPath, damaged);
      expect(await compare({})).toEqual({ state: "unknown" });
      await writeFile(manifestPath, whole.subarray(0, at));
      expect(await compare({})).toEqual({ state: "unknown" });
    }
    await rm(manifestPath);
    expect(await compare({})).toEqual({ state: "unknown" });
    await writeFile(manifestPath, whole);
    expect(await compare({})).toEqual({ state: "unchanged" });
  });

  it("when another archive is in the place of its own, or the tree is another folder", async () => {
    await cp(root, scratch.at("other"), { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    expect(await compareTree({ ...places(), root: scratch.at("other"), paths: ["modules"] })).toEqual({
      state: "unknown",
    });
    await copyFile(archivePath, scratch.at("copy.zip"));
    await rename(scratch.at("copy.zip"), archivePath);
    expect(await compare({})).toEqual({ state: "unknown" });
    expect(await restore(1000)).toMatchObject({ wasInPlace: false });
    expect(await compare({})).toEqual({ state: "unchanged" });
  });

  it("when its archive was written over in place, with its length and its old time", async () => {
    await utimes(archivePath, OLD, OLD);
    const manifest = finished(readManifest(manifestPath));
    if (manifest === undefined) throw new Error("there is no manifest");
    const paths = Array.from({ length: manifest.rows.count }, (_, index) => manifest.rows.path(index));
    const rows = share(paths);
    const copy = new ManifestRows(rows);
    for (const index of paths.keys()) {
      const found = manifest.rows.found(index);
      if (found !== undefined) copy.setFound(index, found);
    }
    writeManifest(manifestPath, { ...manifest.facts, archive: identityOf(await stat(archivePath)) }, rows);
    expect(await compare({})).toEqual({ state: "unchanged" });
    await clockTick();
    await writeFile(archivePath, await readFile(archivePath));
    await utimes(archivePath, OLD, OLD);
    expect(await compare({})).toEqual({ state: "unknown" });
  });

  it.each([["../outside"], ["/etc/passwd"], ["modules/../../x"], ["modules//b.js"], ["a\0b"], [""]])(
    "when somebody forged one with the path %j",
    async (path) => {
      await forge(share([path]));
      expect(await compare({})).toEqual({ state: "unknown" });
      expect(await restore(1000)).toMatchObject({ wasInPlace: false });
    },
  );

  it("when its numbers do not fit its length", async () => {
    const whole = await readFile(manifestPath);
    const shared = share(["modules", "modules/b.js"]);
    new Float64Array(shared.rows)[1] = 1e300;
    await forge(shared);
    expect(await compare({})).toEqual({ state: "unknown" });
    await writeFile(manifestPath, whole);
    await forge({ ...share(["modules", "modules/b.js"]), count: 3 });
    expect(await compare({})).toEqual({ state: "unknown" });
  });

  it("says nothing about what lies behind a link that took the place of a folder", async () => {
    await rename(at("a"), scratch.at("a"));
    await symlink("../../a", at("a"));
    expect(await restore(1000).catch((error: unknown) => error)).toMatchObject({ code: "outside-root" });
  });
});

describe("a long manifest", () => {
  beforeEach(async () => {
    await save("zip", 1000);
    await forge(share(Array.from({ length: 20_000 }, (_, index) => `modules/${index}`)));
  });

  it("is opened in steps of a megabyte and of 2000 paths", async () => {
    const steps = readManifest(manifestPath);
    let taken = 0;
    let step = steps.next();
    for (; step.done !== true; step = steps.next()) taken += 1;
    expect(step.value?.paths).toHaveLength(20_000);
    expect(taken).toBeGreaterThanOrEqual(10 + Math.floor((await stat(manifestPath)).size / 1024 ** 2));
  });

  it.each([1, 4, 9])("is not read on when the job is aborted (step %i of opening it)", async (step) => {
    const control = new AbortedAt(step);
    const archive = identityOf(await stat(archivePath));
    const task = { kind: "compare-tree" as const, root, archive, manifestPath, content: undefined };
    const runner = treeHandler.open(task, control);
    await expect(runner.run(0)).rejects.toBeInstanceOf(JobAborted);
    expect(control.asked).toBe(step);
    expect(runner.result).toBeUndefined();
    expect(await openFiles()).not.toContain(manifestPath);
  });
});

/** A job that is aborted when somebody asks for the nth time whether it is. */
class AbortedAt extends JobControl {
  asked = 0;
  readonly #nth: number;

  constructor(nth: number) {
    super(makeControl(1));
    this.#nth = nth;
  }

  override get isAborted(): boolean {
    this.asked += 1;
    if (this.asked === this.#nth) this.abort();
    return super.isAborted;
  }
}

describe("what keeps a manifest from being written", () => {
  it("is told, and the archive is complete all the same", async () => {
    manifestPath = scratch.at("missing/cache.tree");
    const saved = await save("zip", 1000);
    expect(saved.manifestError).toMatchObject({ code: "io" });
    expect(await restore(1000)).toMatchObject({ entries: 9, manifestError: { code: "io" } });
  });

  it("can be that the archive has no index", async () => {
    const saved = await createArchive({
      ...places(),
      format: "tarzstd",
      concurrency: 1,
      entries: await select(["modules"]),
    });
    expect(saved.manifestError).toMatchObject({ code: "unsupported-format" });
  });
});

function at(name: string): string {
  return scratch.at("project/modules", name);
}

function places(): { root: string; archivePath: string; manifestPath: string } {
  return { root, archivePath, manifestPath };
}

async function select(paths: readonly string[]): Promise<readonly ArchiveEntry[]> {
  return (await selectFiles({ root, paths })).entries;
}

async function save(format: ArchiveFormat, maxInlineMs: number): Promise<ArchiveSummary> {
  return await createArchive({ ...places(), format, maxInlineMs, entries: await select(["modules"]) });
}

async function restore(maxInlineMs: number): Promise<RestoreSummary> {
  return await extractArchive({ ...places(), maxInlineMs });
}

async function compare(options: { readonly maxInlineMs?: number }): Promise<TreeState> {
  return await compareTree({ ...places(), ...options, paths: ["modules"] });
}

/** Puts a copy with the same time into the place of a file or a link. */
async function replace(place: string): Promise<void> {
  await cp(place, `${place}.copy`, { verbatimSymlinks: true });
  await lutimes(`${place}.copy`, OLD, OLD);
  await rename(`${place}.copy`, place);
}

/** What a change of anything would change. */
async function facts(): Promise<unknown[]> {
  const found: unknown[] = [];
  for (const { path } of await select(["modules"])) {
    const { ino, size, mtimeNs, ctimeNs, mode } = await lstat(scratch.at("project", path), { bigint: true });
    found.push([path, ino, size, mtimeNs, ctimeNs, mode]);
  }
  return found;
}

async function content(): Promise<unknown[]> {
  const found: unknown[] = [];
  for (const { path, kind, mode, mtimeMs } of await select(["modules"])) {
    const text = kind === "file" ? (await readFile(scratch.at("project", path), "latin1")).slice(0, 100) : "";
    // An addition changes the time of its folder.
    found.push([path, kind, mode, kind === "directory" ? 0 : mtimeMs, text]);
  }
  return found;
}

async function keepingTimes(path: string, change: () => Promise<void>): Promise<void> {
  const { atime, mtime } = await stat(path);
  await change();
  await utimes(path, atime, mtime);
}

/** Until a change shows in the times of the file system. */
async function clockTick(): Promise<void> {
  const probe = scratch.at("probe");
  await writeFile(probe, "");
  const { ctimeMs } = await stat(probe);
  for (let now = ctimeMs; now === ctimeMs;) {
    await pause(1);
    await writeFile(probe, "x");
    now = (await stat(probe)).ctimeMs;
  }
}

async function openFiles(): Promise<string[]> {
  const descriptors = await readdir("/proc/self/fd");
  return await Promise.all(descriptors.map(async (fd) => await readlink(`/proc/self/fd/${fd}`).catch(() => "")));
}

function share(paths: readonly string[]): SharedRows {
  return finished(ManifestRows.share(paths.length, (index) => paths[index] ?? ""));
}

function finished<T>(steps: Generator<void, T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** A manifest that only its rows give away. */
async function forge(rows: SharedRows): Promise<void> {
  const manifest = finished(readManifest(manifestPath));
  if (manifest === undefined) throw new Error("there is no manifest");
  writeManifest(manifestPath, manifest.facts, rows);
  expect((await readFile(manifestPath)).length).toBeGreaterThan(100);
}
