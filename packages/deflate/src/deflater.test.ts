import { inflateRawSync, deflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { wasm } from "./compiled/deflate.ts";
import { createDeflater, deflateBound } from "./deflater.ts";
import { createInflater } from "./inflater.ts";
import { randomContent, seededRandom } from "./test-support/random.ts";
import { startModule } from "./web-assembly.ts";
import type { WasmMemory } from "./web-assembly.ts";

const MEBIBYTE = 1024 * 1024;
const MARGIN = 64;
const OPTIONS = { inputBytes: 3 * MEBIBYTE, outputBytes: deflateBound(3 * MEBIBYTE) + 2 * MARGIN };
const deflater = createDeflater(OPTIONS);
const inflater = createInflater({ inputBytes: OPTIONS.outputBytes, outputBytes: OPTIONS.inputBytes });
/** What no test writes. */
const CANARY = 0xa5;
const canaries = Buffer.alloc(MARGIN, CANARY);

describe("what is packed", () => {
  it("is unpacked by zlib: 10,000 contents of all kinds", () => {
    for (let seed = 0; seed < 10_000; seed += 1) {
      const random = seededRandom(seed);
      expectRoundTrip(randomContent(random, seed % 100 === 0 ? 100_000 : 6000), `seed ${seed}`);
    }
  });

  it("is unpacked by zlib for every length up to 600, of noise, runs and periods", () => {
    const noise = seededRandom(1).bytes(600);
    for (let length = 0; length <= 600; length += 1) {
      expectRoundTrip(noise.subarray(0, length), `${length} of noise`);
      for (let period = 1; period <= 8; period += 1) {
        expectRoundTrip(
          Buffer.alloc(length, noise.subarray(length % 500, (length % 500) + period)),
          `${length}, period ${period}`,
        );
      }
    }
  });

  it.each([65_534, 65_535, 65_536, 65_537, 131_070, 131_071, 399_999, 400_000, 400_258, MEBIBYTE, 3 * MEBIBYTE])(
    "is unpacked by zlib where blocks end: %d bytes",
    (length) => {
      const random = seededRandom(length);
      const text = Buffer.from(Array.from({ length: 5000 }, () => 97 + random.below(8)));
      const noise = random.bytes(length);
      expectRoundTrip(noise, "noise");
      expectRoundTrip(Buffer.alloc(length), "zeros");
      expectRoundTrip(Buffer.alloc(length, text), "repeated text");
      expectRoundTrip(Buffer.from(noise.map((byte) => 97 + (byte & 7))), "eight letters");
      expectRoundTrip(
        Buffer.from(noise.map((byte, at) => (at % 70_000 < 40_000 ? byte : 1 + (at & 3)))),
        "both in turn",
      );
    },
  );

  it("has codes of the longest length for symbols that occur as rarely as they can", () => {
    // Each byte occurs about as often as the two rarer ones together, and no four of them come again nearby.
    const content: number[] = [];
    const random = seededRandom(3);
    for (let [often, next, byte] = [1, 1, 0]; byte < 26; [often, next, byte] = [next, often + next, byte + 1]) {
      for (let times = 0; times < Math.min(often, 150_000); times += 1) content.push(byte);
    }
    for (let at = content.length - 1; at > 0; at -= 1) {
      const other = random.below(at + 1);
      [content[at], content[other]] = [content[other] ?? 0, content[at] ?? 0];
    }
    expectRoundTrip(Buffer.from(content), "Fibonacci");
  });

  it("is unpacked by the inflater of this package", () => {
    for (let seed = 0; seed < 500; seed += 1) {
      const content = randomContent(seededRandom(seed), 50_000);
      const packed = pack(content);
      packed.copy(inflater.input);
      expect(inflater.inflate(0, packed.length, 0, content.length), `seed ${seed}`).toBe(content.length);
      expect(inflater.output.compare(content, 0, content.length, 0, content.length), `seed ${seed}`).toBe(0);
    }
  });

  it("hardly grows when it is noise, and shrinks about as zlib shrinks it when it is text", () => {
    const noise = seededRandom(5).bytes(MEBIBYTE);
    expect(pack(noise).length).toBeLessThanOrEqual(MEBIBYTE + 17 * 5);
    const random = seededRandom(6);
    const vocabulary = Array.from({ length: 2000 }, () => random.bytes(1 + random.below(5)).toString("hex"));
    const text = Buffer.from(Array.from({ length: 50_000 }, () => vocabulary[random.below(2000)]).join(" "));
    expect(pack(text).length).toBeLessThan(deflateRawSync(text, { level: 1 }).length * 1.05);
    expect(pack(Buffer.alloc(MEBIBYTE)).length).toBeLessThan(MEBIBYTE / 250);
  });
});

describe("blocks of a stream that goes on", () => {
  it("make a stream when they are put together, 500 times", () => {
    for (let seed = 0; seed < 500; seed += 1) {
      const random = seededRandom(seed);
      const contents = Array.from({ length: 1 + random.below(5) }, () => randomContent(random, 30_000));
      const blocks = contents.map((content, nth) => pack(content, nth < contents.length - 1));
      expect(inflateRawSync(Buffer.concat(blocks)).equals(Buffer.concat(contents)), `seed ${seed}`).toBe(true);
    }
  });

  it("can be unpacked alone", () => {
    for (let seed = 0; seed < 200; seed += 1) {
      const content = randomContent(seededRandom(seed), 30_000);
      const packed = pack(content, true);
      packed.copy(inflater.input);
      expect(inflater.inflateOpen(0, packed.length, 0, content.length), `seed ${seed}`).toBe(content.length);
      expect(inflater.output.compare(content, 0, content.length, 0, content.length), `seed ${seed}`).toBe(0);
    }
  });

  it("are an empty stored block alone when there is no content", () => {
    expect(pack(Buffer.alloc(0), true)).toEqual(Buffer.from([0, 0, 0, 0xff, 0xff]));
  });
});

describe("equal content gives equal bytes", () => {
  it("whatever was packed before, and wherever it lies", () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const random = seededRandom(seed);
      const content = randomContent(random, 20_000);
      const fresh = createDeflater({ inputBytes: content.length, outputBytes: deflateBound(content.length) });
      content.copy(fresh.input);
      const expected = fresh.output.subarray(0, fresh.deflate(0, content.length, 0));
      pack(random.below(2) === 0 ? content : randomContent(random, 20_000), random.below(2) === 0);
      const from = random.below(100);
      content.copy(deflater.input, from);
      const bytes = deflater.deflate(from, from + content.length, from);
      expect(deflater.output.subarray(from, from + bytes).equals(expected), `seed ${seed}`).toBe(true);
    }
  });

  it("also when the positions have become too large and begin again", () => {
    const { memory, deflate, WORK_BYTES, nextPosition } = startModule(wasm) as PositionExports;
    memory.grow(4);
    const content = seededRandom(9)
      .bytes(20_000)
      .map((byte) => byte & 3);
    const start = WORK_BYTES.value;
    const target = start + 64 * 1024;
    new Uint8Array(memory.buffer).set(content, start);
    const packOnce = (): string => {
      const bytes = deflate(start, start + content.length, target, 0);
      return Buffer.from(memory.buffer, target, bytes).toString("hex");
    };
    const expected = packOnce();
    nextPosition.value = 0xf0000000 - 1000;
    expect(packOnce()).toBe(expected);
    expect(nextPosition.value >>> 0).toBeGreaterThan(0xf0000000);
    expect(packOnce()).toBe(expected);
    expect(nextPosition.value >>> 0).toBeLessThan(200_000);
    expect(packOnce()).toBe(expected);
  });
});

