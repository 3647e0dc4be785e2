import { BitWriter } from "./bit-writer.ts";
import { seededRandom } from "./random.ts";
import type { Random } from "./random.ts";

/** In which order the lengths of the code for lengths are sent. @see RFC 1951 3.2.7 */
const LENGTH_CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** A complete code for lengths: five bits for each length, two and three for repetitions. */
const LENGTH_CODE = [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 2, 3, 3];

/**
 * A stream that no compressor would write: something to refer to, then a block with any codes that may be, or that almost may be, and then
 * noise, which such a code reads as literals, matches and, sooner or later, its end.
 */
export function randomStream(random: Random): Buffer {
  const beginning = random.pick(beginnings);
  const writer = new BitWriter();
  writer.write(random.below(4) > 0 ? 1 : 0, 1).write(random.below(100) === 0 ? 3 : 2, 2);
  writeCodes(writer, random);
  for (let bytes = 20 + random.below(400); bytes > 0; bytes -= 1) writer.write(random.below(256), 8);
  return Buffer.concat([beginning, writer.bytes]);
}

/** Stored blocks, the last of them longer than the longest distance. */
const beginnings = [
  storedBlock(0),
  storedBlock(10),
  storedBlock(300),
  storedBlock(33_000),
  storedBlock(33_000),
] as const;

function storedBlock(length: number): Buffer {
  const writer = new BitWriter();
  writeStored(writer, seededRandom(0).bytes(length));
  return writer.bytes;
}

export function writeStored(writer: BitWriter, content: Buffer): void {
  writer
    .write(0, 3)
    .align()
    .write(content.length, 16)
    .write(content.length ^ 0xffff, 16)
    .writeBytes(content);
}

function writeCodes(writer: BitWriter, random: Random): void {
  const literals = randomLengths(random, random.below(30) === 0 ? 288 : 257 + random.below(30), 15);
  if (random.below(2) > 0) makeLikely(literals, 256);
  else if (literals[256] === 0 && random.below(10) > 0) exchange(literals, 256, literals.findLastIndex(Boolean));
  const distances = randomLengths(random, 1 + random.below(random.below(30) === 0 ? 32 : 30), 15);
  writer.write(literals.length - 257, 5).write(distances.length - 1, 5);
  // The noise that follows takes the place of lengths, too.
  if (random.below(4) === 0) {
    writeLengthCode(writer, randomLengths(random, 19, 7), 4 + random.below(16));
  } else {
    writeLengthCode(writer, LENGTH_CODE, 19);
    writeLengths(writer, random, [...literals, ...distances]);
  }
}

function writeLengthCode(writer: BitWriter, lengths: readonly number[], count: number): void {
  writer.write(count - 4, 4);
  for (const symbol of LENGTH_CODE_ORDER.slice(0, count)) writer.write(lengths[symbol] ?? 0, 3);
}

function writeLengths(writer: BitWriter, random: Random, lengths: readonly number[]): void {
  for (let at = 0; at < lengths.length;) {
    const length = lengths[at] ?? 0;
    const run = lengths.slice(at).findIndex((other) => other !== length);
    const times = run === -1 ? lengths.length - at : run;
    // Now and then one more than there is place for.
    const most = times + (random.below(200) === 0 ? 1 : 0);
    if (length === 0 && most >= 11) at += writeRepetition(writer, 0b011, 3, 7, Math.min(most, 138), 11);
    else if (length === 0 && most >= 3) at += writeRepetition(writer, 0b010, 3, 3, Math.min(most, 10), 3);
    else if (length === lengths[at - 1] && most >= 3) at += writeRepetition(writer, 0b00, 2, 2, Math.min(most, 6), 3);
    else at += writeLength(writer, length);
  }
}

/** The codes of {@link LENGTH_CODE}: that of 16 is the shortest, then come 17 and 18, then the lengths. */
function writeLength(writer: BitWriter, length: number): number {
  writer.writeCode(0b10000 + length, 5);
  return 1;
}

function writeRepetition(
  writer: BitWriter,
  code: number,
  bits: number,
  extraBits: number,
  times: number,
  least: number,
): number {
  writer.writeCode(code, bits).write(times - least, extraBits);
  return times;
}

/** Lengths of the codes of some of the symbols: complete, of one code or none, or with a mistake. */
function randomLengths(random: Random, symbols: number, longest: number): number[] {
  const lengths = Array.from({ length: symbols }, () => 0);
  const kind = random.below(20);
  const leaves = kind === 0 ? [] : kind === 1 || symbols === 1 ? [1] : splitLeaves(random, symbols, longest);
  const mistaken = random.below(30) === 0 ? random.below(leaves.length + 1) : -1;
  for (const [nth, leaf] of leaves.entries()) {
    let symbol = random.below(symbols);
    while (lengths[symbol] !== 0) symbol = (symbol + 1) % symbols;
    lengths[symbol] = nth === mistaken ? 1 + random.below(longest) : leaf;
  }
  return lengths;
}

/** Lengths of a complete code for two or more symbols: one leaf after the other becomes two. */
function splitLeaves(random: Random, symbols: number, longest: number): number[] {
  const leaves = [1, 1];
  const count = 2 + random.below(symbols - 1);
  const isDeep = random.below(2) === 0;
  while (leaves.length < Math.min(count, 2 ** longest)) {
    let nth = isDeep ? leaves.length - 1 - random.below(Math.min(leaves.length, 4)) : random.below(leaves.length);
    while ((leaves[nth] ?? 0) >= longest) nth = (nth + 1) % leaves.length;
    const [leaf = 0] = leaves.splice(nth, 1);
    leaves.push(leaf + 1, leaf + 1);
  }
  return leaves;
}

/** Gives a symbol the shortest code of all. */
function makeLikely(lengths: number[], symbol: number): void {
  exchange(lengths, symbol, lengths.indexOf(Math.min(...lengths.filter((length) => length > 0))));
}

function exchange(lengths: number[], symbol: number, other: number): void {
  if (other === -1) return;
  const length = lengths[other] ?? 0;
  lengths[other] = lengths[symbol] ?? 0;
  lengths[symbol] = length;
}
