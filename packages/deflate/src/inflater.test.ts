import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { DeflateError } from "./errors.ts";
import { createInflater } from "./inflater.ts";
import type { Inflater } from "./inflater.ts";
import { BitWriter } from "./test-support/bit-writer.ts";
import { randomContent, seededRandom } from "./test-support/random.ts";
import type { Random } from "./test-support/random.ts";
import { randomStream, writeStored } from "./test-support/random-stream.ts";

const MEBIBYTE = 1024 * 1024;
const inflater = createInflater({ inputBytes: 3 * MEBIBYTE, outputBytes: 3 * MEBIBYTE });
/** What no test writes. */
const CANARY = 0xa5;
const OUTPUT_SLACK = 512;
const canaries = Buffer.alloc(OUTPUT_SLACK, CANARY);
/** More than most streams of the tests hold. */
const ROOM = 100_000;

describe("what zlib packs", () => {
  it.each(seedsOf(3000))(
    "unpacks at every level, strategy, memory level and window: contents from %i to %i",
    (first, end) => {
      for (let seed = first; seed < end; seed += 1) {
        const random = seededRandom(seed);
        const content = randomContent(random, 60_000);
        const packed = deflateRawSync(content, randomOptions(random));
        expectContent(packed, content, `seed ${seed}`);
      }
    },
  );

  it("unpacks when it is long", () => {
    const random = seededRandom(1);
    const content = Buffer.alloc(2 * MEBIBYTE, randomContent(random, 900_000));
    for (let level = 0; level <= 9; level += 1) {
      expectContent(deflateRawSync(content, { level }), content, `level ${level}`);
    }
  });

  it.each(seedsOf(6000))(
    "is judged as zlib judges it when it is cut off or changed: streams from %i to %i",
    (first, end) => {
      const seen = new Set<string>();
      for (let seed = first; seed < end; seed += 1) {
        const random = seededRandom(seed);
        const packed = deflateRawSync(randomContent(random, 10_000), randomOptions(random));
        seen.add(expectSameVerdict(damaged(packed, random), random, `seed ${seed}`));
      }
      expect(seen).toEqual(new Set(["made", "truncated", "malformed", "too-long"]));
    },
  );
});

it.each(seedsOf(5000))("judges what no compressor writes as zlib does: streams from %i to %i", (first, end) => {
  const seen = new Map<string, number>();
  for (let seed = first; seed < end; seed += 1) {
    const random = seededRandom(seed);
    const verdict = expectSameVerdict(randomStream(random), random, `seed ${seed}`);
    seen.set(verdict, (seen.get(verdict) ?? 0) + 1);
  }
  for (const verdict of ["made", "truncated", "malformed"]) expect(seen.get(verdict), verdict).toBeGreaterThan(30);
});

describe("blocks of a stream that goes on", () => {
  it("are unpacked up to the end of the input, 500 times", () => {
    for (let seed = 0; seed < 500; seed += 1) {
      const random = seededRandom(seed);
      const content = randomContent(random, 30_000);
      const packed = deflateRawSync(content, { ...randomOptions(random), finishFlush: constants.Z_SYNC_FLUSH });
      packed.copy(inflater.input);
      expect(inflater.inflateOpen(0, packed.length, 0, content.length), `seed ${seed}`).toBe(content.length);
      expect(inflater.output.compare(content, 0, content.length, 0, content.length), `seed ${seed}`).toBe(0);
    }
  });

  it("are refused when the stream ends with them, or they do not end with the input", () => {
    const open = deflateRawSync("some content", { finishFlush: constants.Z_SYNC_FLUSH });
    expect(codeOf(deflateRawSync("some content"), true)).toBe("ended");
    expect(codeOf(open.subarray(0, -1), true)).toBe("truncated");
    expect(codeOf(open, true)).toBe("made");
    expect(codeOf(open, false)).toBe("truncated");
    expect(codeOf(Buffer.alloc(0), true)).toBe("made");
  });
});

