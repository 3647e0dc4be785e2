import { createHash } from "node:crypto";
import { open, readFile, readdir, rm, writeFile, mkdir } from "node:fs/promises";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createArchive } from "./create.ts";
import { CacheArchiveError } from "./errors.ts";
import { extractArchive } from "./extract.ts";
import { selectFiles } from "./select/select.ts";
import { makeScratch } from "./test-support/scratch.ts";
import type { Scratch } from "./test-support/scratch.ts";
import { encodeHeader } from "./tar/header.ts";
import { planTarRestore } from "./tar/plan-restore.ts";
import type { TarSchedule } from "./tar/plan-restore.ts";
import { tarPlanHandler } from "./tar/restore-tasks.ts";
import { inTurns } from "./turn.ts";
import { EXTRA_BLOCKS } from "./zip/constants.ts";

/*
 * Our own archives hold indexes, so that several threads can restore them. Whoever writes an archive writes its index, too: what
 * it says must not matter for what is restored, only for how.
 */
const MEGABYTE = 1024 * 1024;
/** Ends where the index ends: packed and unpacked length, and a mark. */
const FOOTER_BYTES = 16;

let scratch: Scratch;
let root: string;
let archivePath: string;
let files: ReadonlyMap<string, Buffer>;

beforeEach(async () => {
  scratch = await makeScratch();
  root = scratch.at("out");
  archivePath = scratch.at("cache");
  files = new Map([
    ["a-long", Buffer.alloc(5 * MEGABYTE + 12_345, "some text that can be packed ")],
    ["longer", Buffer.alloc(9 * MEGABYTE, "other text ")],
    ["short", Buffer.from("short")],
    ["shorter", Buffer.from("s")],
    // Cannot be packed.
    ["the last", createHash("shake256", { outputLength: 4000 }).update("noise").digest()],
  ]);
  await mkdir(scratch.at("tree"));
  for (const [name, content] of files) await writeFile(scratch.at("tree", name), content);
});

afterEach(async () => {
  await scratch[Symbol.asyncDispose]();
});

describe("a forged block index of a zip archive", () => {
  it.each<[what: string, forge: (index: Buffer) => void, isUsable: boolean]>([
    ["moves bytes from one block to the next", (index) => shift(index, 8, 12, 1000), false],
    ["gives the first block everything", (index) => shift(index, 8, 12, -index.readUInt32LE(12)), false],
    ["swaps nothing but the last two", (index) => shift(index, index.length - 8, index.length - 4, 1), false],
    ["adds up to another length", (index) => index.writeUInt32LE(index.readUInt32LE(8) + 1, 8), true],
    ["says that blocks are twice as long", (index) => index.writeUInt32LE(2 * MEGABYTE, 4), true],
    ["says that blocks are a byte longer", (index) => index.writeUInt32LE(MEGABYTE + 1, 4), true],
    ["says that blocks are short", (index) => index.writeUInt32LE(16, 4), true],
    ["says that blocks have no length", (index) => index.writeUInt32LE(0, 4), true],
    ["says that blocks are huge", (index) => index.writeUInt32LE(0xffff_ffff, 4), true],
    ["has blocks of all that there can be", (index) => index.fill(0xff, 8), true],
  ])("that %s gives the right content, or an error that names the entry", async (_what, forge, isUsable) => {
    const archive = await save("zip");
    forge(blockIndexOf(archive));
    await writeFile(archivePath, archive);
    for (const maxInlineMs of [0, 10_000]) {
      const outcome = await restore(maxInlineMs);
      if (isUsable) expect(outcome).toBe("as it was");
      else expect(outcome).toMatchObject({ entryName: "a-long" });
    }
  });

  it("of which any byte may be changed does nothing else", { timeout: 60_000 }, async () => {
    const archive = await save("zip");
    const start = archive.indexOf(blockIndexOf(archive));
    const length = blockIndexOf(archive).length;
    // Not the name and length of the field itself, which make it another one.
    for (let at = 4; at < length; at += 1) {
      const forged = Buffer.from(archive);
      forged[start + at] = (forged[start + at] ?? 0) ^ (1 << (at % 8));
      await writeFile(archivePath, forged);
      const outcome = await restore(10_000);
      if (outcome !== "as it was") expect(outcome).toMatchObject({ entryName: "a-long" });
    }
  });
});

