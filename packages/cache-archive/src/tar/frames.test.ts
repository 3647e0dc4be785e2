import { closeSync, openSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { constants, zstdCompressSync } from "node:zlib";

import { expect, it } from "vitest";

import type { ArchiveFile } from "../archive-file.ts";
import { makeScratch } from "../test-support/scratch.ts";
import { readFrames } from "./frames.ts";

const MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/** Reads the frames of a file with this content. */
async function framesOf(...parts: readonly Buffer[]): Promise<string> {
  await using scratch = await makeScratch();
  const content = Buffer.concat(parts);
  const path = scratch.at("file");
  await writeFile(path, content);
  const file: ArchiveFile = { path, descriptor: openSync(path, "r"), size: content.length };
  try {
    return Buffer.concat(await Array.fromAsync(readFrames(file, undefined))).toString("latin1");
  } finally {
    closeSync(file.descriptor);
  }
}

function skippable(magic: number, content: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(magic, 0);
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content]);
}

/** A frame with one block of one byte, repeated. */
function repeated(descriptor: number, fields: readonly number[], count: number, byte: string): Buffer {
  const block = Buffer.alloc(3);
  block.writeUIntLE((count << 3) | 0b011, 0, 3);
  return Buffer.concat([MAGIC, Buffer.from([descriptor, ...fields]), block, Buffer.from(byte)]);
}

it("frames follow one another, whatever lies between them for others", async () => {
  const parts = [zstdCompressSync("a"), skippable(0x184d2a50, Buffer.from("x")), zstdCompressSync("b")];
  expect(await framesOf(...parts, skippable(0x184d2a5f, Buffer.alloc(0)), zstdCompressSync("c"))).toBe("abc");
});

it.each([
  ["of one segment, with a length of one byte", 0x20, [5]],
  ["of one segment, with a length of two bytes", 0x60, [0, 0]],
  ["of one segment, with a length of four bytes", 0xa0, [5, 0, 0, 0]],
  ["of one segment, with a length of eight bytes", 0xe0, [5, 0, 0, 0, 0, 0, 0, 0]],
  ["with a window, without a length", 0x00, [0]],
  ["with a window, and a length of four bytes", 0x80, [0, 5, 0, 0, 0]],
] as const)("a frame %s has its end found", async (what, descriptor, fields) => {
  // A length of two bytes is 256 more than it says.
  const count = what.includes("two bytes") ? 256 : 5;
  expect(await framesOf(repeated(descriptor, fields, count, "r"), zstdCompressSync("b"))).toBe(`${"r".repeat(count)}b`);
});

it.each([
  ["one byte", 0x21, [0, 5]],
  ["two bytes", 0x22, [0, 0, 5]],
  ["four bytes", 0x23, [0, 0, 0, 0, 5]],
] as const)("a frame that names no dictionary in %s has its end found", async (_what, descriptor, fields) => {
  expect(await framesOf(repeated(descriptor, fields, 5, "r"), zstdCompressSync("b"))).toBe("rrrrrb");
});

it("a frame of thousands of blocks is read as a whole", async () => {
  const block = (isLast: boolean): Buffer => Buffer.from([(1 << 3) | (isLast ? 1 : 0), 0, 0, 0x72]);
  const blocks = Array.from({ length: 3000 }, (_, nth) => block(nth === 2999));
  const frame = Buffer.concat([MAGIC, Buffer.from([0x00, 0x00]), ...blocks]);
  expect(await framesOf(frame, zstdCompressSync("b"))).toBe(`${"r".repeat(3000)}b`);
});

it("a frame with a checksum ends behind it", async () => {
  const checked = zstdCompressSync("a".repeat(300_000), { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  expect(await framesOf(checked, zstdCompressSync("b"))).toBe(`${"a".repeat(300_000)}b`);
  await expect(framesOf(checked.subarray(0, -1))).rejects.toMatchObject({ code: "truncated" });
  await expect(framesOf(zstdCompressSync("b"), checked.subarray(0, -4))).rejects.toMatchObject({ code: "truncated" });
});

it.each([
  ["no frame", Buffer.from("abcd")],
  ["what is nearly skippable", skippable(0x184d2a60, Buffer.alloc(0))],
  ["a block of the type that is reserved", Buffer.concat([MAGIC, Buffer.from([0x20, 1, 0b111, 0, 0])])],
])("%s is refused where a frame should be", async (_what, content) => {
  await expect(framesOf(zstdCompressSync("b"), content)).rejects.toMatchObject({ code: "malformed" });
});

it.each([
  ["in the magic number", MAGIC.subarray(0, 3)],
  ["behind it", MAGIC],
  ["in what is for others", skippable(0x184d2a50, Buffer.from("xy")).subarray(0, -1)],
  ["in a block", repeated(0x20, [5], 5, "r").subarray(0, -1)],
])("a file that ends %s was cut off", async (_where, content) => {
  await expect(framesOf(zstdCompressSync("b"), content)).rejects.toMatchObject({ code: "truncated" });
});
