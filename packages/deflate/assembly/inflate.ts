/*
 * Raw INFLATE (RFC 1951), compiled by AssemblyScript. Memory from 0 to `WORK_BYTES` belongs to this module, all above it to the caller.
 *
 * There is one loop only, and it is the fast one: it looks at its bounds once per symbol, may read `INPUT_SLACK` bytes behind the input and
 * write `OUTPUT_SLACK` bytes behind the output, and finds out afterwards whether it has. Whatever depends on bits behind the input's end is
 * reported as input that ends too early, as if those bits had never been there.
 *
 * Codes are looked up in tables. An entry of a table is a word:
 *
 *   bits  0-5   bits of the input that this entry stands for: the code and the extra bits after it
 *   bits  8-11  length of the code alone; for a link, how many bits the second table is looked up with
 *   bit   14    LINK: a second table decides, which begins at the entry in the upper half
 *   bit   15    SPECIAL: no length or distance, but a link, the end of the block, or a code that does not exist
 *   bits 16-30  the literal, the smallest length or distance of the symbol, or where the second table begins
 *   bit   31    LITERAL
 *
 * The low bits are where they are because shifts look at the lowest six bits of their operand only, so that an entry shifts by itself.
 */

// What the caller is told instead of a length.
const INPUT_ENDS: i32 = -1;
const OUTPUT_TOO_SMALL: i32 = -2;
const BAD_BLOCK_TYPE: i32 = -3;
const BAD_STORED_LENGTH: i32 = -4;
const BAD_CODE_LENGTHS: i32 = -5;
const BAD_CODE: i32 = -6;
const BAD_DISTANCE: i32 = -7;
const TRAILING_BLOCK: i32 = -8;
/** Not told: there is no more input, or no more room. */
const INTERRUPTED: i32 = -100;
// What the caller of a part is told.
const NEEDS_INPUT: i32 = 1;
const NEEDS_ROOM: i32 = 2;

// Places in a stream.
const BEFORE_BLOCK: i32 = 0;
const IN_STORED: i32 = 1;
const IN_CODES: i32 = 2;

const LITERAL: u32 = 0x80000000;
const SPECIAL: u32 = 0x8000;
const LINK: u32 = 0x4000;
const END_OF_BLOCK: u32 = SPECIAL;
/** A code that nothing was assigned to. The upper half only tells it from the end of a block. */
const NO_CODE: u32 = SPECIAL | 0x10000;

const MAX_CODE_LENGTH: u32 = 15;
const LENGTH_CODE_BITS: u32 = 7;
const LITERAL_BITS: u32 = 10;
const DISTANCE_BITS: u32 = 8;

const LITERAL_SYMBOLS: u32 = 288;
const DISTANCE_SYMBOLS: u32 = 32;
const LENGTH_CODE_SYMBOLS: u32 = 19;
const MAX_LITERAL_SYMBOLS: u32 = 286;
const MAX_DISTANCE_SYMBOLS: u32 = 30;
const FIRST_LENGTH_SYMBOL: u32 = 257;
const SYMBOL_END_OF_BLOCK: u32 = 256;

/*
 * Where things lie. A table with so many bits at first needs at most 1,332 entries for 286 symbols, and 400 for 30. What is read from the
 * input can be no more than that, because only complete codes get tables.
 */
const LITERAL_TABLE: usize = 0;
const DISTANCE_TABLE: usize = LITERAL_TABLE + 4 * 1408;
const LENGTH_CODE_TABLE: usize = DISTANCE_TABLE + 4 * 448;
const FIXED_LITERAL_TABLE: usize = LENGTH_CODE_TABLE + 4 * 128;
const FIXED_DISTANCE_TABLE: usize = FIXED_LITERAL_TABLE + 4 * 512;
/** What an entry says beside the code's length, for each symbol. */
const LITERAL_MEANINGS: usize = FIXED_DISTANCE_TABLE + 4 * 32;
const DISTANCE_MEANINGS: usize = LITERAL_MEANINGS + 4 * 288;
const LENGTH_CODE_MEANINGS: usize = DISTANCE_MEANINGS + 4 * 32;
/** A byte for each symbol, those of the distances right behind those of the literals; a run may go too far by 138. */
const LENGTHS: usize = LENGTH_CODE_MEANINGS + 4 * 32;
const LENGTH_CODE_LENGTHS: usize = LENGTHS + 512;
/** How many codes have each length, as 32-bit words. */
const COUNTS: usize = LENGTH_CODE_LENGTHS + 32;
const STARTS: usize = COUNTS + 4 * 16;
/** Symbols in the order of their codes, as 16-bit words. */
const SORTED: usize = STARTS + 4 * 16;
/** Order in which the lengths of the code for lengths are sent. */
const LENGTH_CODE_ORDER: usize = SORTED + 2 * 288;
const WORK_END: usize = LENGTH_CODE_ORDER + 32;