describe("places outside of the memories", () => {
  const small = createDeflater({ inputBytes: 1000, outputBytes: deflateBound(1000) });

  it.each([
    [-1, 0, 0],
    [0, 1001, 0],
    [2, 1, 0],
    [0, 0.5, 0],
    [0, Number.NaN, 0],
    [0, 0, -1],
    [0, 1000, 1],
    [0, 10, 991],
    [0, 0, deflateBound(1000)],
  ])("are refused: %d to %d, at %d", (from, to, target) => {
    expect(() => small.deflate(from, to, target)).toThrow(RangeError);
    expect(() => small.deflateOpen(from, to, target)).toThrow(RangeError);
  });

  it("are refused when a deflater is made", () => {
    expect(() => createDeflater({ inputBytes: 4 * MEBIBYTE + 1, outputBytes: 100 })).toThrow(RangeError);
    expect(() => createDeflater({ inputBytes: -1, outputBytes: 100 })).toThrow(RangeError);
  });

  it("begin right behind the room that is needed", () => {
    seededRandom(2).bytes(1000).copy(small.input);
    const bytes = small.deflate(0, 1000, 0);
    expect(inflateRawSync(small.output.subarray(0, bytes)).equals(small.input)).toBe(true);
  });
});

interface PositionExports {
  readonly memory: WasmMemory;
  readonly WORK_BYTES: { readonly value: number };
  readonly nextPosition: { value: number };
  deflate(from: number, to: number, target: number, isOpen: number): number;
}

function pack(content: Buffer, isOpen = false): Buffer {
  content.copy(deflater.input);
  const bytes = isOpen ? deflater.deflateOpen(0, content.length, 0) : deflater.deflate(0, content.length, 0);
  return Buffer.from(deflater.output.subarray(0, bytes));
}

/** In the middle of memory that must stay as it is. */
function expectRoundTrip(content: Buffer, name: string): void {
  const from = (content.length * 7) % 61;
  content.copy(deflater.input, Math.min(from, deflater.input.length - content.length));
  const start = Math.min(from, deflater.input.length - content.length);
  const target = MARGIN;
  const bound = deflateBound(content.length);
  deflater.output.fill(CANARY, 0, target + bound + MARGIN);
  const bytes = deflater.deflate(start, start + content.length, target);
  const { output } = deflater;
  expect(bytes, name).toBeLessThanOrEqual(bound);
  expect(inflateRawSync(output.subarray(target, target + bytes)).equals(content), name).toBe(true);
  expect(output.compare(canaries, 0, MARGIN, 0, MARGIN), `${name}: before it`).toBe(0);
  expect(output.compare(canaries, 0, MARGIN, target + bound, target + bound + MARGIN), `${name}: behind it`).toBe(0);
  const { input } = deflater;
  expect(input.compare(content, 0, content.length, start, start + content.length), `${name}: the content`).toBe(0);
}
