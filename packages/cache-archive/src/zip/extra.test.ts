import { describe, expect, it } from "vitest";

import { readExtra } from "../test-support/read-extra.ts";
import { blockBytesFor, decodeBlockIndex, encodeBlockIndex } from "./block-index.ts";

const MAX_32 = 0xffff_ffff;
const MEBIBYTE = 1024 * 1024;
const sizes = { bytes: 1, compressedBytes: 2, offset: 3 };

function field(id: number, ...bytes: readonly number[]): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(id, 0);
  head.writeUInt16LE(bytes.length, 2);
  return Buffer.concat([head, Buffer.from(bytes)]);
}

function zip64(...values: readonly bigint[]): Buffer {
  const content = Buffer.alloc(values.length * 8);
  for (const [nth, value] of values.entries()) content.writeBigUInt64LE(value, nth * 8);
  return field(1, ...content);
}

describe("extra fields", () => {
  it("passes over fields of others, and over less than a head at the end", () => {
    const extra = Buffer.concat([field(0x9999, 1, 2, 3), field(0x5455, 1, 10, 0, 0, 0), Buffer.from([1, 0, 8])]);
    expect(readExtra(extra, sizes, "e")).toEqual({ mtimeMs: 10_000, owner: undefined, sizes, blocks: undefined });
  });

  it("reads a field that ends with the header, and refuses one that is a byte longer", () => {
    const extra = field(0x9999, 1, 2);
    expect(readExtra(extra, sizes, "e").sizes).toEqual(sizes);
    expect(() => readExtra(extra.subarray(0, -1), sizes, "e")).toThrow("beyond its header");
    // Nothing but a head.
    expect(() => readExtra(field(0x9999, 1).subarray(0, 4), sizes, "e")).toThrow("beyond its header");
  });

  it.each([
    ["too short", [1, 10, 0, 0]],
    ["without the bit that says so", [2, 10, 0, 0, 0]],
    ["without any bit", [0, 10, 0, 0, 0]],
    ["empty", []],
  ])("takes no time from a field that is %s", (_what, bytes) => {
    expect(readExtra(field(0x5455, ...bytes), sizes, "e").mtimeMs).toBeUndefined();
  });

  it("takes the first of several times", () => {
    expect(readExtra(field(0x5455, 3, 10, 0, 0, 0, 9, 0, 0, 0), sizes, "e").mtimeMs).toBe(10_000);
  });

  it("takes from a zip64 field what did not fit, in order", () => {
    const read = (extra: Buffer, given: typeof sizes): unknown => readExtra(extra, given, "e").sizes;
    expect(read(zip64(7n, 8n, 9n), { bytes: MAX_32, compressedBytes: MAX_32, offset: MAX_32 })).toEqual({
      bytes: 7,
      compressedBytes: 8,
      offset: 9,
    });
    expect(read(zip64(7n), { ...sizes, offset: MAX_32 })).toEqual({ ...sizes, offset: 7 });
    expect(read(zip64(7n), { ...sizes, compressedBytes: MAX_32 })).toEqual({ ...sizes, compressedBytes: 7 });
    expect(read(zip64(7n), sizes)).toEqual(sizes);
    const most = BigInt(Number.MAX_SAFE_INTEGER);
    expect(read(zip64(most), { ...sizes, bytes: MAX_32 })).toEqual({ ...sizes, bytes: Number(most) });
    expect(() => read(zip64(most + 1n), { ...sizes, bytes: MAX_32 })).toThrow("zip64");
    expect(() => read(zip64(7n).subarray(0, -1), { ...sizes, bytes: MAX_32 })).toThrow("beyond");
    expect(() => read(field(1, 1, 2, 3, 4, 5, 6, 7), { ...sizes, bytes: MAX_32 })).toThrow("too short");
    expect(() => read(zip64(7n), { ...sizes, bytes: MAX_32, offset: MAX_32 })).toThrow("too short");
  });

  it.each([
    { bytes: [1, 4, 1, 2, 0, 0, 4, 3, 0, 0, 0], owner: { uid: 513, gid: 3 } },
    { bytes: [1, 1, 5, 1, 6], owner: { uid: 5, gid: 6 } },
    { bytes: [1, 8, 1, 0, 0, 0, 0, 0, 9, 9, 8, 2, 0, 0, 0, 0, 0, 0, 0], owner: { uid: 1, gid: 2 } },
  ])("reads the owner of $bytes", ({ bytes, owner }) => {
    expect(readExtra(field(0x7875, ...bytes), sizes, "e").owner).toEqual(owner);
  });

  it.each([
    ["another version", [2, 1, 5, 1, 6]],
    ["no bytes for the user", [1, 0, 1, 6]],
    ["no bytes for the group", [1, 1, 5, 0]],
    ["nine bytes for the user", [1, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 6]],
    ["nine bytes for the group", [1, 1, 5, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0]],
    ["a byte too little", [1, 1, 5, 2, 6]],
    ["nothing", []],
  ])("refuses an owner with %s", (_what, bytes) => {
    expect(() => readExtra(field(0x7875, ...bytes), sizes, "e")).toThrow("owner field");
  });
});