/** Where the caller's memory begins. */
export const WORK_BYTES: i32 = 16384;
/** More than the codes of a block take, twice. */
const PART_INPUT: usize = 2048;
const MAX_DISTANCE: usize = 32768;
/** Bytes that may be read behind the end of the input. */
export const INPUT_SLACK: i32 = 64;
/** Bytes that may be overwritten behind the end of the output. */
export const OUTPUT_SLACK: i32 = 512;

// The state between blocks.
let input: usize = 0;
let inputEnd: usize = 0;
let output: usize = 0;
let outputStart: usize = 0;
let outputEnd: usize = 0;
/** The next bits of the input, lowest first; bits above `bitCount` are either 0 or what follows. */
let bitBuffer: u64 = 0;
/** Only the lowest six bits count. */
let bitCount: u32 = 0;

prepare();

/** Whether there is input or room for output to come, so that running out of them only interrupts. */
let goesOn: bool = false;
/** Where in its stream the next bit stands: before a block, or in one. */
let place: i32 = BEFORE_BLOCK;
let isLastBlock: bool = false;
/** Bytes of a stored block that are still to be copied. */
let storedBytes: usize = 0;
/** The tables of the block that is being decoded. */
let literalTable: usize = 0;
let distanceTable: usize = 0;
let literalTableBits: u32 = 0;
let distanceTableBits: u32 = 0;

/**
 * Inflates one stream, or, if `isOpen` is not 0, blocks of a stream that goes on: none of them the last one, and they end with the input on a
 * whole byte.
 *
 * @returns how many bytes were made, or a negative number that says what is wrong
 */
export function inflate(from: usize, to: usize, target: usize, targetEnd: usize, isOpen: i32): i32 {
  begin(from, target);
  inputEnd = to;
  outputEnd = targetEnd;
  goesOn = false;
  while (!(isOpen && place == BEFORE_BLOCK && isAtEnd())) {
    const result = advance();
    if (position() > inputEnd) return INPUT_ENDS;
    if (result == INTERRUPTED) return OUTPUT_TOO_SMALL;
    if (result != 0) return result;
    if (output > outputEnd) return OUTPUT_TOO_SMALL;
    if (isLastBlock) return isOpen ? TRAILING_BLOCK : <i32>(output - outputStart);
  }
  return <i32>(output - outputStart);
}

/** Begins a stream that is inflated by parts of its input and its content. */
export function begin(from: usize, target: usize): void {
  input = from;
  output = target;
  outputStart = target;
  bitBuffer = 0;
  bitCount = 0;
  place = BEFORE_BLOCK;
}

/**
 * Inflates a part of a stream. The input is read up to `PART_INPUT` bytes before its end, unless `isLast` is not 0, and the output may become
 * 300 bytes longer than it should.
 *
 * @returns 0 at the end of the stream, `NEEDS_INPUT`, `NEEDS_ROOM`, or a negative number that says what is wrong
 */
export function inflatePart(to: usize, targetEnd: usize, isLast: i32): i32 {
  inputEnd = to;
  outputEnd = targetEnd;
  goesOn = true;
  for (;;) {
    if (output >= outputEnd) return NEEDS_ROOM;
    if (!isLast && input + PART_INPUT > inputEnd) return NEEDS_INPUT;
    if (!isLast) inputEnd = to - PART_INPUT / 2;
    const result = advance();
    inputEnd = to;
    if (isLast && position() > inputEnd) return INPUT_ENDS;
    if (result != 0 && result != INTERRUPTED) return result;
    if (result == 0 && isLastBlock) return 0;
    // What is missing of a stored block will not come any more.
    if (result == INTERRUPTED && isLast && output < outputEnd) return INPUT_ENDS;
  }
  return 0;
}