describe("a stream that comes in parts", () => {
  const short = createInflater({ inputBytes: 64 * 1024, outputBytes: 64 * 1024 });

  it("is unpacked whatever the length of its parts, 300 times", () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const random = seededRandom(seed);
      const content = Buffer.alloc(random.below(400_000), Buffer.concat([Buffer.of(1), randomContent(random, 90_000)]));
      const packed = deflateRawSync(content, randomOptions(random));
      const found = inPieces(short, packed, () => 1 + random.below(random.pick([10, 3000, 64 * 1024])));
      expect(Buffer.compare(found, content), `seed ${seed}`).toBe(0);
    }
  });

  it("is judged as a whole one is, 2,000 times", () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 2000; seed += 1) {
      const random = seededRandom(seed);
      const packed =
        seed % 2 === 0
          ? randomStream(random)
          : damaged(deflateRawSync(randomContent(random, 90_000), randomOptions(random)), random);
      const whole = codeOf(packed, false);
      let found = "made";
      try {
        const content = inPieces(short, packed, () => 1 + random.below(random.pick([300, 40_000])));
        expect(content.compare(inflater.output, 0, content.length), `seed ${seed}`).toBe(0);
      } catch (error) {
        if (!DeflateError.isInstance(error)) throw error;
        found = error.code;
      }
      // The whole one has room for 3 MiB.
      if (whole !== "too-long") expect(found, `seed ${seed}`).toBe(whole);
      seen.add(found);
    }
    expect(seen.size).toBeGreaterThan(5);
  });

  it("can be given up wherever it holds nothing for long", () => {
    // Empty blocks, none of which is the last one.
    const blocks = Buffer.alloc(60_000, Buffer.from("000000ffff", "hex"));
    let reads = 0;
    const pieces = short.inflatePieces((target) => {
      reads += 1;
      if (reads > 20) throw new Error("it cannot be given up");
      return blocks.copy(target);
    });
    for (let piece = 1; piece <= 20; piece += 1) {
      expect(pieces.next()).toEqual({ done: false, value: Buffer.alloc(0) });
      expect(reads).toBe(piece);
    }
    pieces.return();
  });

  it.each([[64 * 1024 + 1], [2 ** 30], [-5], [0.5], [Number.NaN]])(
    "is refused when whoever reads it says to have read %d bytes",
    (got) => {
      let reads = 0;
      const read = (): number => {
        reads += 1;
        if (reads > 1) throw new Error("it was believed");
        return got;
      };
      expect(() => [...short.inflatePieces(read)]).toThrow(RangeError);
    },
  );

  it.each<[what: string, use: () => void]>([
    ["a whole stream", () => short.inflateOpen(0, 0, 0, 0)],
    ["another one in pieces", () => void short.inflatePieces(() => 0).next()],
  ])("is given up when %s is inflated meanwhile", (_what, use) => {
    const attempt = (): void => {
      try {
        use();
      } catch (error) {
        // That one is empty, which is of no matter here.
        if (!DeflateError.isInstance(error)) throw error;
      }
    };
    const packed = deflateRawSync(Buffer.alloc(400_000));
    const pieces = short.inflatePieces((target) => packed.copy(target));
    expect(pieces.next().done).toBe(false);
    attempt();
    expect(() => pieces.next()).toThrow("something else was inflated");
    const read = (): number => {
      attempt();
      return 1;
    };
    expect(() => short.inflatePieces(read).next()).toThrow("something else was inflated");
  });

  it("needs memory of 64 KiB and more", () => {
    const tiny = createInflater({ inputBytes: 1024, outputBytes: 64 * 1024 });
    expect(() => tiny.inflatePieces(() => 0).next()).toThrow(RangeError);
  });
});

