import { open, truncate, writeFile } from "node:fs/promises";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { forgeZip } from "../test-support/forged-zip.ts";
import { makeScratch } from "../test-support/scratch.ts";
import type { Scratch } from "../test-support/scratch.ts";
import { inTurns } from "../turn.ts";
import { isShortDirectory, readDirectory, zipEntryAt } from "./directory.ts";
import type { ZipEntry } from "./directory.ts";
import { endRecords } from "./records.ts";

const MAX_16 = 0xffff;
const valid = forgeZip([
  { name: "first", content: "1" },
  { name: "second", content: "2" },
]);
/** Of the first and the second entry's central header, and of the end record. */
const second = valid.lastIndexOf("PK\x01\x02");
const first = valid.indexOf("PK\x01\x02");
const end = valid.length - 22;

let scratch: Scratch;
let path: string;
beforeEach(async () => {
  scratch = await makeScratch();
  path = scratch.at("archive.zip");
});
afterEach(() => scratch[Symbol.asyncDispose]());

describe("the directory of a zip archive", () => {
  it("is read", async () => {
    await writeFile(path, valid);
    expect((await read()).map(({ name }) => name)).toEqual(["first", "second"]);
  });

  it.each<[entries: number, bytes: number, isShort: boolean]>([
    [40_000, 6 * 1024 * 1024, true],
    [40_000, 6 * 1024 * 1024 + 1, false],
    [40_001, 40_001 * 50, false],
  ])("of %i entries and %i bytes is read on the main thread: %s", async (entries, bytes, isShort) => {
    await writeFile(path, Buffer.concat([Buffer.alloc(bytes), endRecords(entries, bytes, 0)]));
    await using handle = await open(path);
    const { size } = await handle.stat();
    expect(isShortDirectory({ path, descriptor: handle.fd, size })).toBe(isShort);
  });

  it.each<[what: string, archive: () => Buffer, message: string]>([
    ["lists something else than an entry", () => changed((bytes) => bytes.write("XX", second)), "there is no entry at"],
    ["ends in the middle of a header", () => longer(Buffer.from("PK\x01\x02", "latin1")), "there is no entry at"],
    ["has a name that goes on behind it", () => changed((bytes) => bytes.writeUInt16LE(6000, second + 28)), "cut off"],
    ["has fields that go on behind it", () => changed((bytes) => bytes.writeUInt16LE(6000, second + 30)), "cut off"],
    [
      "has a comment that goes on behind it",
      () => changed((bytes) => bytes.writeUInt16LE(6000, second + 32)),
      "cut off",
    ],
    ["lists less than it announces", () => changed((bytes) => announce(bytes, 3)), "3 entries but lists 2"],
    ["lists more than it announces", () => changed((bytes) => announce(bytes, 1)), "more than the 1 entries"],
    ["lies on several disks", () => changed((bytes) => bytes.writeUInt16LE(1, end + 8)), "one of several parts"],
    ["goes on behind its end record", () => changed((bytes) => bytes.writeUInt32LE(9, end + 12)), "does not end where"],
    ["announces 65,535 entries and is not zip64", () => changed((bytes) => announce(bytes, MAX_16)), "but lists 2"],
    ["announces 65,535 entries and is nothing else", () => onlyEnd(MAX_16), "65535 entries but lists 0"],
    ["has its zip64 record behind the end", () => zip64((locator) => locator.writeBigUInt64LE(9999n, 8)), "is missing"],
    ["has its zip64 record elsewhere", () => zip64((locator) => locator.writeBigUInt64LE(0n, 8)), "is missing"],
    ["has its zip64 record nowhere", () => zip64((locator) => locator.fill(0xff, 8, 16)), "zip64 end record says"],
    ["announces more than can be counted", () => zip64((_, record) => record.fill(0xff, 32, 40)), "end record says"],
  ])("that %s is refused", async (_what, archive, message) => {
    await writeFile(path, archive());
    await expect(read()).rejects.toMatchObject({ code: "malformed", message: expect.stringContaining(message) });
  });

  it("that is longer than 1 GiB is refused before it is read", async () => {
    const bytes = 1024 ** 3 + 1;
    await writeFile(path, "");
    await truncate(path, bytes);
    await writeFile(path, endRecords(1, bytes, 0), { flag: "a" });
    await expect(read()).rejects.toMatchObject({ code: "too-large" });
  });
});

async function read(): Promise<ZipEntry[]> {
  const handle = await open(path);
  try {
    const { size } = await handle.stat();
    const { rows } = await inTurns(readDirectory({ path, descriptor: handle.fd, size }), undefined);
    return Array.from({ length: rows.count }, (_, index) => zipEntryAt(rows.table, index));
  } finally {
    await handle.close();
  }
}

function changed(change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(valid);
  change(bytes);
  return bytes;
}

function announce(bytes: Buffer, entries: number): void {
  bytes.writeUInt16LE(entries, end + 8);
  bytes.writeUInt16LE(entries, end + 10);
}

function onlyEnd(entries: number): Buffer {
  const bytes = Buffer.from(valid.subarray(end));
  bytes.writeUInt16LE(entries, 8);
  bytes.writeUInt16LE(entries, 10);
  return bytes.fill(0, 12, 20);
}

/** With something behind the last entry. */
function longer(rest: Buffer): Buffer {
  return Buffer.concat([valid.subarray(0, end), rest, endRecords(2, end - first + rest.length, first)]);
}

/** As an archive of very many entries ends. */
function zip64(change: (locator: Buffer, record: Buffer) => void): Buffer {
  const records = endRecords(MAX_16, end - first, first);
  change(records.subarray(56, 76), records.subarray(0, 56));
  return Buffer.concat([valid.subarray(0, end), records]);
}