/** Where the content that was made so far ends. */
export function contentEnd(): usize {
  return output;
}

/** Gives back what was read ahead, so that the input can be moved. @returns where it goes on */
export function inputRest(): usize {
  input = position();
  bitCount &= 7;
  bitBuffer &= ((<u64>1) << bitCount) - 1;
  return input;
}

/** Tells where the rest of the input is now. */
export function moveInput(to: usize): void {
  input = to;
}

/** Keeps of the content only what matches may refer to. @returns where it goes on */
export function slideOutput(): usize {
  const kept = min(output - outputStart, MAX_DISTANCE);
  memory.copy(outputStart, output - kept, kept);
  output = outputStart + kept;
  return output;
}

/** Goes on to the end of the block. @returns 0 at its end, `INTERRUPTED`, or what is wrong */
function advance(): i32 {
  if (place == BEFORE_BLOCK) {
    const problem = openBlock();
    if (problem != 0) return problem;
  }
  const result =
    place == IN_STORED ? copyStored() : decodeBlock(literalTable, literalTableBits, distanceTable, distanceTableBits);
  if (result == 0) place = BEFORE_BLOCK;
  return result;
}

/** Reads the header of a block. @returns 0 or what is wrong */
function openBlock(): i32 {
  refill();
  isLastBlock = takeBits(1) != 0;
  const type = takeBits(2);
  place = IN_CODES;
  if (type == 0) return openStored();
  if (type == 1) {
    literalTable = FIXED_LITERAL_TABLE;
    literalTableBits = 9;
    distanceTable = FIXED_DISTANCE_TABLE;
    distanceTableBits = 5;
    return 0;
  }
  return type == 2 ? readCodes() : BAD_BLOCK_TYPE;
}

/** The byte in which the next bit stands that was not taken yet; one more when a part of a byte was taken. */
function position(): usize {
  return input - ((bitCount & 63) >> 3);
}

function isAtEnd(): bool {
  return (bitCount & 7) == 0 && position() == inputEnd;
}

/** Makes at least 56 bits available. */
function refill(): void {
  bitBuffer |= load<u64>(input) << bitCount;
  input += 7 - ((bitCount >> 3) & 7);
  bitCount |= 56;
}

/** Takes bits that are available. */
function takeBits(count: u32): u32 {
  const bits = <u32>bitBuffer & ((1 << count) - 1);
  bitBuffer >>= count;
  bitCount -= count;
  return bits;
}

function openStored(): i32 {
  const at = position();
  // Not all of it may be there; the slack is, and whoever asked looks at the end of the input next.
  const length = <usize>load<u16>(at);
  input = at + 4;
  bitBuffer = 0;
  bitCount = 0;
  if (input > inputEnd) return INPUT_ENDS;
  if (length != (<usize>load<u16>(at + 2) ^ 0xffff)) return BAD_STORED_LENGTH;
  storedBytes = length;
  place = IN_STORED;
  return 0;
}

/** Copies as much of a stored block as there is. */
function copyStored(): i32 {
  const isThere = storedBytes <= inputEnd - input;
  const bytes = min(min(storedBytes, inputEnd - input), outputEnd - output);
  if (!goesOn && bytes < storedBytes) return isThere ? OUTPUT_TOO_SMALL : INPUT_ENDS;
  memory.copy(output, input, bytes);
  input += bytes;
  output += bytes;
  storedBytes -= bytes;
  return storedBytes == 0 ? 0 : INTERRUPTED;
}