describe("the index of blocks", () => {
  const content = (index: { blockBytes: number; packedBytes: readonly number[] }): Buffer =>
    encodeBlockIndex(index).subarray(4);

  it("is read as it was written, with its field's head", () => {
    const index = { blockBytes: MEBIBYTE, packedBytes: [10, 20, 30] };
    const encoded = encodeBlockIndex(index);
    expect(encoded.readUInt16LE(2)).toBe(encoded.length - 4);
    expect(decodeBlockIndex(encoded.subarray(4), 2 * MEBIBYTE + 1, 60)).toEqual(index);
    expect(decodeBlockIndex(encoded.subarray(4), 3 * MEBIBYTE, 60)).toEqual(index);
  });

  it.each([
    ["for another number of blocks", content({ blockBytes: MEBIBYTE, packedBytes: [10, 20] }), 2 * MEBIBYTE + 1, 30],
    ["for one block too many", content({ blockBytes: MEBIBYTE, packedBytes: [10, 20] }), MEBIBYTE, 30],
    ["for another length of the data", content({ blockBytes: MEBIBYTE, packedBytes: [10, 20] }), 2 * MEBIBYTE, 31],
    ["with blocks that are too short", content({ blockBytes: MEBIBYTE - 1, packedBytes: [10] }), 1000, 10],
    ["with blocks that are too long", content({ blockBytes: 16 * MEBIBYTE + 1, packedBytes: [10] }), 1000, 10],
    ["without blocks", content({ blockBytes: MEBIBYTE, packedBytes: [] }), 0, 0],
    ["that ends within a number", content({ blockBytes: MEBIBYTE, packedBytes: [10] }).subarray(0, 7), 1000, 10],
    [
      "with a byte too many",
      Buffer.concat([content({ blockBytes: MEBIBYTE, packedBytes: [10] }), Buffer.of(0)]),
      1000,
      10,
    ],
    [
      "with a block that is longer than any that was written",
      content({ blockBytes: MEBIBYTE, packedBytes: [MEBIBYTE + 1024 + 4096 + 1] }),
      1000,
      MEBIBYTE + 1024 + 4096 + 1,
    ],
  ])("is not used %s", (_what, data, bytes, compressedBytes) => {
    expect(decodeBlockIndex(data, bytes, compressedBytes)).toBeUndefined();
  });

  it("is used at each of its limits", () => {
    const longest = MEBIBYTE + 1024 + 4096;
    expect(decodeBlockIndex(content({ blockBytes: MEBIBYTE, packedBytes: [longest] }), 1000, longest)).toBeDefined();
    expect(decodeBlockIndex(content({ blockBytes: 16 * MEBIBYTE, packedBytes: [10] }), 1000, 10)).toBeDefined();
  });

  it("has a mebibyte in each block, and more where there would be too many for the field", () => {
    expect([0, 15_000, 15_001, 30_000, 30_001].map((nth) => blockBytesFor(nth * MEBIBYTE) / MEBIBYTE)).toEqual([
      1, 1, 2, 2, 4,
    ]);
  });
});
