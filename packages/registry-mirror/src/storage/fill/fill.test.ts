import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, readdir, readlink, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UpstreamError } from "../../errors.ts";
import { Metrics } from "../../metrics.ts";
import type { Digest } from "../../reference/grammar.ts";
import { createManualClock } from "../../testing/manual-clock.ts";
import type { ManualClock } from "../../testing/manual-clock.ts";
import type { Body } from "../body.ts";
import { Disk } from "../disk.ts";
import type { DiskOptions } from "../disk.ts";
import { DiskCalls } from "../disk-calls.ts";
import type { DiskCallOptions } from "../disk-calls.ts";
import { blobName } from "../layout.ts";
import { BlockPool } from "./block-pool.ts";
import { Fill } from "./fill.ts";
import type { FillOptions, PartialBlob } from "./fill.ts";
import { RecentBytes } from "./recent-bytes.ts";
import type { BlobSource } from "./source.ts";
import { Spool } from "./spool.ts";

describe("a fill", () => {
  let directory: string;
  let disk: Disk;
  let clock: ManualClock;
  let pool: BlockPool;
  let passedThrough: unknown[];
  let partials: PartialBlob[];
  const metrics = new Metrics();

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "fill-"));
    clock = createManualClock();
    disk = await open();
    pool = new BlockPool();
    passedThrough = [];
    partials = [];
  });

  afterEach(async () => {
    await disk.close();
    await rm(directory, { recursive: true });
  });

  function open(options: Partial<DiskOptions> = {}): Promise<Disk> {
    return Disk.open({
      directory,
      maxBytes: undefined,
      reserveBytes: 0,
      clock,
      metrics,
      parentsOf: () => [],
      pinned: () => new Set(),
      ...options,
    });
  }

  async function reopen(options: Partial<DiskOptions>): Promise<void> {
    await disk.close();
    disk = await open(options);
  }

  function begin(content: Buffer, source: Partial<BlobSource> = {}, options: Partial<FillOptions> = {}): Fill {
    return new Fill({
      digest: digestOf(content),
      origin: "hub library/app",
      source: { id: "hub", origin: "upstream", open: async () => opened(content), ...source },
      expectedBytes: undefined,
      disk,
      pool,
      clock,
      metrics,
      headMs: 25_000,
      idleMs: 6000,
      stallMs: 13_000,
      abandonedFillMs: 30_000,
      takePartial: async () => undefined,
      onPartial: (partial) => partials.push(partial),
      onPassThrough: (reason) => passedThrough.push(reason),
      onStored: () => {},
      onSettled: () => {},
      ...options,
    });
  }

  /** Lets something happen before each write to the disk's temporary files. */
  function beforeWrites(happen: (chunks: readonly Uint8Array[]) => Promise<void>): void {
    const create = disk.createTemporary.bind(disk);
    disk.createTemporary = async () => {
      const file = await create();
      const write = file.write.bind(file);
      file.write = async (chunks, position) => {
        await happen(chunks);
        await write(chunks, position);
      };
      return file;
    };
  }

  const full = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  const disks = [
    { disk: "that is fast", change: () => {}, isStored: true },
    {
      disk: "that is late",
      change: () => beforeWrites(() => turns(20)),
      isStored: true,
    },
    {
      disk: "that gets full on the way",
      change: () => {
        let writes = 0;
        beforeWrites(async () => {
          writes += 1;
          if (writes > 3) throw full;
        });
      },
      isStored: false,
    },
    {
      disk: "that is full from the beginning",
      change: () => {
        const reserve = disk.reserve.bind(disk);
        disk.reserve = (bytes) => Object.assign(reserve(bytes), { extendTo: async () => false });
      },
      isStored: false,
    },
  ];

  it.each(disks)(
    "gives each of many readers the right bytes with a disk $disk, whenever they look at them",
    async ({ change, isStored }) => {
      change();
      // Two at once, since the memory of one may become the other's.
      const contents = [randomBytes(11_000_003), randomBytes(9_000_001)];
      const filled = contents.map(async (content) => {
        const fill = begin(content);
        const spans = [
          undefined,
          undefined,
          undefined,
          { start: 5_000_000, end: content.byteLength },
          { start: content.byteLength - 1, end: content.byteLength },
          // The last byte of these comes when all is checked.
          { start: 0, end: 1 },
          { start: 262_143, end: 786_433 },
          { start: 5_000_000, end: 8_000_000 },
        ];
        const seats = spans.map((span) => ({
          span: span ?? { start: 0, end: content.byteLength },
          seat: fill.attach(),
        }));
        // One leaves with a piece in his hands.
        const leaver = fill.attach().read();
        const held = (await leaver.next()).value ?? Buffer.alloc(0);
        await leaver.return();
        await Promise.all(
          seats.map(async ({ seat, span }, index) => {
            const read = await readSlowly(seat.read(span), index * 3, content.subarray(span.start, span.end));
            expect(read).toBe(span.end - span.start);
          }),
        );
        expect(content.subarray(0, held.byteLength).equals(held)).toBe(true);
        await fill.ended;
        if (isStored) expect((await readFile(join(directory, blobName(fill.digest)))).equals(content)).toBe(true);
      });
      await Promise.all(filled);
      expect(passedThrough.length > 0).toBe(!isStored);
      expect(await readdir(join(directory, "tmp"))).toEqual([]);
    },
  );

  it("stores no more of a blob of unknown length than the directory may hold, and gives its readers all of it", async () => {
    await reopen({ maxBytes: 3_000_000 });
    const content = randomBytes(9_000_001);
    const fill = begin(content, { open: async () => ({ ...opened(content), totalBytes: undefined }) });
    expect(await readSlowly(fill.attach().read(), 3, content)).toBe(content.byteLength);
    await fill.ended;
    expect(passedThrough).toEqual([expect.objectContaining({ message: "there is no room for it" })]);
    expect([await readdir(join(directory, "tmp")), partials]).toEqual([[], []]);
  });

  it("passes on without storing what does not fit beside the fills that run", async () => {
    await reopen({ maxBytes: 5_000_000 });
    const contents = [randomBytes(3_000_001), randomBytes(3_000_002)];
    const gate = Promise.withResolvers<void>();
    const fills = contents.map((content) =>
      begin(content, { open: async () => gated(content, 2_000_000, gate.promise) }),
    );
    const reads = fills.map((fill, index) => readSlowly(fill.attach().read(), 0, contents[index] ?? Buffer.alloc(0)));
    while (fills.some(({ receivedBytes }) => receivedBytes < 2_000_000) || passedThrough.length === 0) await turns(1);
    gate.resolve();
    expect(await Promise.all(reads)).toEqual([3_000_001, 3_000_002]);
    await Promise.all(fills.map(({ ended }) => ended));
    expect(passedThrough).toEqual([expect.objectContaining({ message: "there is no room for it" })]);
    expect([disk.storedBytes > 3_000_000, disk.storedBytes < 3_000_003]).toEqual([true, true]);
    // What ran counts no more.
    const other = fills.find(({ digest }) => !disk.has(digest));
    const again = contents.find((content) => digestOf(content) === other?.digest) ?? Buffer.alloc(0);
    await begin(again).ended;
    expect(disk.has(digestOf(again))).toBe(true);
  });

  const silences = [
    { when: "a file is opened", isSilent: (call: number) => call >= 1 },
    { when: "it is written", isSilent: (call: number) => call >= 3 },
    { when: "it is brought to the disk", isSilent: (_call: number, isSync: boolean) => isSync },
  ];

  it.each(silences)(
    "gives its readers everything, and ends, when the disk falls silent as $when",
    async ({ isSilent }) => {
      const diskClock = createManualClock();
      const calls = new SilentCalls(diskClock, isSilent);
      await reopen({ calls });
      calls.isCounting = true;
      const content = randomBytes(20_000_003);
      const fill = begin(content, { open: async () => unhurried(content) });
      const early = readSlowly(fill.attach().read(), 1, content);
      expect(await early).toBe(content.byteLength);
      await passUntil(diskClock, fill.ended);
      expect(passedThrough).toEqual([expect.objectContaining({ name: "SilentDiskError" })]);
      expect([fill.canBeJoined, disk.has(fill.digest)]).toEqual([false, false]);
      // Nobody waits for the next one.
      const next = begin(content);
      expect(await readSlowly(next.attach().read(), 0, content)).toBe(content.byteLength);
      await passUntil(diskClock, next.ended);
      calls.answer();
      while (calls.isSilent) await turns(1);
      await begin(content).ended;
      expect((await readFile(join(directory, blobName(fill.digest)))).equals(content)).toBe(true);
    },
  );

  it("cuts off who needs what only a silent disk has, and lets him begin anew", async () => {
    const diskClock = createManualClock();
    const calls = new SilentCalls(diskClock, () => true);
    await reopen({ calls });
    const content = randomBytes(20_000_003);
    const written = { bytes: 0 };
    beforeWrites(async (chunks) => {
      for (const { byteLength } of chunks) written.bytes += byteLength;
    });
    const gate = Promise.withResolvers<void>();
    const fill = begin(content, { open: async () => gated(content, 19_000_000, gate.promise) });
    const quick = readSlowly(fill.attach().read(), 0, content);
    while (fill.receivedBytes < 19_000_000 || written.bytes < 14_000_000) await turns(1);
    calls.isCounting = true;
    const late = expect(readSlowly(fill.attach().read(), 0, content)).rejects.toThrow("does not answer");
    await turns(3);
    await diskClock.advance(10_000);
    await late;
    expect(fill.canBeJoined).toBe(false);
    gate.resolve();
    expect(await quick).toBe(content.byteLength);
    await fill.ended;
    calls.answer();
  });

  it("stores no blob that is not whole on the disk", async () => {
    const content = randomBytes(700_000);
    const recent = new RecentBytes(pool);
    const spool = new Spool({ disk, recent, onChange: () => {}, onStopped: (reason) => passedThrough.push(reason) });
    recent.append(content, content.byteLength);
    spool.open(content.byteLength);
    spool.flush = async () => {};
    while (spool.writtenBytes === 0) await turns(1);
    recent.append(randomBytes(1), undefined);
    await expect(spool.adopt(digestOf(content))).rejects.toThrow("not whole");
    expect(disk.has(digestOf(content))).toBe(false);
    await spool.discard();
    await spool.close();
  });

  it("does not take its own wait for a turn for the source's silence", async () => {
    const content = randomBytes(1000);
    const turn = Promise.withResolvers<void>();
    const fill = begin(content, {
      open: async (_offset, _signal, ownWait) => {
        await ownWait(turn.promise);
        return opened(content);
      },
    });
    const body = fill.attach().read();
    await clock.advance(60_000);
    turn.resolve();
    expect(await readSlowly(body, 0, content)).toBe(1000);
    await fill.ended;
  });

  it("tells of a source that does not answer when it was asked", async () => {
    const content = randomBytes(1000);
    const turn = Promise.withResolvers<void>();
    const fill = begin(content, {
      open: async (_offset, _signal, ownWait) => {
        await ownWait(turn.promise);
        return new Promise(() => {});
      },
    });
    const seat = fill.attach();
    const failed = expect(fill.started).rejects.toMatchObject({ code: "timeout", upstream: "hub" });
    await clock.advance(60_000);
    turn.resolve();
    await clock.advance(24_999);
    expect(fill.canBeJoined).toBe(true);
    await clock.advance(1);
    await failed;
    seat.release();
    await fill.ended;
  });

  it("keeps what it has in a file that is not open, and goes on with it", async () => {
    const content = randomBytes(3_000_000);
    const partial = await breakOff(content);
    expect(partial.bytes).toBe(2_000_000);
    expect(await openFiles()).not.toContain(partial.path);
    const offsets: number[] = [];
    const open: BlobSource["open"] = async (offset) => {
      offsets.push(offset);
      return opened(content, offset);
    };
    const fill = begin(content, { open }, { takePartial: async () => partial });
    expect(await readSlowly(fill.attach().read(), 0, content)).toBe(3_000_000);
    await fill.ended;
    expect(offsets).toEqual([2_000_000]);
    expect((await readFile(join(directory, blobName(fill.digest)))).equals(content)).toBe(true);
    expect(await openFiles()).toEqual([]);
  });

  it("begins anew when what was kept is not there any more as it was", async () => {
    const content = randomBytes(3_000_000);
    for (const damage of [(path: string) => truncate(path, 1_000_000), (path: string) => rm(path)]) {
      const partial = await breakOff(content);
      await damage(partial.path);
      const fill = begin(content, {}, { takePartial: async () => partial });
      expect(await readSlowly(fill.attach().read(), 0, content)).toBe(3_000_000);
      await fill.ended;
      expect(await readdir(join(directory, "tmp"))).toEqual([]);
    }
  });

  it("waits for a source that begins anew, as long as it sends", async () => {
    const content = randomBytes(3_000_000);
    const partial = await breakOff(content);
    const fill = begin(content, { open: async () => anew(content, 250_000) }, { takePartial: async () => partial });
    const read = readSlowly(fill.attach().read(), 0, content);
    // A piece every four seconds, eight of which bring nothing new.
    await clock.waitsFor(4000);
    await clock.advance(60_000);
    expect(await read).toBe(3_000_000);
    await fill.ended;
  });

  it("does not keep again what a source that answered could not go on with", async () => {
    const content = randomBytes(3_000_000);
    const partial = await breakOff(content);
    const error = new UpstreamError({ code: "denied", upstream: "hub", reason: "it refuses", status: 403 });
    const refused = begin(content, { open: () => Promise.reject(error) }, { takePartial: async () => partial });
    await refused.ended;
    // It has said nothing about the bytes.
    expect(partials).toEqual([expect.objectContaining({ path: partial.path, bytes: 2_000_000 })]);
    const short: BlobSource["open"] = async () => ({
      ...opened(content),
      read: async (take) => {
        await take(Buffer.from(content.subarray(0, 2_000_000)));
        throw error;
      },
    });
    await begin(content, { open: short }, { takePartial: async () => partials.pop() }).ended;
    expect([partials, await readdir(join(directory, "tmp"))]).toEqual([[], []]);
  });

  /** A source that begins at 0, and sends a piece every four seconds. */
  function anew(content: Buffer, pieceBytes: number): Awaited<ReturnType<BlobSource["open"]>> {
    return {
      ...opened(content),
      async read(take) {
        for (let position = 0; position < content.byteLength; position += pieceBytes) {
          await clock.sleep(4000);
          await take(Buffer.from(content.subarray(position, position + pieceBytes)));
        }
      },
    };
  }

  async function breakOff(content: Buffer): Promise<PartialBlob> {
    const error = new UpstreamError({ code: "denied", upstream: "hub", reason: "it refuses", status: 403 });
    const open: BlobSource["open"] = async () => ({
      ...opened(content),
      read: async (take) => {
        await take(Buffer.from(content.subarray(0, 2_000_000)));
        throw error;
      },
    });
    const fill = begin(content, { open });
    const body = fill.attach().read();
    await expect(readSlowly(body, 0, content)).rejects.toThrow(error);
    await fill.ended;
    const partial = partials.pop();
    if (partial === undefined) throw new Error("nothing was kept");
    return partial;
  }

  async function openFiles(): Promise<readonly string[]> {
    const links = await readdir("/proc/self/fd");
    const paths = await Promise.all(links.map((link) => readlink(`/proc/self/fd/${link}`).catch(() => "")));
    return paths.filter((path) => path.startsWith(directory) && !path.startsWith(join(directory, "lock")));
  }
});