describe("a forged frame index of a tar archive", () => {
  it.each<[what: string, forge: (index: Buffer) => Buffer]>([
    ["describes a frame less", (index) => withNumber(index, 0, (frames) => frames - 1)],
    ["describes a frame more", (index) => withNumber(index, 0, (frames) => frames + 1)],
    ["describes as many frames as there can be", (index) => withNumber(index, 0, () => 0xffff_ffff)],
    ["describes an entry less", (index) => withNumber(index, 4, (entries) => entries - 1)],
    ["describes as many entries as there can be", (index) => withNumber(index, 4, () => 0xffff_ffff)],
    ["says that a frame is longer when packed", (index) => withNumber(index, 8, (bytes) => bytes + 1)],
    ["says that a frame is shorter when unpacked", (index) => withNumber(index, 12, (bytes) => bytes - 512)],
    ["says that a frame is longer when unpacked", (index) => withNumber(index, 12, (bytes) => bytes + 512)],
    ["says that a frame has all that there can be", (index) => withNumber(index, 12, () => 0xffff_ffff)],
    ["is cut off", (index) => index.subarray(0, -1)],
    ["goes on behind its end", (index) => Buffer.concat([index, Buffer.of(0)])],
    ["is empty", () => Buffer.alloc(0)],
  ])("that %s is an error, and nothing is restored", async (_what, forge) => {
    const archive = await save("tarzstd");
    await writeFile(archivePath, withIndex(archive, forge(frameIndexOf(archive))));
    for (const maxInlineMs of [0, 10_000]) expect(await restore(maxInlineMs)).toMatchObject({ code: "malformed" });
  });

  // Frames 0 and 1 are those of "a-long", 2 to 4 those of "longer"; 5 is shared by the short ones, and 6 is the end.
  it.each<[what: string, forge: (index: Buffer) => void]>([
    ["makes the second frame of a long file longer", (index) => shift(index, unpackedAt(6), unpackedAt(3), 512)],
    ["makes the last frame of a long file longer", (index) => shift(index, unpackedAt(6), unpackedAt(4), 512)],
    ["makes the last frame of a long file shorter", (index) => shift(index, unpackedAt(4), unpackedAt(6), 512)],
    ["moves the header of a long file", (index) => shift(index, unpackedAt(3), unpackedAt(2), 512)],
    ["makes the end longer at the cost of others", (index) => shift(index, unpackedAt(5), unpackedAt(6), 512)],
    ["makes the end longer than it is", (index) => index.writeUInt32LE(1536, unpackedAt(6))],
    ["puts two entries into one place", (index) => index.writeUInt32LE(0, entryAt(index, "shorter") + 35)],
    ["puts an entry into the frame of another", (index) => index.writeUInt32LE(4, entryAt(index, "shorter") + 31)],
    ["puts a long file into the frames of another", (index) => index.writeUInt32LE(0, entryAt(index, "longer") + 31)],
    ["leaves a gap", (index) => index.writeUInt32LE(1536, entryAt(index, "shorter") + 35)],
    ["says that a folder has content", (index) => index.writeUInt8(1, entryAt(index, "short"))],
    ["says that a link has content", (index) => index.writeUInt8(2, entryAt(index, "short"))],
    ["makes a header longer", (index) => index.writeUInt32LE(1024, entryAt(index, "short") + 39)],
    ["says that a file is longer", (index) => index.writeDoubleLE(1000, entryAt(index, "short") + 11)],
    [
      "says that a file has all that there can be",
      (index) => index.writeDoubleLE(2 ** 52, entryAt(index, "short") + 11),
    ],
    ["says that a frame takes more than it can when packed", (index) => shift(index, packedAt(5), packedAt(6), 2500)],
  ])("that %s is refused before anything is unpacked", async (_what, forge) => {
    const archive = await save("tarzstd");
    const index = frameIndexOf(archive);
    forge(index);
    await writeFile(archivePath, withIndex(archive, index));
    await expect(plan()).rejects.toMatchObject({ code: "malformed" });
    for (const maxInlineMs of [0, 10_000]) expect(await restore(maxInlineMs)).toMatchObject({ code: "malformed" });
  });

  it.each([
    ["the last ones", "shorter", 1024 + 4096],
    // As long as the end should be.
    ["all of the last frame", "short", 1024],
  ])("that leaves out entries, %s, is refused before anything is unpacked", async (_what, name, lastFrameBytes) => {
    const archive = await save("tarzstd");
    const index = frameIndexOf(archive);
    const names = [...files.keys()].sort();
    index.writeUInt32LE(names.indexOf(name), 4);
    const start = entryAt(index, name) - name.length - 2;
    index.writeUInt32LE(lastFrameBytes, unpackedAt(5));
    shift(index, packedAt(5), packedAt(0), 3000);
    await writeFile(archivePath, withIndex(archive, index.subarray(0, start)));
    await expect(plan()).rejects.toMatchObject({ code: "malformed" });
  });

  it.each<[what: string, kind: number, headerBytes: number]>([
    ["a folder without a header", 1, 0],
    ["an empty file with a longer header than there is", 0, 2048],
  ])("that adds an entry, %s, is refused before anything is unpacked", async (_what, kind, headerBytes) => {
    const archive = await save("tarzstd");
    const index = withNumber(frameIndexOf(archive), 4, (entries) => entries + 1);
    const name = "the next";
    const added = Buffer.alloc(2 + name.length + 43);
    added.writeUInt16LE(name.length);
    added.write(name, 2);
    const at = 2 + name.length;
    added.writeUInt8(kind, at);
    // The frame that holds nothing but the end.
    added.writeUInt32LE(6, at + 31);
    added.writeUInt32LE(headerBytes, at + 39);
    await writeFile(archivePath, withIndex(archive, Buffer.concat([index, added])));
    await expect(plan()).rejects.toMatchObject({ code: "malformed", entryName: name });
    for (const maxInlineMs of [0, 10_000]) expect(await restore(maxInlineMs)).toMatchObject({ code: "malformed" });
  });

  it.each<[what: string, forge: (archive: Buffer) => Buffer, message: string]>([
    ["is longer than the archive", (archive) => archive.subarray(-FOOTER_BYTES - 8), "cannot be that long"],
    ["begins as something else", (archive) => inFrame(archive, (frame) => frame.write("x")), "in a frame of its own"],
    ["is in a longer frame", (archive) => inFrame(archive, (frame) => frame.writeUInt8(1, 7)), "in a frame of its own"],
    ["cannot be unpacked", (archive) => inFrame(archive, (frame) => frame.fill(0xff, 8, 40)), "cannot be unpacked"],
    ["has less than it says", (archive) => inFrame(archive, (frame) => lengthen(frame, 1)), "another length"],
    ["has more than it says", (archive) => inFrame(archive, (frame) => lengthen(frame, -1)), "another length"],
    ["has no room for its frames", (archive) => withIndex(archive, Buffer.of(9, 0, 0, 0, 0, 0, 0, 0)), "too short"],
    [
      "does not begin where the frames end",
      (archive) => forged(archive, (_, index) => index.writeUInt8(1, 8)),
      "end where",
    ],
    [
      "has a kind that nobody knows",
      (archive) => forged(archive, (at, index) => index.writeUInt8(3, at)),
      "impossible",
    ],
    [
      "has a file that others take for a folder",
      (archive) => forged(archive, (at, index) => index.write("/", at - 1)),
      "impossible",
    ],
    ["has half a byte", (archive) => forged(archive, (at, index) => index.writeDoubleLE(0.5, at + 11)), "impossible"],
    [
      "has less than nothing",
      (archive) => forged(archive, (at, index) => index.writeDoubleLE(-1, at + 11)),
      "impossible",
    ],
    [
      "has a time that is none",
      (archive) => forged(archive, (at, index) => index.writeDoubleLE(NaN, at + 3)),
      "impossible",
    ],
  ])("that %s is refused when it is read", async (_what, forge, message) => {
    await writeFile(archivePath, forge(await save("tarzstd")));
    await expect(plan()).rejects.toMatchObject({ code: "malformed", message: expect.stringContaining(message) });
  });

  it("that puts a long file behind others into one frame is refused before anything is unpacked", async () => {
    const archive = await save("tarzstd");
    const index = frameIndexOf(archive);
    // As if "a-long" were short, and "longer" went on in the same frame.
    const long = entryAt(index, "a-long");
    const longer = entryAt(index, "longer");
    index.writeDoubleLE(512, long + 11);
    index.writeUInt32LE(0, longer + 31);
    index.writeUInt32LE(1024, longer + 35);
    index.writeUInt32LE(4 * MEGABYTE, unpackedAt(1));
    index.writeUInt32LE(MEGABYTE, unpackedAt(2));
    index.writeDoubleLE(9 * MEGABYTE, longer + 11);
    await writeFile(archivePath, withIndex(archive, index));
    await expect(plan()).rejects.toMatchObject({ code: "malformed", entryName: "longer" });
  });

  it("of which any byte may be changed gives the right content, or an error", { timeout: 120_000 }, async () => {
    const archive = await save("tarzstd");
    const index = frameIndexOf(archive);
    const step = Math.max(1, Math.floor(index.length / 150));
    for (let at = 0; at < index.length; at += step) {
      const forged = Buffer.from(index);
      forged[at] = (forged[at] ?? 0) ^ (1 << (at % 8));
      await writeFile(archivePath, withIndex(archive, forged));
      await restore(10_000);
    }
  });

  it("that calls two headers the end of the archive is refused, as by whoever reads the frames without it", async () => {
    const archive = await save("tarzstd");
    const index = frameIndexOf(archive);
    const header = { type: "directory" as const, mode: 0o755, uid: 0, gid: 0, bytes: 0, mtime: 0 };
    const headers = ["x/", "y/"].map((name) =>
      encodeHeader({ ...header, name: Buffer.from(name), linkTarget: Buffer.alloc(0) }),
    );
    const frame = zstdCompressSync(Buffer.concat(headers));
    const footer = archive.length - FOOTER_BYTES;
    const end = footer - archive.readUInt32LE(footer) - 8;
    const start = end - index.readUInt32LE(packedAt(6));
    index.writeUInt32LE(frame.length, packedAt(6));
    const forgedArchive = Buffer.concat([archive.subarray(0, start), frame, archive.subarray(end)]);
    await writeFile(archivePath, withIndex(forgedArchive, index));
    await expect(plan()).rejects.toMatchObject({ code: "malformed" });
    const streamed = extractArchive({ archivePath, root, engine: "streaming" });
    await expect(streamed).rejects.toMatchObject({ code: "truncated" });
  });

  it("that describes more frames than fit into the archive is refused before anything is made of them", async () => {
    const archive = await save("tarzstd");
    const index = Buffer.alloc(8 + 8 * archive.length);
    index.writeUInt32LE(archive.length);
    await writeFile(archivePath, withIndex(archive, index));
    expect(await restore(10_000)).toMatchObject({ code: "malformed", message: expect.stringContaining("more frames") });
  });

  it("that unpacks to more than 64 MiB is not read, and the archive is restored without it", async () => {
    const archive = await save("tarzstd");
    await writeFile(archivePath, withIndex(archive, Buffer.alloc(64 * MEGABYTE + 1)));
    for (const maxInlineMs of [0, 10_000]) expect(await restore(maxInlineMs)).toBe("as it was");
  });

  it.each<[bytes: number, isShort: boolean]>([
    [8 * MEGABYTE, true],
    [8 * MEGABYTE + 1, false],
    [64 * MEGABYTE, false],
  ])("that unpacks to %i bytes is read on the main thread: %s", async (bytes, isShort) => {
    const archive = await save("tarzstd");
    await writeFile(archivePath, withIndex(archive, Buffer.alloc(bytes)));
    const handle = await open(archivePath);
    try {
      const { size } = await handle.stat();
      expect(tarPlanHandler.isShort({ path: archivePath, descriptor: handle.fd, size })).toBe(isShort);
    } finally {
      await handle.close();
    }
    expect(await restore(10_000)).toMatchObject({ code: "malformed" });
  });

  it("that describes no entry is read", async () => {
    const empty = scratch.at("empty.zip");
    await mkdir(root);
    await createArchive({ root, entries: [], archivePath: empty, format: "tarzstd", concurrency: 2 });
    const summary = await extractArchive({ archivePath: empty, root: scratch.at("nothing") });
    expect(summary.entries).toBe(0);
  });

  it("that says another CRC restores what the archive holds", async () => {
    const archive = await save("tarzstd");
    const index = frameIndexOf(archive);
    const name = index.indexOf("shorter");
    index.writeUInt32LE(0x1234_5678, name + "shorter".length + 1 + 2 + 8 + 8 + 4 + 4);
    await writeFile(archivePath, withIndex(archive, index));
    expect(await restore(0)).toBe("as it was");
  });
});

