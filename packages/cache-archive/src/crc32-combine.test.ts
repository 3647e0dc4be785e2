import { crc32 } from "node:zlib";
import { describe, expect, it } from "vitest";
import { combineCrc32 } from "./crc32-combine.ts";

describe("the CRC of two pieces", () => {
  const bytes = Uint8Array.from({ length: 70_000 }, (_, at) => (at * at) >>> 3);

  it.each([0, 1, 7, 8, 255, 4096, 65_535, 65_536, 69_999, 70_000])("is that of both together, cut at %i", (cut) => {
    const [first, second] = [bytes.subarray(0, cut), bytes.subarray(cut)];
    expect(combineCrc32(crc32(first), crc32(second), second.length)).toBe(crc32(bytes));
  });

  it("is found for lengths beyond 32 bits", () => {
    // Of so many zeros, from pieces of which each is twice as long as the one before.
    let crc = crc32(new Uint8Array(1));
    let length = 1;
    for (; length < 2 ** 36; length *= 2) crc = combineCrc32(crc, crc, length);
    const [half, twice] = [
      combineCrc32(crc, 0, length / 2),
      combineCrc32(combineCrc32(crc, 0, length / 4), 0, length / 4),
    ];
    expect(half).toBe(twice);
    expect(combineCrc32(crc32(bytes), crc, length)).toBe(combineCrc32(combineCrc32(crc32(bytes), 0, length), crc, 0));
  });
});
