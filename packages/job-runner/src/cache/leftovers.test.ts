import { mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { createMemoryStore } from "@fleetfoot/cache-backend";
import type { CacheStore } from "@fleetfoot/cache-backend";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { CacheBench, killedAt } from "../test-support/cache-bench.ts";
import { removeHostLeftovers } from "./leftovers.ts";

const HOUR_MS = 3_600_000;
const entry = { key: "gems", paths: ["vendor"] };

let bench: CacheBench;
let directory: string;

beforeEach(async () => {
  bench = await CacheBench.open();
  directory = dirname(bench.archive("gems"));
  await mkdir(directory, { recursive: true });
});

afterEach(async () => {
  vi.useRealTimers();
  await bench.close();
});

describe("what a killed process left beside an archive", () => {
  it("stays for a day, since its writer may be alive, and is gone at the first save after that", async () => {
    await bench.write({ "vendor/old": "1" });
    expect(await killedAt("before", "saveCaches", bench, entry)).toBe("SIGKILL");
    const left = (await readdir(directory)).filter((name) => name.startsWith("archive_"));
    expect(left).toHaveLength(1);

    later(23);
    await bench.write({ "vendor/new": "1" });
    await bench.save(entry);
    expect(await readdir(directory)).toEqual(expect.arrayContaining(left));

    later(25);
    await bench.write({ "vendor/newer": "1" });
    await bench.save(entry);
    expect((await readdir(directory)).toSorted()).toEqual(bench.companions("gems"));
    expect(bench.warnings()).toEqual([]);
  });

  it("is gone at the first restore after a day, whatever its content dates from", async () => {
    const name = await nameOfDownload();
    await writeFile(join(directory, name), "half of it");
    await utimes(join(directory, name), 0, 0);

    later(23);
    await bench.restore(entry);
    expect(await readdir(directory)).toContain(name);

    later(25);
    await bench.restore(entry);
    expect(await readdir(directory)).not.toContain(name);
  });

  it("is told from files of another name and from folders, which stay", async () => {
    const folder = "archive_00000000-0000-4000-8000-000000000000";
    await mkdir(join(directory, folder));
    await writeFile(join(directory, "archive_of_mine"), "");
    await writeFile(join(directory, "cache-of-mine.part"), "");
    await writeFile(join(directory, "tree-0123456789abcdef.manifest.00000000-0000-4000-8000-000000000000"), "");
    later(25);
    await bench.write({ "vendor/a": "1" });
    await bench.save(entry);
    expect((await readdir(directory)).toSorted()).toEqual(
      [folder, "archive_of_mine", "cache-of-mine.part", ...bench.companions("gems")].toSorted(),
    );
  });
});

describe("what killed processes left below a cache directory", () => {
  const name = "archive_00000000-0000-4000-8000-000000000000";

  it("goes a day later, also beside archives that nobody saves any more, and with the folders that are empty then", async () => {
    await bench.write({ "vendor/a": "1" });
    await bench.save(entry);
    const gone = join(dirname(directory), "gone");
    await mkdir(gone);
    for (const folder of [directory, gone]) await writeFile(join(folder, name), "half");
    await writeFile(join(gone, "archive_of_mine"), "");
    const lost = join(dirname(directory), "lost");
    await mkdir(lost);
    await writeFile(join(lost, name), "half");

    later(23);
    expect(await removeHostLeftovers(bench.top)).toEqual({ files: 0, bytes: 0 });
    later(25);
    expect(await removeHostLeftovers(bench.top, true)).toEqual({ files: 3, bytes: 12 });
    expect(await removeHostLeftovers(bench.top)).toEqual({ files: 3, bytes: 12 });
    expect((await readdir(directory)).toSorted()).toEqual(bench.companions("gems"));
    expect(await readdir(gone)).toEqual(["archive_of_mine"]);
    expect((await readdir(dirname(directory))).toSorted()).toEqual(["gems", "gone"]);
  });

  it("is nothing where there is no such directory", async () => {
    expect(await removeHostLeftovers(join(bench.top, "absent"))).toEqual({ files: 0, bytes: 0 });
  });
});

/** Moves the clock, not the files, whose time of change cannot be set. */
function later(hours: number): void {
  vi.useRealTimers();
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + hours * HOUR_MS });
}

/** Restores from a store that hangs up half-way, and says what the file was called meanwhile. */
async function nameOfDownload(): Promise<string> {
  const store = createMemoryStore();
  bench.store = { store, path: "", shared: true, runnerShortToken: "short", maxUploadedArchiveBytes: 0 };
  await bench.write({ "vendor/a": "1" });
  await bench.save(entry);
  let name: string | undefined;
  const peeking: CacheStore = {
    ...store,
    get: async (object, options) => {
      const found = await store.get(object, options);
      if (found === undefined) return undefined;
      const source = found.body;
      async function* watched(): AsyncGenerator<Uint8Array> {
        for await (const piece of source) {
          yield piece;
          name ??= (await readdir(directory)).find((file) => file.endsWith(".part"));
        }
      }
      return { ...found, body: ReadableStream.from(watched()) };
    },
  };
  const local = bench.archive("gems");
  await utimes(local, 0, 0);
  bench.store = { ...bench.store, store: peeking };
  await bench.restore(entry);
  if (name === undefined) throw new Error("there was no download");
  return name;
}