describe("a file that has grown since it was listed", () => {
  it.each([
    [5 * MEGABYTE + 1, "by several threads, as one of those that share a frame"],
    [9 * MEGABYTE, "from the first frame to the last"],
  ])("to %i bytes is restored as it was saved, %s", async (bytes) => {
    const grown = Buffer.alloc(bytes, "what was logged meanwhile ");
    files = new Map([["a", grown], ...files]);
    await writeFile(scratch.at("tree/a"), "listed");
    const { entries } = await selectFiles({ root: scratch.at("tree"), paths: ["*"] });
    await writeFile(scratch.at("tree/a"), grown);
    await createArchive({ root: scratch.at("tree"), entries, archivePath, format: "tarzstd", concurrency: 2 });
    for (const maxInlineMs of [0, 10_000]) expect(await restore(maxInlineMs)).toBe("as it was");
  });
});

/** What becomes of the archive, without unpacking anything of it. */
async function plan(): Promise<TarSchedule | undefined> {
  const handle = await open(archivePath);
  try {
    const { size } = await handle.stat();
    const limits = { maxBytes: Infinity, maxRatio: Infinity };
    return await inTurns(planTarRestore({ path: archivePath, descriptor: handle.fd, size }, limits), undefined);
  } finally {
    await handle.close();
  }
}