/** Reads the codes of a block and makes tables of them. */
function readCodes(): i32 {
  const literals: u32 = 257 + takeBits(5);
  const distances: u32 = 1 + takeBits(5);
  const lengthCodes: u32 = 4 + takeBits(4);
  if (literals > MAX_LITERAL_SYMBOLS || distances > MAX_DISTANCE_SYMBOLS) return BAD_CODE_LENGTHS;
  store<u64>(LENGTH_CODE_LENGTHS, 0);
  store<u64>(LENGTH_CODE_LENGTHS, 0, 8);
  store<u64>(LENGTH_CODE_LENGTHS, 0, 16);
  for (let index: u32 = 0; index < lengthCodes; index++) {
    // Enough for ten, and for the nine that remain.
    if (index == 0 || index == 10) refill();
    store<u8>(LENGTH_CODE_LENGTHS + load<u8>(LENGTH_CODE_ORDER + index), takeBits(3));
  }
  const lengthCodeBits = makeTable(
    LENGTH_CODE_LENGTHS,
    LENGTH_CODE_SYMBOLS,
    LENGTH_CODE_MEANINGS,
    LENGTH_CODE_TABLE,
    LENGTH_CODE_BITS,
    false,
  );
  if (lengthCodeBits == 0) return BAD_CODE_LENGTHS;
  const problem = readLengths(lengthCodeBits, literals + distances);
  if (problem != 0) return problem;
  if (load<u8>(LENGTHS + SYMBOL_END_OF_BLOCK) == 0) return BAD_CODE_LENGTHS;
  literalTable = LITERAL_TABLE;
  literalTableBits = makeTable(LENGTHS, literals, LITERAL_MEANINGS, LITERAL_TABLE, LITERAL_BITS, true);
  if (literalTableBits == 0) return BAD_CODE_LENGTHS;
  distanceTable = DISTANCE_TABLE;
  distanceTableBits = makeTable(LENGTHS + literals, distances, DISTANCE_MEANINGS, DISTANCE_TABLE, DISTANCE_BITS, true);
  return distanceTableBits == 0 ? BAD_CODE_LENGTHS : 0;
}

/** Reads the lengths of literals' and distances' codes, which are one list. */
function readLengths(tableBits: u32, count: u32): i32 {
  let at = input;
  let buffer = bitBuffer;
  let bits = bitCount;
  let index: u32 = 0;
  let problem: i32 = 0;
  const mask = (1 << tableBits) - 1;
  while (index < count) {
    // A code takes 14 bits at most, with its extra bits.
    if ((bits & 63) < 14) {
      if (at > inputEnd + 8) return INPUT_ENDS;
      buffer |= load<u64>(at) << bits;
      at += 7 - ((bits >> 3) & 7);
      bits |= 56;
    }
    const entry = load<u32>(LENGTH_CODE_TABLE + ((<usize>buffer & mask) << 2));
    buffer >>= entry;
    bits -= entry;
    const symbol = entry >> 16;
    if (symbol < 16) {
      store<u8>(LENGTHS + index, symbol);
      index += 1;
      continue;
    }
    let repeated: u64 = 0;
    let times: u32 = 3;
    let extraBits: u32 = 3;
    if (symbol == 16) {
      extraBits = 2;
      if (index > 0) repeated = load<u8>(LENGTHS + index - 1);
    } else if (symbol == 18) {
      times = 11;
      extraBits = 7;
    }
    times += <u32>buffer & ((1 << extraBits) - 1);
    buffer >>= extraBits;
    bits -= extraBits;
    if ((symbol == 16 && index == 0) || index + times > count) {
      problem = BAD_CODE_LENGTHS;
      break;
    }
    repeated *= 0x0101010101010101;
    for (let done: u32 = 0; done < times; done += 8) store<u64>(LENGTHS + index + done, repeated);
    index += times;
  }
  input = at;
  bitBuffer = buffer;
  bitCount = bits;
  return problem;
}

/**
 * Makes the table of a canonical code.
 *
 * A code must be complete. Of the others only those are legal that have one code of one bit, or none at all, and only for literals and distances;
 * for lengths, none at all stands for lengths of 0.
 *
 * @returns how many bits it is looked up with at first, or 0 if the code is none
 */
