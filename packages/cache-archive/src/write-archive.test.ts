import { readdir, readlink, mkdir, writeFile } from "node:fs/promises";
import { createWriteStream } from "node:fs";
import path from "node:path";
import { Writable } from "node:stream";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { writeArchive } from "./create.ts";
import { extractArchive } from "./extract.ts";
import { selectFiles } from "./select/select.ts";
import { failure } from "./test-support/failure.ts";
import { noise } from "./test-support/noise.ts";
import { makeScratch } from "./test-support/scratch.ts";
import type { Scratch } from "./test-support/scratch.ts";
import type { ArchiveEntry } from "./types.ts";

let scratch: Scratch;
let root: string;
let entries: readonly ArchiveEntry[];

/** Does not shrink, so that the sink sees all of it. */
const LONG_BYTES = 6_000_000;
const SHORT_FILES = 300;

beforeEach(async () => {
  scratch = await makeScratch();
  root = scratch.at("project");
  await mkdir(path.join(root, "short"), { recursive: true });
  await writeFile(path.join(root, "long"), noise(LONG_BYTES));
  for (let nth = 0; nth < SHORT_FILES; nth += 1)
    await writeFile(path.join(root, `short/${nth}`), `${nth}\n`.repeat(nth));
  ({ entries } = await selectFiles({ root, paths: ["."] }));
});

afterEach(async () => {
  await scratch[Symbol.asyncDispose]();
});

describe.each(["zip", "tarzstd"] as const)("an archive in the format %s for a sink that cannot seek", (format) => {
  it("restores to the tree it was made of", async () => {
    const archivePath = scratch.at("archive");
    const { bytes, entries: count } = await writeArchive({
      root,
      entries,
      format,
      sink: createWriteStream(archivePath),
    });
    expect(count).toBe(entries.length);
    await extractArchive({ archivePath, root: scratch.at("restored") });
    const restored = await selectFiles({ root: scratch.at("restored"), paths: ["."] });
    expect(restored.entries.map(({ path, kind, bytes }) => [path, kind, bytes])).toEqual(
      entries.map(({ path, kind, bytes }) => [path, kind, bytes]),
    );
    expect(bytes).toBeGreaterThan(LONG_BYTES);
  });

  it("goes no faster than a slow sink takes it", async () => {
    const sink = new SlowSink();
    const { bytes } = await writeArchive({ root, entries, format, sink });
    expect(sink.taken).toBe(bytes);
    // A few pieces on their way, not the archive.
    expect(sink.mostWaiting).toBeLessThan(1_000_000);
    expect(sink.writableFinished).toBe(true);
  });

  it("fails with what the sink says, and leaves nothing open", async () => {
    const sink = new FailingSink(1_000_000, new Error("the store hung up"));
    const error = await failure(writeArchive({ root, entries, format, sink }));
    expect(error.message).toContain("the store hung up");
    expect(sink.destroyed).toBe(true);
    expect(await openFilesOf(root)).toEqual([]);
  });

  it("fails when the sink takes no byte at all", async () => {
    const sink = new FailingSink(0, new Error("refused"));
    expect((await failure(writeArchive({ root, entries, format, sink }))).message).toContain("refused");
  });

  it.each(["in the middle", "before the first byte"])(
    "fails when the sink is closed %s without a word",
    async (when) => {
      const sink = new ClosingSink(when === "in the middle" ? 1_000_000 : 0);
      if (when !== "in the middle") sink.destroy();
      const error = await failure(writeArchive({ root, entries, format, sink }));
      expect(error.code).toBe("io");
      expect(await openFilesOf(root)).toEqual([]);
    },
  );

  it("rejects with the signal's reason, also while the sink takes nothing", async () => {
    const stop = new AbortController();
    const reason = new Error("canceled");
    const sink = new StuckSink();
    const work = writeArchive({ root, entries, format, sink, signal: stop.signal });
    await sink.stuck;
    stop.abort(reason);
    await expect(work).rejects.toBe(reason);
    expect(sink.destroyed).toBe(true);
    expect(await openFilesOf(root)).toEqual([]);
  });

  it("names a file that vanished, and ends the sink as a failure", async () => {
    const gone: ArchiveEntry = { path: "zz", kind: "file", bytes: 3, mode: 0o644, mtimeMs: 0, uid: 0, gid: 0 };
    const sink = new SlowSink();
    const error = await failure(writeArchive({ root, entries: [...entries, gone], format, sink }));
    expect(error).toMatchObject({ code: "entry-changed", entryName: "zz" });
    expect(sink.writableFinished).toBe(false);
    expect(sink.destroyed).toBe(true);
  });
});

/** Takes one piece in each turn of the event loop. */
class SlowSink extends Writable {
  taken = 0;
  mostWaiting = 0;

  override _write(piece: Buffer, _encoding: string, done: () => void): void {
    this.mostWaiting = Math.max(this.mostWaiting, this.writableLength);
    this.taken += piece.length;
    setImmediate(done);
  }
}

class FailingSink extends Writable {
  #left: number;
  readonly #error: Error;

  constructor(bytes: number, error: Error) {
    super();
    this.#left = bytes;
    this.#error = error;
  }

  override _write(piece: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.#left -= piece.length;
    setImmediate(() => (this.#left < 0 ? done(this.#error) : done()));
  }
}

/** Like a connection that is cut: closed, without an error. */
class ClosingSink extends Writable {
  #left: number;

  constructor(bytes: number) {
    super();
    this.#left = bytes;
  }

  override _write(piece: Buffer, _encoding: string, done: () => void): void {
    this.#left -= piece.length;
    if (this.#left < 0) this.destroy();
    else setImmediate(done);
  }
}

/** Takes a piece and never says that it is done with it. */
class StuckSink extends Writable {
  readonly #begun = Promise.withResolvers<void>();
  readonly stuck: Promise<void> = this.#begun.promise;

  override _write(): void {
    this.#begun.resolve();
  }
}

/** What this process has open below a folder. */
async function openFilesOf(folder: string): Promise<string[]> {
  const descriptors = await readdir("/proc/self/fd");
  const targets = await Promise.all(descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
  return targets.filter((target) => target.startsWith(`${folder}/`));
}
