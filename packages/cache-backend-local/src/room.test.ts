import { mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bodyOf, readText } from "@fleetfoot/cache-backend/testing";
import { chooseEvictions } from "./choose-evictions.ts";
import { filePathOf } from "./file-names.ts";
import { hostFileSystem } from "./file-system.ts";
import { createLocalStore } from "./local-store.ts";
import type { LocalStore, LocalStoreOptions } from "./local-store.ts";

const hour = 3_600_000;
const kilobyte = new Uint8Array(1000);
let directory: string;
let now: number;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "local-room-"));
  // Files have times of the real clock.
  now = Date.now();
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

function open(limits: NonNullable<LocalStoreOptions["limits"]>, options: Partial<LocalStoreOptions> = {}): LocalStore {
  return createLocalStore({ directory, limits, now: () => now, ...options });
}

/** Puts an object whose last use was so long ago. */
async function putUsed(store: LocalStore, name: string, agoMs: number): Promise<void> {
  await store.put(name, bodyOf(kilobyte));
  const time = new Date(now - agoMs);
  await utimes(filePathOf(directory, name), time, time);
}

async function names(store: LocalStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of store.list("")) found.push(name);
  return found;
}

describe("a local store with limits", () => {
  it("makes room before a put by removing what was used longest ago", async () => {
    const store = open({ maxBytes: 3900 });
    for (const [index, name] of ["a", "b", "c"].entries()) await putUsed(store, name, (4 - index) * hour);
    await readText(await store.get("a"));
    await store.put("d", bodyOf(kilobyte));
    expect(await names(store)).toEqual(["a", "c", "d"]);
  });

  it("takes a get of any part for a use, but no head and no list", async () => {
    const store = open({ maxBytes: 3900 });
    for (const [index, name] of ["a", "b", "c"].entries()) await putUsed(store, name, (4 - index) * hour);
    await store.head("a");
    await names(store);
    await (await store.getRange("b", { start: 0, end: 1 }))?.body.cancel();
    await store.put("d", bodyOf(kilobyte));
    expect(await names(store)).toEqual(["b", "c", "d"]);
  });

  it("removes what nobody has used for too long, and keeps the rest", async () => {
    const store = open({ maxUnusedMs: 24 * hour });
    await putUsed(store, "old", 25 * hour);
    await putUsed(store, "young", 23 * hour);
    expect(await store.prune()).toMatchObject({ removedObjects: 1 });
    expect(await names(store)).toEqual(["young"]);
  });

  it("keeps the disk from getting full, whoever fills it", async () => {
    let free = 10_000;
    const statfs = async (): Promise<unknown> => ({ bavail: free, bsize: 1 });
    const fileSystem = { ...hostFileSystem, statfs: statfs as typeof hostFileSystem.statfs };
    const store = open({ minFreeBytes: 5000 }, { fileSystem });
    for (const [index, name] of ["a", "b", "c"].entries()) await putUsed(store, name, (4 - index) * hour);
    expect(await names(store)).toEqual(["a", "b", "c"]);
    free = 5500;
    await store.put("d", bodyOf(kilobyte));
    expect(await names(store)).toEqual(["b", "c", "d"]);
  });

  it("counts what others have put since, when it looks again", async () => {
    const store = open({ maxBytes: 4000 });
    await putUsed(store, "a", 3 * hour);
    const other = open({});
    for (const name of ["b", "c", "d"]) await putUsed(other, name, hour);
    now += 2 * hour;
    await store.put("e", bodyOf(kilobyte));
    expect(await names(store)).toEqual(expect.arrayContaining(["e"]));
    expect((await names(store)).length).toBeLessThan(4);
  });

  it("never removes what is being put, however large it is", async () => {
    const store = open({ maxBytes: 500 });
    await store.put("a", bodyOf(kilobyte));
    expect(await names(store)).toEqual(["a"]);
    await store.put("b", bodyOf(kilobyte));
    expect(await names(store)).toEqual(["b"]);
  });

  it("removes after a day what a killed process has left, and not before", async () => {
    const store = open({ maxBytes: 4000 });
    await putUsed(store, "a", hour);
    for (const [name, hours] of [
      ["~new.tmp", 23],
      ["~old.tmp", 25],
    ] as const) {
      await writeFile(join(directory, name), "left");
      await utimes(join(directory, name), new Date(now - hours * hour), new Date(now - hours * hour));
    }
    await store.prune();
    expect((await readdir(directory)).sort()).toEqual(["a~object", "~new.tmp"]);
  });

  it("leaves the time of the put alone when it notes a use", async () => {
    const store = open({ maxBytes: 4000 });
    await store.put("a", bodyOf(kilobyte));
    const put = (await store.head("a"))?.modifiedAtMs;
    now += 2 * hour;
    await readText(await store.get("a"));
    expect((await store.head("a"))?.modifiedAtMs).toBe(put);
    expect(Math.round((await stat(filePathOf(directory, "a"))).mtimeMs)).toBe(now);
  });

  it("gives a reader the whole object although it is removed meanwhile", async () => {
    const store = open({ maxBytes: 1500 });
    await store.put("a", bodyOf(new Uint8Array(1200).fill(7)));
    const object = await store.get("a");
    await store.put("b", bodyOf(kilobyte));
    expect(await names(store)).toEqual(["b"]);
    expect((await readText(object))?.length).toBe(1200);
  });

  it("is what every host sees, because the choice depends on the files alone", () => {
    const file = fc.record({
      path: fc.string({ maxLength: 3 }),
      bytes: fc.nat(1000),
      usedAtMs: fc.nat(5),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(file, { selector: ({ path }) => path }),
        fc.nat(5000),
        fc.nat(3000),
        fc.nat(5),
        (files, maxBytes, missingBytes, usedBeforeMs) => {
          const wanted = { maxBytes, missingBytes, usedBeforeMs };
          const chosen = chooseEvictions(files, wanted);
          expect(chooseEvictions(files.toReversed(), wanted)).toEqual(chosen);
          const kept = files.filter((one) => !chosen.includes(one));
          const sum = (some: typeof files): number => some.reduce((total, { bytes }) => total + bytes, 0);
          expect(kept.every(({ usedAtMs }) => usedAtMs >= usedBeforeMs)).toBe(true);
          expect(sum(kept)).toBeLessThanOrEqual(Math.max(maxBytes, 0));
          expect(kept.length === 0 || sum([...chosen]) >= missingBytes).toBe(true);
        },
      ),
    );
  });
});
