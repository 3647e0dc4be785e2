import { describe, expect, it } from "vitest";

import { readExtra } from "../test-support/read-extra.ts";
import { centralHeader, dataDescriptor, endRecords, entryHeader } from "./records.ts";

const entry = { path: "f", kind: "file", bytes: 0, mode: 0o644, mtimeMs: 0, uid: 0, gid: 0 } as const;
const header = entryHeader(entry, 8, "owner-first");
const GIB = 2 ** 30;

describe("zip64", () => {
  it("widens the descriptor when either size needs it", () => {
    expect(dataDescriptor({ crc: 1, compressedBytes: 1, bytes: 0xffff_fffe })).toHaveLength(16);
    expect(dataDescriptor({ crc: 1, compressedBytes: 1, bytes: 0xffff_ffff })).toHaveLength(24);
    expect(dataDescriptor({ crc: 1, compressedBytes: 5 * GIB, bytes: 5 * GIB }).readBigUInt64LE(8)).toBe(
      5n * BigInt(GIB),
    );
  });

  it.each([
    { what: "a long file", data: { crc: 1, compressedBytes: 7, bytes: 5 * GIB }, offset: 3, version: 45 },
    { what: "a place behind 4 GiB", data: { crc: 1, compressedBytes: 7, bytes: 8 }, offset: 5 * GIB, version: 20 },
  ])("puts all three values into the central header for $what", ({ data, offset, version }) => {
    const record = centralHeader(header, data, offset);
    expect(record.readUInt16LE(6)).toBe(version);
    expect([record.readUInt32LE(20), record.readUInt32LE(24)]).toEqual([0xffff_ffff, 0xffff_ffff]);
    const extra = record.subarray(46 + 1);
    expect(extra).toHaveLength(24 + 28);
    const sizes = {
      compressedBytes: record.readUInt32LE(20),
      bytes: record.readUInt32LE(24),
      offset: record.readUInt32LE(42),
    };
    expect(readExtra(extra, sizes, "f").sizes).toEqual({
      compressedBytes: data.compressedBytes,
      bytes: data.bytes,
      offset,
    });
  });

  it("leaves small entries without", () => {
    expect(centralHeader(header, { crc: 1, compressedBytes: 7, bytes: 8 }, 3)).toHaveLength(46 + 1 + 24);
  });

  it.each([
    { what: "65535 entries", end: [65_535, 1, 1] },
    { what: "a long directory", end: [1, 0xffff_ffff, 1] },
    { what: "a directory behind 4 GiB", end: [1, 1, 0xffff_ffff] },
  ])("ends with a zip64 record for $what", ({ end: [entries = 0, bytes = 0, offset = 0] }) => {
    const records = endRecords(entries, bytes, offset);
    expect(records).toHaveLength(56 + 20 + 22);
    expect(records.readBigUInt64LE(32)).toBe(BigInt(entries));
    expect(records.readBigUInt64LE(40)).toBe(BigInt(bytes));
    expect(records.readBigUInt64LE(48)).toBe(BigInt(offset));
    expect(records.readBigUInt64LE(56 + 8)).toBe(BigInt(offset + bytes));
  });

  it("ends without one as long as everything fits", () => {
    expect(endRecords(65_534, 1, 0xffff_fffe)).toHaveLength(22);
  });
});

describe("times", () => {
  it("are cut to whole seconds, and wrap before 1970 as in the reference", () => {
    const seconds = (mtimeMs: number): number => {
      const extra = entryHeader({ ...entry, mtimeMs }, 8, "time-first").extra;
      return extra.readUInt32LE(5);
    };
    expect(seconds(5750)).toBe(5);
    expect(seconds(-1)).toBe(0xffff_ffff);
  });
});