async function save(format: "zip" | "tarzstd"): Promise<Buffer> {
  const { entries } = await selectFiles({ root: scratch.at("tree"), paths: ["*"] });
  await createArchive({ root: scratch.at("tree"), entries, archivePath, format, concurrency: 2 });
  return await readFile(archivePath);
}

/** Restores into a new root. What is there then is right in any case, and complete or nothing. */
async function restore(maxInlineMs: number): Promise<CacheArchiveError | "as it was"> {
  await rm(root, { recursive: true, force: true });
  await mkdir(root);
  try {
    await extractArchive({ archivePath, root, maxInlineMs, maxBytes: 100 * MEGABYTE });
  } catch (error) {
    if (!CacheArchiveError.isInstance(error)) throw error;
    expect(await readdir(root)).toEqual([]);
    expect((await readdir(scratch.path)).sort()).toEqual(["cache", "out", "tree"]);
    return error;
  }
  expect((await readdir(root)).sort()).toEqual([...files.keys()]);
  for (const [name, content] of files) expect((await readFile(scratch.at("out", name))).equals(content)).toBe(true);
  return "as it was";
}

/** The field of `a-long` with its own head, in the archive's memory. */
function blockIndexOf(archive: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(EXTRA_BLOCKS);
  // Length of a block, and of each of six.
  head.writeUInt16LE(28, 2);
  const at = archive.indexOf(head, archive.lastIndexOf("a-long"));
  expect(at).toBeGreaterThan(0);
  return archive.subarray(at, at + 32);
}

