import { crc32, deflateRawSync } from "node:zlib";

import { describe, expect, it } from "vitest";

import { InflateBatch } from "./inflate-batch.ts";

const texts = Array.from({ length: 300 }, (_, nth) => Buffer.from(`file ${nth} `.repeat(1 + nth * 7)));

describe("InflateBatch", () => {
  it("unpacks many entries at once, again and again", () => {
    const batch = new InflateBatch();
    for (let turn = 0; turn < 3; turn += 1) {
      for (const text of texts) add(batch, deflateRawSync(text), text);
      expect(batch.bytes).toBe(Buffer.concat(texts).length);
      expect(batch.unpack()?.equals(Buffer.concat(texts))).toBe(true);
      expect(batch.bytes).toBe(0);
    }
  });

  it("takes data from the middle of other bytes", () => {
    const batch = new InflateBatch();
    const packed = deflateRawSync(first);
    batch.add(
      Buffer.concat([Buffer.alloc(9, 7), packed, Buffer.alloc(9, 7)]),
      9,
      9 + packed.length,
      crc32(first),
      first.length,
    );
    expect(batch.unpack()).toEqual(first);
  });

  it.each<[what: string, fill: (batch: InflateBatch) => void]>([
    ["a wrong CRC", (batch) => batch.add(packedFirst, 0, packedFirst.length, 1, first.length)],
    ["a length that is too short", (batch) => batch.add(packedFirst, 0, packedFirst.length, crc32(first), 3)],
    ["a length that is too long", (batch) => batch.add(packedFirst, 0, packedFirst.length, crc32(first), 300)],
    [
      "data that ends too early",
      (batch) => batch.add(packedFirst, 0, packedFirst.length - 3, crc32(first), first.length),
    ],
    ["data that is no deflate stream", (batch) => batch.add(Buffer.alloc(50, 0xff), 0, 50, 0, 50)],
    ["bytes behind the end of its stream", (batch) => add(batch, Buffer.concat([packedFirst, Buffer.of(0)]), first)],
  ])("refuses all of them when one has %s, wherever it stands", (_what, fill) => {
    for (const place of [0, 1, 2]) {
      const batch = new InflateBatch();
      for (const nth of [0, 1, 2]) {
        if (nth === place) fill(batch);
        else add(batch, deflateRawSync(second), second);
      }
      expect(batch.unpack()).toBeUndefined();
      add(batch, packedFirst, first);
      expect(batch.unpack()).toEqual(first);
    }
  });

  it("refuses an entry that ends its own data, and begins another that swallows what follows", () => {
    // By the CRC and the length that stand at its end it is the second entry, as long as the first one and that together should be.
    const swallowed = storedBlock(Buffer.alloc(second.length));
    const evil = Buffer.concat([deflateRawSync(first), trailer(first), MEMBER, swallowed]);
    const batch = new InflateBatch();
    batch.add(evil, 0, evil.length, 0xbad, first.length);
    add(batch, deflateRawSync(second), second);
    expect(batch.unpack()).toBeUndefined();
    // Alone, with the CRC of what it hides, and as honest as it can be.
    const twice = Buffer.concat([deflateRawSync(first), trailer(first), MEMBER, deflateRawSync(second)]);
    batch.add(twice, 0, twice.length, crc32(second), second.length);
    expect(batch.unpack()).toBeUndefined();
  });

  it("refuses an entry whose stream goes on into the next one", () => {
    // A stored block that covers the trailer and the header between them, and ends where the next entry does.
    const tail = deflateRawSync(Buffer.alloc(0));
    const open = Buffer.of(0, 18 + 5, 0, 0xff - 18 - 5, 0xff);
    const batch = new InflateBatch();
    batch.add(open, 0, open.length, 0, 10);
    const rest = Buffer.concat([Buffer.alloc(5), tail]);
    batch.add(rest, 0, rest.length, 0, 13);
    expect(batch.unpack()).toBeUndefined();
  });
});

const MEMBER = Buffer.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255);
const first = Buffer.from("first ".repeat(20));
const second = Buffer.from("second ".repeat(30));
const packedFirst = deflateRawSync(first);

function add(batch: InflateBatch, packed: Buffer, content: Buffer): void {
  batch.add(packed, 0, packed.length, crc32(content), content.length);
}

function trailer(content: Buffer): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(crc32(content));
  bytes.writeUInt32LE(content.length, 4);
  return bytes;
}

/** The start of a block of the deflate format that holds so many bytes as they are. */
function storedBlock(content: Buffer): Buffer {
  const start = Buffer.alloc(5);
  start.writeUInt8(1);
  start.writeUInt16LE(content.length, 1);
  start.writeUInt16LE(0xffff - content.length, 3);
  return start;
}
