import { createHook } from "node:async_hooks";
import { mkdir, mkdtemp, readdir, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../clock.ts";
import { Metrics } from "../metrics.ts";
import type { Digest } from "../reference/grammar.ts";
import { HangingCalls } from "../testing/hanging-calls.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { DiskCalls } from "./disk-calls.ts";
import type { DiskCallOptions } from "./disk-calls.ts";
import { Disk } from "./disk.ts";
import { findBlobs } from "./find-blobs.ts";
import { blobName } from "./layout.ts";

describe("the blobs that an earlier process left", () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "mirror-"));
  });

  afterEach(() => rm(directory, { recursive: true }));

  const digestOf = (index: number): Digest => `sha256:ab${String(index).padStart(62, "0")}`;

  async function leave(count: number): Promise<void> {
    await mkdir(dirname(join(directory, blobName(digestOf(0)))), { recursive: true });
    for (let index = 0; index < count; index += 1)
      await writeFile(join(directory, blobName(digestOf(index))), "x".repeat(index % 5));
  }

  const openDisk = (calls: DiskCalls): Promise<Disk> =>
    Disk.open({
      directory,
      maxBytes: undefined,
      reserveBytes: 0,
      clock: systemClock,
      metrics: new Metrics(),
      parentsOf: () => [],
      pinned: () => new Set(),
      calls,
    });

  it("are found some at a time, and nothing else is taken for one", async () => {
    await leave(1000);
    const shard = dirname(join(directory, blobName(digestOf(0))));
    await writeFile(join(shard, "other"), "no blob");
    // In the wrong place, and no file.
    await writeFile(join(shard, "f".repeat(64)), "misplaced");
    await mkdir(join(directory, blobName(digestOf(5000))));
    await writeFile(join(directory, "blobs", "sha256", "file"), "no directory");
    const found = new Set<Digest>();
    let most = 0;
    for await (const some of findBlobs(directory, new DiskCalls())) {
      most = Math.max(most, some.length);
      for (const { bytes, digest } of some) {
        found.add(digest);
        expect(bytes).toBe(Number(digest.slice(-4)) % 5);
      }
    }
    expect([found.size, most <= 128]).toEqual([1000, true]);
    const disk = await openDisk(new DiskCalls());
    expect([disk.storedBlobs, disk.storedBytes]).toEqual([1000, 2000]);
    await disk.close();
  });

  it("are looked at one in each call, so that a disk that hangs leaves threads for others", async () => {
    await leave(200);
    let begun = 0;
    const hook = createHook({
      init: (_id, type) => {
        if (type === "FSREQPROMISE") begun += 1;
      },
    });
    let most = 0;
    class CountedCalls extends DiskCalls {
      override run<Result>(call: () => Promise<Result>, options?: DiskCallOptions<Result>): Promise<Result> {
        const counted = (): Promise<Result> => {
          begun = 0;
          const made = call();
          most = Math.max(most, begun);
          return made;
        };
        return super.run(counted, options);
      }
    }
    hook.enable();
    let found = 0;
    try {
      for await (const some of findBlobs(directory, new CountedCalls())) found += some.length;
    } finally {
      hook.disable();
    }
    expect([found, most]).toEqual([200, 1]);
  });

  it.each(["before", "after"])("are not waited for for ever: a disk that hangs %s any call", async (moment) => {
    await leave(10);
    let isHung = true;
    for (let number = 1; isHung; number += 1) {
      const clock = createManualClock();
      const calls = new HangingCalls(clock);
      const hung = calls.hangAt(number, moment === "before");
      const opened = openDisk(calls);
      opened.catch(() => {});
      isHung = await Promise.race([hung.then(() => true), opened.then(() => false)]);
      // As long as it may take for anything; much may be removed first.
      if (isHung) await clock.advance(121_000);
      const disk = await opened.catch((error: unknown) => error);
      calls.answer();
      while (calls.isSilent) await new Promise((resolve) => setImmediate(resolve));
      if (disk instanceof Disk) await disk.close();
      else expect(disk).toMatchObject({ message: "the disk does not answer" });
      await expect.poll(filesOpen, { message: `call ${number}` }).toEqual([]);
      await expect.poll(async () => (await readdir(directory)).filter((name) => name.startsWith("lock"))).toEqual([]);
      expect(isHung || number > 15).toBe(true);
    }
  });

  const filesOpen = async (): Promise<readonly string[]> => {
    const links = (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ""));
    return (await Promise.all(links)).filter((link) => link.startsWith(directory));
  };
});