function shift(index: Buffer, from: number, to: number, bytes: number): void {
  index.writeUInt32LE(index.readUInt32LE(from) - bytes, from);
  index.writeUInt32LE(index.readUInt32LE(to) + bytes, to);
}

/** Where the index tells the packed length of a frame. */
function packedAt(frame: number): number {
  return 8 + 8 * frame;
}

function unpackedAt(frame: number): number {
  return packedAt(frame) + 4;
}

/** Where the index tells of an entry, behind its name. */
function entryAt(index: Buffer, name: string): number {
  const length = Buffer.alloc(2);
  length.writeUInt16LE(name.length);
  const at = index.indexOf(Buffer.concat([length, Buffer.from(name)]));
  expect(at).toBeGreaterThan(0);
  return at + 2 + name.length;
}

function frameIndexOf(archive: Buffer): Buffer {
  const footer = archive.length - FOOTER_BYTES;
  return zstdDecompressSync(archive.subarray(footer - archive.readUInt32LE(footer), footer));
}

/** The archive with other bytes in the frame of its index, from its magic number on. */
function inFrame(archive: Buffer, change: (frame: Buffer) => void): Buffer {
  const changed = Buffer.from(archive);
  const footer = archive.length - FOOTER_BYTES;
  change(changed.subarray(footer - archive.readUInt32LE(footer) - 8));
  return changed;
}

/** Says another length of the index when unpacked. */
function lengthen(frame: Buffer, bytes: number): void {
  const at = frame.length - FOOTER_BYTES + 4;
  frame.writeUInt32LE(frame.readUInt32LE(at) + bytes, at);
}

/** The archive with an index that says something else of the entry `short`. */
function forged(archive: Buffer, change: (at: number, index: Buffer) => void): Buffer {
  const index = frameIndexOf(archive);
  change(entryAt(index, "short"), index);
  return withIndex(archive, index);
}

/** The archive with another index that is framed as it should be. */
function withIndex(archive: Buffer, index: Buffer): Buffer {
  const footer = archive.length - FOOTER_BYTES;
  const start = footer - archive.readUInt32LE(footer) - 8;
  const packed = zstdCompressSync(index);
  const numbers = Buffer.alloc(16);
  numbers.writeUInt32LE(archive.readUInt32LE(start));
  numbers.writeUInt32LE(packed.length + FOOTER_BYTES, 4);
  numbers.writeUInt32LE(packed.length, 8);
  numbers.writeUInt32LE(index.length, 12);
  const parts = [archive.subarray(0, start), numbers.subarray(0, 8), packed, numbers.subarray(8)];
  return Buffer.concat([...parts, archive.subarray(footer + 8)]);
}

function withNumber(index: Buffer, at: number, change: (value: number) => number): Buffer {
  const changed = Buffer.from(index);
  changed.writeUInt32LE(change(changed.readUInt32LE(at)) >>> 0, at);
  return changed;
}
