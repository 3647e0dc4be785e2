import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { noopLogger } from "../../logger.ts";
import { Metrics } from "../../metrics.ts";
import type { Digest } from "../../reference/grammar.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import type { ManualClock } from "../../testing/manual-clock.ts";
import { Disk } from "../disk.ts";
import type { Fill } from "./fill.ts";
import { Fills } from "./fills.ts";
import type { BlobSource } from "./source.ts";

const limits = { headMs: 25_000, idleMs: 6000, stallMs: 13_000, abandonedFillMs: 30_000 };

describe("fills", () => {
  let directory: string;
  let clock: ManualClock;
  let disk: Disk;
  let fills: Fills;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "fills-"));
    clock = createManualClock();
    const metrics = new Metrics();
    disk = await Disk.open({
      directory,
      maxBytes: undefined,
      reserveBytes: 0,
      clock,
      metrics,
      parentsOf: () => [],
      pinned: () => new Set(),
    });
    fills = new Fills({ ...limits, disk, clock, metrics, logger: noopLogger, onStored: () => {} });
  });

  afterEach(async () => {
    await fills.close(new Error("the test is over"));
    await disk.close();
    await rm(directory, { recursive: true });
  });

  it("go on where one broke off that is still putting down what it got", async () => {
    const content = randomBytes(3_000_000);
    const isPutDown = Promise.withResolvers<void>();
    const create = disk.createTemporary.bind(disk);
    disk.createTemporary = async () => {
      const file = await create();
      const close = file.close.bind(file);
      file.close = async () => {
        await isPutDown.promise;
        await close();
      };
      return file;
    };
    const offsets: number[] = [];
    const source: BlobSource = {
      id: "hub",
      origin: "upstream",
      open: async (offset) => {
        offsets.push(offset);
        // The first of them is silent after two thirds.
        const end = offsets.length === 1 ? 2_000_000 : content.byteLength;
        return {
          offset,
          totalBytes: content.byteLength,
          read: async (take) => {
            await take(Buffer.from(content.subarray(offset, end)));
            if (end < content.byteLength) await silence.promise;
          },
          discard: () => {},
        };
      },
    };
    const silence = Promise.withResolvers<void>();
    const digest: Digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    const request = { digest, origin: "hub library/app", source, expectedBytes: undefined, onSettled: () => {} };
    const first = fills.join(request).fill;
    const seat = first.attach();
    await first.started;
    while (first.receivedBytes < 2_000_000) await turn();
    first.abort(new Error("nobody wants the blob any more"));
    silence.resolve();
    seat.release();
    const again = fills.join(request);
    expect(again.joined).toBe(false);
    isPutDown.resolve();
    await again.fill.ended;
    expect([offsets, again.fill.isVerified]).toEqual([[0, 2_000_000], true]);
  });

  describe("of one blob", () => {
    const content = Buffer.from("layer");
    const digest: Digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;

    /** Asks for it under a name whose upstream answers when it is let. */
    function ask(
      origin: string,
      isImpatient: boolean,
    ): { readonly fill: Fill; joined: boolean; answer(): Promise<void> } {
      const answered = Promise.withResolvers<void>();
      const source: BlobSource = {
        id: origin,
        origin: "upstream",
        async open(_offset, signal) {
          await answered.promise;
          // Nothing more comes than the head.
          const read = (): Promise<void> =>
            new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
          return { offset: 0, totalBytes: content.byteLength, read, discard: () => {} };
        },
      };
      const onSettled = (): void => {};
      const { fill, joined } = fills.join({ digest, origin, source, expectedBytes: undefined, onSettled, isImpatient });
      const answer = async (): Promise<void> => {
        answered.resolve();
        await fill.started;
      };
      return { fill, joined, answer };
    }

    it("are joined by whoever asks under the same name, also when another name has begun one since", () => {
      const first = ask("hub library/app", false);
      expect(ask("hub library/other", false).fill).toBe(first.fill);
      const other = ask("hub library/other", true);
      expect([first.joined, other.joined]).toEqual([false, false]);
      expect(fills.running).toEqual([first.fill, other.fill]);
      for (const [origin, { fill }] of [
        ["hub library/app", first],
        ["hub library/other", other],
      ] as const) {
        expect(fills.find(digest, ["hub library/new", origin])).toBe(fill);
        for (const isImpatient of [false, true]) expect(ask(origin, isImpatient)).toMatchObject({ fill, joined: true });
      }
    });

    it("are found as soon as their source answers, whichever was begun last", async () => {
      const first = ask("hub library/app", false);
      const other = ask("hub library/other", true);
      expect(fills.find(digest)).toBe(other.fill);
      await first.answer();
      expect(fills.find(digest, ["hub library/new"])).toBe(first.fill);
      expect(ask("hub library/new", true)).toMatchObject({ fill: first.fill, joined: true });
      first.fill.abort(new Error("broken off"));
      await first.fill.ended;
      expect(fills.find(digest)).toBe(other.fill);
      other.fill.abort(new Error("broken off"));
      await other.fill.ended;
      expect(fills.find(digest)).toBe(undefined);
    });
  });
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