describe("what is wrong", () => {
  it.each([
    { code: "truncated", data: Buffer.alloc(0) },
    { code: "truncated", data: deflateRawSync("some content").subarray(0, -1) },
    { code: "too-long", data: deflateRawSync(Buffer.alloc(4 * MEBIBYTE)) },
    { code: "bad-block-type", data: new BitWriter().write(1, 1).write(3, 2).bytes },
    { code: "bad-stored-length", data: Buffer.from([1, 2, 0, 0xfe, 0xff, 1, 2]) },
    { code: "bad-code-lengths", data: new BitWriter().write(5, 3).write(30, 5).write(0, 9).bytes },
    { code: "bad-code-lengths", data: new BitWriter().write(5, 3).write(0, 5).write(30, 5).write(0, 4).bytes },
    { code: "bad-code", data: new BitWriter().write(3, 3).writeCode(0b11000110, 8).bytes },
    { code: "bad-code", data: new BitWriter().write(3, 3).writeCode(1, 7).writeCode(30, 5).write(0, 9).bytes },
    { code: "bad-distance", data: new BitWriter().write(3, 3).writeCode(1, 7).writeCode(0, 5).write(0, 9).bytes },
  ])("is told: $code", ({ code, data }) => {
    expect(codeOf(data, false)).toBe(code);
  });

  it("is an error that another copy of this package recognises, and that nobody needs to try again", () => {
    const error = errorOf(Buffer.alloc(0), false);
    expect(DeflateError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({
      name: "DeflateError",
      retryable: false,
      message: "inflate: the data ends too early",
    });
    expect(DeflateError.isInstance(new Error("inflate"))).toBe(false);
  });

  it.each([
    [-1, 0, 0, 0],
    [0, 3 * MEBIBYTE + 1, 0, 0],
    [2, 1, 0, 0],
    [0, 0, 0, 3 * MEBIBYTE + 1],
    [0, 0, 5, 4],
    [0.5, 1, 0, 0],
    [Number.NaN, 1, 0, 0],
  ])("is a place outside of the memories: %d to %d, %d to %d", (from, to, target, targetEnd) => {
    expect(() => inflater.inflate(from, to, target, targetEnd)).toThrow(RangeError);
  });
});

it("ignores what follows a stream", () => {
  expect(codeOf(Buffer.concat([deflateRawSync("some content"), Buffer.alloc(20, 0xff)]), false)).toBe("made");
});

it("reaches no further back than the content begins", () => {
  const writer = new BitWriter();
  writeStored(writer, Buffer.from("abc"));
  // Three bytes from four bytes before.
  const packed = writer.write(3, 3).writeCode(1, 7).writeCode(3, 5).writeCode(0, 7).bytes;
  packed.copy(inflater.input);
  expect(() => inflater.inflate(0, packed.length, 1000, 2000)).toThrow(
    expect.objectContaining({ code: "bad-distance" }),
  );
});

it("works in the smallest memory, up to its last byte", () => {
  const content = randomContent(seededRandom(7), 3000);
  const packed = deflateRawSync(content);
  const small = createInflater({ inputBytes: packed.length, outputBytes: content.length });
  packed.copy(small.input);
  expect(small.inflate(0, packed.length, 0, content.length)).toBe(content.length);
  expect(small.output).toEqual(content);
});

/** The content of a stream of which each part is as long as it is told. */
function inPieces(inflater: Inflater, packed: Buffer, partBytes: () => number): Buffer {
  let at = 0;
  const read = (target: Buffer): number => {
    const got = packed.copy(target, 0, at, at + partBytes());
    at += got;
    return got;
  };
  return Buffer.concat([...copies(inflater.inflatePieces(read))]);
}

function* copies(pieces: Iterable<Buffer>): Generator<Buffer> {
  for (const piece of pieces) yield Buffer.from(piece);
}

function randomOptions(random: Random): Record<string, number> {
  return {
    level: random.below(10),
    strategy: random.below(5),
    memLevel: 1 + random.below(9),
    windowBits: 9 + random.below(7),
  };
}

function damaged(packed: Buffer, random: Random): Buffer {
  const copy = Buffer.from(packed);
  const kind = random.below(3);
  if (kind > 0) {
    for (let changes = 1 + random.below(3); changes > 0 && copy.length > 0; changes -= 1) {
      // What is near the beginning decides most.
      const at = random.below(random.pick([copy.length, Math.min(copy.length, 80)]));
      copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
    }
  }
  return kind < 2 ? copy.subarray(0, random.below(copy.length + 1)) : copy;
}

/** So many seeds in runs of a thousand, each a test of its own. */
function seedsOf(count: number): [first: number, end: number][] {
  return Array.from({ length: count / 1000 }, (_, run) => [1000 * run, 1000 * (run + 1)]);
}

/** Unpacks into exactly the room that is needed, in the middle of memory that must stay as it is. */
function expectContent(packed: Buffer, content: Buffer, name: string): void {
  const from = (content.length * 7) % 61;
  const target = (content.length * 5) % 67;
  packed.copy(inflater.input, from);
  inflater.output.fill(CANARY, 0, target + content.length + 2 * OUTPUT_SLACK);
  const bytes = inflater.inflate(from, from + packed.length, target, target + content.length);
  expect(bytes, name).toBe(content.length);
  expect(inflater.output.compare(content, 0, content.length, target, target + content.length), name).toBe(0);
  expectCanaries(target, target + content.length, name);
}

/** @returns what both say */
function expectSameVerdict(packed: Buffer, random: Random, name: string): string {
  const room = random.pick([100, 5000, ROOM, ROOM, ROOM]);
  const expected = verdictOfZlib(packed, room);
  const target = 1 + random.below(100);
  packed.copy(inflater.input);
  inflater.output.fill(CANARY, 0, target + room + 2 * OUTPUT_SLACK);
  let found: string;
  try {
    const bytes = inflater.inflate(0, packed.length, target, target + room);
    found = "made";
    expect(expected, name).toEqual(Buffer.from(inflater.output.subarray(target, target + bytes)));
  } catch (error) {
    if (!DeflateError.isInstance(error)) throw error;
    found = error.code.startsWith("bad-") ? "malformed" : error.code;
    expect(typeof expected, name).toBe("string");
    // Which of two mistakes is met first depends on how far ahead one reads.
    if (found !== "too-long" && expected !== "too-long") expect(found, name).toBe(expected);
  }
  expect(inflater.input.compare(packed, 0, packed.length, 0, packed.length), name).toBe(0);
  expectCanaries(target, target + room, name);
  return found;
}

function expectCanaries(start: number, end: number, name: string): void {
  const { output } = inflater;
  const behind = end + OUTPUT_SLACK;
  expect(output.compare(canaries, 0, start, 0, start), `${name}: before the content`).toBe(0);
  expect(output.compare(canaries, 0, OUTPUT_SLACK, behind, behind + OUTPUT_SLACK), `${name}: behind it`).toBe(0);
}

function verdictOfZlib(packed: Buffer, room: number): Buffer | string {
  try {
    return inflateRawSync(packed, { maxOutputLength: room });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "Z_BUF_ERROR") return "truncated";
    if (code === "Z_DATA_ERROR") return "malformed";
    if (code === "ERR_BUFFER_TOO_LARGE") return "too-long";
    throw error;
  }
}

function codeOf(data: Buffer, isOpen: boolean): string {
  const error = errorOf(data, isOpen);
  if (error === undefined) return "made";
  if (!DeflateError.isInstance(error)) throw error;
  return error.code;
}

function errorOf(data: Buffer, isOpen: boolean): unknown {
  data.copy(inflater.input);
  try {
    if (isOpen) inflater.inflateOpen(0, data.length, 0, inflater.output.length);
    else inflater.inflate(0, data.length, 0, inflater.output.length);
    return undefined;
  } catch (error) {
    return error;
  }
}