function makeTable(lengths: usize, symbols: u32, meanings: usize, table: usize, maxBits: u32, maySingle: bool): u32 {
  v128.store(COUNTS, v128.splat<u32>(0));
  v128.store(COUNTS, v128.splat<u32>(0), 16);
  v128.store(COUNTS, v128.splat<u32>(0), 32);
  v128.store(COUNTS, v128.splat<u32>(0), 48);
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const count = COUNTS + ((<usize>load<u8>(lengths + symbol)) << 2);
    store<u32>(count, load<u32>(count) + 1);
  }

  let longest = MAX_CODE_LENGTH;
  while (longest > 0 && load<u32>(COUNTS + ((<usize>longest) << 2)) == 0) longest -= 1;
  let free: i32 = 1;
  let sorted = load<u32>(COUNTS);
  store<u32>(STARTS, 0);
  for (let length: u32 = 1; length <= longest; length++) {
    const count = load<u32>(COUNTS + ((<usize>length) << 2));
    store<u32>(STARTS + ((<usize>length) << 2), sorted);
    sorted += count;
    free = (free << 1) - <i32>count;
    if (free < 0) return 0;
  }
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const start = STARTS + ((<usize>load<u8>(lengths + symbol)) << 2);
    const place = load<u32>(start);
    store<u32>(start, place + 1);
    store<u16>(SORTED + ((<usize>place) << 1), symbol);
  }
  let next = SORTED + ((<usize>load<u32>(COUNTS)) << 1);

  if (free > 0) {
    if (longest > 1 || (longest == 1 && !maySingle)) return 0;
    const missing: u32 = (maySingle ? NO_CODE : 0) | 0x101;
    store<u32>(table, longest == 0 ? missing : load<u32>(meanings + ((<usize>load<u16>(next)) << 2)) + 0x101);
    store<u32>(table, missing, 4);
    return 1;
  }

  const tableBits = min(longest, maxBits);
  // Codes are read from their highest bit on, so they are counted up from there.
  let code: u32 = 0;
  let length: u32 = 1;
  while (load<u32>(COUNTS + ((<usize>length) << 2)) == 0) length += 1;
  for (; length <= tableBits; length++) {
    const ones: u32 = (1 << length) - 1;
    for (let count = load<u32>(COUNTS + ((<usize>length) << 2)); count > 0; count--) {
      const meaning = load<u32>(meanings + ((<usize>load<u16>(next)) << 2));
      store<u32>(table + ((<usize>code) << 2), meaning + length * 0x101);
      next += 2;
      code = following(code, ones);
    }
    // The other half of what is filled so far differs in a bit that none of these codes has.
    if (length < tableBits) copyEntries(table + (4 << length), table, 4 << length);
  }
  if (longest > tableBits) makeSecondTables(table, tableBits, longest, code, next, meanings);
  return tableBits;
}

/** Codes that are longer than the first table's bits, from `code` on. */
function makeSecondTables(table: usize, tableBits: u32, longest: u32, code: u32, next: usize, meanings: usize): void {
  const prefixMask: u32 = (1 << tableBits) - 1;
  let prefix: u32 = 0xffffffff;
  let start: u32 = 0;
  let end: u32 = 1 << tableBits;
  for (let length = tableBits + 1; length <= longest; length++) {
    const ones: u32 = (1 << length) - 1;
    const rest = length - tableBits;
    for (let count = load<u32>(COUNTS + ((<usize>length) << 2)); count > 0; count--) {
      if ((code & prefixMask) != prefix) {
        prefix = code & prefixMask;
        start = end;
        // As long as the codes with this prefix do not fill it, it holds longer ones.
        let bits = rest;
        let filled = count;
        while (filled < <u32>(1 << bits)) {
          bits += 1;
          filled = (filled << 1) + load<u32>(COUNTS + ((<usize>(tableBits + bits)) << 2));
        }
        end = start + (1 << bits);
        store<u32>(table + ((<usize>prefix) << 2), SPECIAL | LINK | (start << 16) | (bits << 8) | tableBits);
      }
      const entry = load<u32>(meanings + ((<usize>load<u16>(next)) << 2)) + rest * 0x101;
      for (let place = start + (code >> tableBits); place < end; place += 1 << rest) {
        store<u32>(table + ((<usize>place) << 2), entry);
      }
      next += 2;
      code = following(code, ones);
    }
  }
}

/** The code after this one, of as many bits as there are `ones`. */
function following(code: u32, ones: u32): u32 {
  const zeros = code ^ ones;
  // After the last code of all there is none.
  if (zeros == 0) return code;
  const bit = (<u32>1) << (31 - clz(zeros));
  return (code & (bit - 1)) | bit;
}

/** @param bytes - 4 or 8 or a multiple of 16 */
function copyEntries(target: usize, source: usize, bytes: usize): void {
  if (bytes < 16) {
    store<u64>(target, load<u64>(source));
    return;
  }
  for (let done: usize = 0; done < bytes; done += 16) v128.store(target + done, v128.load(source + done));
}