/** Calls that a disk answers no more from some call on, until it is told to. */
class SilentCalls extends DiskCalls {
  isCounting = false;
  readonly #isSilent: (call: number, isSync: boolean) => boolean;
  readonly #answered = Promise.withResolvers<void>();
  #made = 0;

  constructor(clock: ManualClock, isSilent: (call: number, isSync: boolean) => boolean) {
    super(clock);
    this.#isSilent = isSilent;
  }

  answer(): void {
    this.isCounting = false;
    this.#answered.resolve();
  }

  override run<Result>(call: () => Promise<Result>, options: DiskCallOptions<Result> = {}): Promise<Result> {
    if (!this.isCounting) return super.run(call, options);
    this.#made += 1;
    if (!this.#isSilent(this.#made, options.isSync === true)) return super.run(call, options);
    const late = async (): Promise<Result> => {
      await this.#answered.promise;
      return call();
    };
    return super.run(late, options);
  }
}

/** Lets time pass until something is settled. */
async function passUntil(clock: ManualClock, settled: Promise<unknown>): Promise<void> {
  const state = { isSettled: false };
  void settled.then(() => {
    state.isSettled = true;
  });
  while (!state.isSettled) await clock.advance(1000);
}

/** A source that stops for a while. */
function gated(content: Buffer, atBytes: number, gate: Promise<void>): Awaited<ReturnType<BlobSource["open"]>> {
  return {
    ...opened(content),
    async read(take) {
      for (let position = 0; position < content.byteLength; position += 65_536) {
        if (position >= atBytes) await gate;
        await take(Buffer.from(content.subarray(position, position + 65_536)));
        await turns(1);
      }
    },
  };
}

/** A source that lets others have their turn. */
function unhurried(content: Buffer): Awaited<ReturnType<BlobSource["open"]>> {
  return gated(content, 0, Promise.resolve());
}

/** A source whose memory is used for something else as soon as it was taken. */
function opened(content: Buffer, offset = 0): Awaited<ReturnType<BlobSource["open"]>> {
  return {
    offset,
    totalBytes: content.byteLength,
    async read(take) {
      for (let position = offset; position < content.byteLength;) {
        const chunk = Buffer.from(content.subarray(position, position + 65_536));
        position += chunk.byteLength;
        const pause = take(chunk);
        chunk.fill(0x2a);
        await pause;
        if (position % 3 === 0) await turns(1);
      }
    },
    discard: () => {},
  };
}

/** Looks at each piece only some turns after it was given; returns how many bytes there were. */
async function readSlowly(body: Body, pause: number, expected: Buffer): Promise<number> {
  let position = 0;
  for await (const piece of body) {
    await turns(pause);
    if (!expected.subarray(position, position + piece.byteLength).equals(piece))
      throw new Error(`wrong bytes between ${position} and ${position + piece.byteLength}`);
    position += piece.byteLength;
  }
  return position;
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

function digestOf(content: Buffer): Digest {
  return `sha256:${createHash("sha256").update(content).digest("hex")}` as Digest;
}
