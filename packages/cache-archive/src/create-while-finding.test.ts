import { readdirSync, statSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createArchive } from "./create.ts";
import { CacheArchiveError } from "./errors.ts";
import { extractArchive } from "./extract.ts";
import { openSelection, selectFiles } from "./select/select.ts";
import { makeScratch } from "./test-support/scratch.ts";
import type { Scratch } from "./test-support/scratch.ts";
import type { ArchiveEntry, ArchiveFormat, ArchiveSummary } from "./types.ts";

const OLD = "the archive that was there";

let scratch: Scratch;
let root: string;
let archivePath: string;

beforeEach(async () => {
  scratch = await makeScratch();
  root = scratch.at("project");
  archivePath = scratch.at("cache/archive");
  await mkdir(path.join(root, "many"), { recursive: true });
  await mkdir(path.dirname(archivePath));
  await writeFile(archivePath, OLD);
  await writeFile(path.join(root, "long"), "long ".repeat(2_000_000));
  for (let nth = 0; nth < 50; nth += 1) await writeFile(path.join(root, `many/${nth}`), `${nth} `.repeat(nth * 40));
});

afterEach(async () => {
  await scratch[Symbol.asyncDispose]();
});

describe.each<ArchiveFormat>(["zip", "zipzstd", "tarzstd"])(
  "an archive in the format %s of entries that are still being found",
  (format) => {
    it("has the bytes of one whose entries are known, with any number of workers and on the calling thread", async () => {
      const { entries } = await selectFiles({ root, paths: ["."] });
      for (const concurrency of [1, 2, 3]) {
        await createArchive({ root, archivePath, format, entries, concurrency });
        const expected = await readFile(archivePath);
        for (const maxInlineMs of [0, 1_000_000]) {
          const options = { root, archivePath, format, concurrency, maxInlineMs };
          await createArchive({ ...options, entries: openSelection({ root, paths: ["."] }) });
          expect(expected.equals(await readFile(archivePath))).toBe(true);
          const summary = await createArchive({ ...options, entries: oneByOne(entries) });
          expect(expected.equals(await readFile(archivePath))).toBe(true);
          expect(summary).toEqual({ entries: entries.length, bytes: expected.length });
        }
      }
    });

    it("is written before all of them are found", async () => {
      const { entries } = await selectFiles({ root, paths: ["."] });
      async function* slowly(): AsyncGenerator<readonly ArchiveEntry[]> {
        for (const entry of entries) {
          yield [entry];
          // The threads have what was found before, and nobody else writes.
          if (entry.path === "long") await packingHasBegun();
        }
      }
      await create(slowly());
      await extractArchive({ archivePath, root: scratch.at("restored") });
      expect(await readFile(scratch.at("restored/many/49"), "utf8")).toBe("49 ".repeat(49 * 40));
      expect(await readdir(scratch.at("restored/many"))).toHaveLength(50);
    });

    it("fails with what finding them throws, and leaves the old one", async () => {
      const { entries } = await selectFiles({ root, paths: ["."] });
      const refused = new CacheArchiveError({ code: "io", message: "look for files: refused" });
      async function* refusing(): AsyncGenerator<readonly ArchiveEntry[]> {
        yield entries.slice(0, 2);
        await packingHasBegun();
        throw refused;
      }
      await expect(create(refusing())).rejects.toBe(refused);
      await expectOldArchive();
    });

    it("ends the search when an entry cannot be packed or the signal aborts, and leaves the old one", async () => {
      const { entries } = await selectFiles({ root, paths: ["."] });
      const controller = new AbortController();
      const stop = new Error("stop");
      let ended = 0;
      async function* endless(
        first: readonly ArchiveEntry[],
        then: () => void,
      ): AsyncGenerator<readonly ArchiveEntry[]> {
        try {
          yield first;
          then();
          for (let nth = 0; ; nth += 1) {
            await new Promise((resolve) => setImmediate(resolve));
            yield [{ path: `x${String(nth).padStart(9, "0")}`, kind: "directory", bytes: 0, mode: 0o755, ...FACTS }];
          }
        } finally {
          ended += 1;
        }
      }
      const gone: ArchiveEntry = { path: "gone", kind: "file", bytes: 9_000_000, mode: 0o644, ...FACTS };
      await expect(create(endless([gone], () => undefined))).rejects.toMatchObject({ code: "entry-changed" });
      await expect(
        create(
          endless(entries, () => controller.abort(stop)),
          controller.signal,
        ),
      ).rejects.toBe(stop);
      expect(ended).toBe(2);
      await expectOldArchive();
    });

    it("refuses entries out of order, listed twice or outside the root", async () => {
      const [first, second] = (await selectFiles({ root, paths: ["many"] })).entries;
      if (first === undefined || second === undefined) throw new Error("the tree is empty");
      await expect(create(oneByOne([second, first]))).rejects.toMatchObject({ code: "invalid-option" });
      await expect(create(oneByOne([first, first]))).rejects.toMatchObject({ code: "duplicate-name" });
      await expect(create(oneByOne([{ ...first, path: "../x" }]))).rejects.toMatchObject({ code: "outside-root" });
      await expectOldArchive();
    });

    it("may be empty", async () => {
      expect((await create(oneByOne([]))).entries).toBe(0);
      await extractArchive({ archivePath, root: scratch.at("restored") });
      expect(await readdir(scratch.at("restored"))).toEqual([]);
    });

    async function create(
      entries: AsyncIterable<readonly ArchiveEntry[]>,
      signal?: AbortSignal,
    ): Promise<ArchiveSummary> {
      const stop = signal === undefined ? {} : { signal };
      return await createArchive({ root, archivePath, format, entries, concurrency: 2, maxInlineMs: 0, ...stop });
    }
  },
);

const FACTS = { mtimeMs: 1_700_000_000_000, uid: 0, gid: 0 };

async function* oneByOne(entries: readonly ArchiveEntry[]): AsyncGenerator<readonly ArchiveEntry[]> {
  for (const entry of entries) yield [entry];
}

/** Threads have written something into the archive that is not there yet. */
async function packingHasBegun(): Promise<void> {
  await expect.poll(() => bytesOfUnfinished(), { timeout: 30_000, interval: 5 }).toBeGreaterThan(0);
}

function bytesOfUnfinished(): number {
  const folder = path.dirname(archivePath);
  const name = readdirSync(folder).find((entry) => entry.startsWith("archive_"));
  return name === undefined ? 0 : statSync(path.join(folder, name)).size;
}

async function expectOldArchive(): Promise<void> {
  expect(await readFile(archivePath, "utf8")).toBe(OLD);
  expect(await readdir(path.dirname(archivePath))).toEqual(["archive"]);
}