/** Decodes the symbols of a block up to its end. */
function decodeBlock(literals: usize, literalBits: u32, distances: usize, distanceBits: u32): i32 {
  const literalMask: u64 = (1 << literalBits) - 1;
  const distanceMask: u64 = (1 << distanceBits) - 1;
  const lastInput = inputEnd + 8;
  // The end of a block may follow when there is no more room; if more is to come, it comes with that.
  const lastOutput = goesOn ? outputEnd - 1 : outputEnd;
  const start = outputStart;
  let at = input;
  let out = output;
  let buffer = bitBuffer;
  let bits = bitCount;
  let problem: i32 = INTERRUPTED;

  // Each round begins with 56 bits and the entry that they begin with.
  buffer |= load<u64>(at) << bits;
  at += 7 - ((bits >> 3) & 7);
  bits |= 56;
  let entry = load<u32>(literals + ((<usize>(buffer & literalMask)) << 2));
  while (at <= lastInput && out <= lastOutput) {
    let before = buffer;
    buffer >>= entry;
    bits -= entry;
    // Three literals and a length take 50 bits at most: what a second table decides is no literal of these.
    if (entry & LITERAL) {
      store<u8>(out, entry >> 16);
      out += 1;
      entry = load<u32>(literals + ((<usize>(buffer & literalMask)) << 2));
      before = buffer;
      buffer >>= entry;
      bits -= entry;
      if (entry & LITERAL) {
        store<u8>(out, entry >> 16);
        out += 1;
        entry = load<u32>(literals + ((<usize>(buffer & literalMask)) << 2));
        before = buffer;
        buffer >>= entry;
        bits -= entry;
        if (entry & LITERAL) {
          store<u8>(out, entry >> 16);
          out += 1;
          buffer |= load<u64>(at) << bits;
          at += 7 - ((bits >> 3) & 7);
          bits |= 56;
          entry = load<u32>(literals + ((<usize>(buffer & literalMask)) << 2));
          continue;
        }
      }
    }
    if (entry & SPECIAL) {
      if (entry & LINK) {
        const secondMask = ((<u64>1) << ((entry >> 8) & 15)) - 1;
        entry = load<u32>(literals + ((<usize>((entry >> 16) + (buffer & secondMask))) << 2));
        before = buffer;
        buffer >>= entry;
        bits -= entry;
        if (entry & LITERAL) {
          store<u8>(out, entry >> 16);
          out += 1;
          buffer |= load<u64>(at) << bits;
          at += 7 - ((bits >> 3) & 7);
          bits |= 56;
          entry = load<u32>(literals + ((<usize>(buffer & literalMask)) << 2));
          continue;
        }
      }
      if (entry & SPECIAL) {
        problem = entry >> 16 == 0 ? 0 : BAD_CODE;
        break;
      }
    }
    const length = (entry >> 16) + <u32>((before & (((<u64>1) << entry) - 1)) >> (entry >> 8));

    buffer |= load<u64>(at) << bits;
    at += 7 - ((bits >> 3) & 7);
    bits |= 56;
    entry = load<u32>(distances + ((<usize>(buffer & distanceMask)) << 2));
    if (entry & SPECIAL) {
      if (entry & LINK) {
        buffer >>= entry;
        bits -= entry;
        const secondMask = ((<u64>1) << ((entry >> 8) & 15)) - 1;
        entry = load<u32>(distances + ((<usize>((entry >> 16) + (buffer & secondMask))) << 2));
      }
      if (entry & SPECIAL) {
        bits -= entry;
        problem = BAD_CODE;
        break;
      }
    }
    before = buffer;
    buffer >>= entry;
    bits -= entry;
    const distance = <usize>(entry >> 16) + <usize>((before & (((<u64>1) << entry) - 1)) >> (entry >> 8));
    if (distance > out - start) {
      problem = BAD_DISTANCE;
      break;
    }

    // The next entry is on its way while the match is copied.
    buffer |= load<u64>(at) << bits;
    at += 7 - ((bits >> 3) & 7);
    bits |= 56;
    entry = load<u32>(literals + ((<usize>(buffer & literalMask)) << 2));
    let source = out - distance;
    const end = out + length;
    if (distance >= 16) {
      // Nearly all matches end within these; whether within the first would be guessed wrong too often.
      v128.store(out, v128.load(source));
      v128.store(out, v128.load(source, 16), 16);
      if (length > 32) {
        source += 32;
        out += 32;
        do {
          v128.store(out, v128.load(source));
          source += 16;
          out += 16;
        } while (out < end);
      }
    } else if (distance >= 8) {
      do {
        store<u64>(out, load<u64>(source));
        source += 8;
        out += 8;
      } while (out < end);
    } else if (distance == 1) {
      const repeated = v128.splat<u8>(load<u8>(source));
      do {
        v128.store(out, repeated);
        out += 16;
      } while (out < end);
    } else {
      // As many bytes of each word are right as the distance is long; the next word brings the others.
      do {
        store<u64>(out, load<u64>(source));
        source += distance;
        out += distance;
      } while (out < end);
    }
    out = end;
  }

  input = at;
  output = out;
  bitBuffer = buffer;
  bitCount = bits;
  return problem;
}

/** Fills what depends on the format alone. */
function prepare(): void {
  for (let symbol: u32 = 0; symbol < SYMBOL_END_OF_BLOCK; symbol++) {
    store<u32>(LITERAL_MEANINGS + ((<usize>symbol) << 2), LITERAL | (symbol << 16));
  }
  store<u32>(LITERAL_MEANINGS + ((<usize>SYMBOL_END_OF_BLOCK) << 2), END_OF_BLOCK);
  // Lengths 3 to 10 have a symbol each; after that, four symbols share each number of extra bits.
  let base: u32 = 3;
  for (let symbol: u32 = FIRST_LENGTH_SYMBOL; symbol < MAX_LITERAL_SYMBOLS; symbol++) {
    const nth = symbol - FIRST_LENGTH_SYMBOL;
    const extraBits = nth < 8 ? 0 : (nth >> 2) - 1;
    store<u32>(LITERAL_MEANINGS + ((<usize>symbol) << 2), (base << 16) | extraBits);
    base += 1 << extraBits;
  }
  // The last one is the exception.
  store<u32>(LITERAL_MEANINGS + ((<usize>(MAX_LITERAL_SYMBOLS - 1)) << 2), 258 << 16);
  base = 1;
  for (let symbol: u32 = 0; symbol < MAX_DISTANCE_SYMBOLS; symbol++) {
    const extraBits = symbol < 4 ? 0 : (symbol >> 1) - 1;
    store<u32>(DISTANCE_MEANINGS + ((<usize>symbol) << 2), (base << 16) | extraBits);
    base += 1 << extraBits;
  }
  for (let symbol = MAX_LITERAL_SYMBOLS; symbol < LITERAL_SYMBOLS; symbol++) {
    store<u32>(LITERAL_MEANINGS + ((<usize>symbol) << 2), NO_CODE);
  }
  for (let symbol = MAX_DISTANCE_SYMBOLS; symbol < DISTANCE_SYMBOLS; symbol++) {
    store<u32>(DISTANCE_MEANINGS + ((<usize>symbol) << 2), NO_CODE);
  }
  for (let symbol: u32 = 0; symbol < LENGTH_CODE_SYMBOLS; symbol++) {
    store<u32>(LENGTH_CODE_MEANINGS + ((<usize>symbol) << 2), symbol << 16);
  }
  // 16, 17, 18, 0, then outward from 8: 8, 7, 9, 6, 10 and so on.
  store<u32>(LENGTH_CODE_ORDER, 0x00121110);
  store<u8>(LENGTH_CODE_ORDER, 8, 4);
  for (let step: u32 = 1; step < 8; step++) {
    store<u8>(LENGTH_CODE_ORDER + 3 + 2 * step, 8 - step);
    store<u8>(LENGTH_CODE_ORDER + 4 + 2 * step, 8 + step);
  }
  memory.fill(LENGTHS, 8, 144);
  memory.fill(LENGTHS + 144, 9, 112);
  memory.fill(LENGTHS + 256, 7, 24);
  memory.fill(LENGTHS + 280, 8, 8);
  makeTable(LENGTHS, LITERAL_SYMBOLS, LITERAL_MEANINGS, FIXED_LITERAL_TABLE, 9, true);
  memory.fill(LENGTHS, 5, 32);
  makeTable(LENGTHS, DISTANCE_SYMBOLS, DISTANCE_MEANINGS, FIXED_DISTANCE_TABLE, 5, true);
}
