/*
 * Raw DEFLATE (RFC 1951), compiled by AssemblyScript. Memory from 0 to `WORK_BYTES` belongs to this module, all above it to the caller.
 *
 * Matches are searched for in one table that knows, for each hash of four bytes, where those were seen last. Two neighbouring places are looked
 * at in one go, and the longer match wins: the comparisons are done with vectors and without branches, since what costs most on data like this
 * is a processor that has guessed wrong. Where nothing is found for long, the steps become longer, so that data that does not shrink is passed
 * over quickly.
 *
 * What was found is kept as sequences, each some literals and the match after them, until a block is full. Then the codes are made, and the block
 * is written in the shortest of the three forms.
 *
 * The table holds positions that go on from one input to the next, so that it need not be cleared for each of many short ones: whatever stems from
 * an earlier input is too far away to be seen.
 */

/** Bits of the hash. A larger table would find little more, and fall out of the processor's nearer caches. */
const HASH_BITS: u32 = 14;
const HASH_FACTOR: u32 = 0x9e3779b1;
const MIN_MATCH: u32 = 4;
const MAX_MATCH: usize = 258;
const MAX_DISTANCE: u32 = 32768;
/** As many bytes are compared at once. */
const VECTOR_BYTES: u32 = 16;
/** Nearer to the end no match begins: two places are looked at. */
const TAIL_BYTES: usize = 4;
/** Each time that so many pairs were looked at in vain, the step grows by one. */
const PATIENCE_BITS: u32 = 6;

/** A block ends with so many sequences, or when it has become so long: what comes later may have other frequencies. */
const BLOCK_SEQUENCES: usize = 1 << 14;
const BLOCK_BYTES: usize = 400000;
const MAX_STORED_BYTES: usize = 65535;

/** Four codes of this length fit into the bit buffer besides an incomplete byte. RFC 1951 would allow for 15. */
const MAX_LITERAL_BITS: u32 = 14;
const MAX_DISTANCE_BITS: u32 = 15;
const MAX_LENGTH_CODE_BITS: u32 = 7;

const LITERAL_SYMBOLS: u32 = 286;
const DISTANCE_SYMBOLS: u32 = 30;
const LENGTH_CODE_SYMBOLS: u32 = 19;
const END_OF_BLOCK: u32 = 256;
const FIRST_LENGTH_SYMBOL: u32 = 257;
const LENGTH_SYMBOLS: u32 = 29;

/* Types of blocks, with room for the bit that marks the last one. */
const STORED: u64 = 0;
const FIXED: u64 = 2;
const DYNAMIC: u64 = 4;

/*
 * Where things lie. A code is a word: its length in bits in the lowest 8, above them the code as it is written, lowest bit first. Since shifts look
 * at the lowest six bits of their operand only, a sum of such words shifts as the sum of their lengths does.
 */
const TABLE: usize = 0;
const SEQUENCES: usize = TABLE + (4 << HASH_BITS);
/** How often each symbol occurs. */
const LITERAL_COUNTS: usize = SEQUENCES + 8 * (BLOCK_SEQUENCES + 1);
const DISTANCE_COUNTS: usize = LITERAL_COUNTS + 4 * 288;
const LENGTH_CODE_COUNTS: usize = DISTANCE_COUNTS + 4 * 32;
const LITERAL_CODES: usize = LENGTH_CODE_COUNTS + 4 * 32;
const DISTANCE_CODES: usize = LITERAL_CODES + 4 * 288;
/** A code for each length of a match, with its extra bits. */
const MATCH_CODES: usize = DISTANCE_CODES + 4 * 32;
const LENGTH_CODES: usize = MATCH_CODES + 4 * 272;
/** The fixed codes, in the order of those above. */
const FIXED_CODES: usize = LENGTH_CODES + 4 * 32;
const CODES_BYTES: usize = LENGTH_CODES - LITERAL_CODES;
/** Symbols that occur, ascending, as 16-bit words. */
const USED_LITERALS: usize = FIXED_CODES + CODES_BYTES;
const USED_DISTANCES: usize = USED_LITERALS + 2 * 288;
const USED_LENGTH_CODES: usize = USED_DISTANCES + 2 * 32;
/** Lengths of codes as they are sent, as 16-bit words: the symbol in the lowest 5 bits, its extra bits above. */
const SENT: usize = USED_LENGTH_CODES + 2 * 32;
/** Symbols in the order of their counts: count above, symbol in the lowest 9 bits. */
const SORTED: usize = SENT + 2 * 336;
const SORTED_BEFORE: usize = SORTED + 4 * 288;
/** Inner nodes of a tree in the making: what they count, which node they hang on, how deep. */
const NODE_COUNTS: usize = SORTED_BEFORE + 4 * 288;
const NODE_PARENTS: usize = NODE_COUNTS + 4 * 288;
const NODE_DEPTHS: usize = NODE_PARENTS + 4 * 296;
const NODES_AT_DEPTH: usize = NODE_DEPTHS + 4 * 288;
const CODES_OF_LENGTH: usize = NODES_AT_DEPTH + 4 * 64;
const NEXT_CODE: usize = CODES_OF_LENGTH + 4 * 64;
const DIGITS: usize = NEXT_CODE + 4 * 64;
/** Symbol of each length of a match, counted from the first. */
const MATCH_SYMBOLS: usize = DIGITS + 4 * 64;
/** For each of these symbols the shortest length, and how many extra bits. */
const SYMBOL_LENGTHS: usize = MATCH_SYMBOLS + 272;
const SYMBOL_BITS: usize = SYMBOL_LENGTHS + 2 * 32;
/** Order in which the lengths of the code for lengths are sent. */
const LENGTH_CODE_ORDER: usize = SYMBOL_BITS + 32;
const WORK_END: usize = LENGTH_CODE_ORDER + 32;

/** Where the caller's memory begins. */
export const WORK_BYTES: i32 = ((<i32>WORK_END + 63) / 64) * 64;
/** Bytes that may be read behind the end of the input. */
export const INPUT_SLACK: i32 = 64;
/** Longest input; the counts of a longer one could be too large. */
export const MAX_INPUT_BYTES: i32 = 4 << 20;

/** Position of the first byte of the next input, as the table counts. Position 0 is too far away from it. Exported for a test of its end. */
export let nextPosition: u32 = 2 * MAX_DISTANCE;

// Where the output goes on: bits that make no whole byte yet, lowest first, and how many.
let output: usize = 0;
let bitBuffer: u64 = 0;
let bitCount: u64 = 0;

/** How many bits the symbols come to with the code that was made last. */
let codedBits: u32 = 0;

prepare();

/**
 * Compresses an input. If `isOpen` is not 0, the last block is not marked as such, and an empty stored block brings the end onto a whole byte.
 *
 * The output is never longer than the input in stored blocks, but up to 8 bytes behind it may be overwritten.
 *
 * @returns how many bytes were written
 */
export function deflate(from: usize, to: usize, target: usize, isOpen: i32): i32 {
  output = target;
  bitBuffer = 0;
  bitCount = 0;
  if (from < to || !isOpen) compress(from, to, !isOpen);
  if (isOpen) putStoredHeader(STORED, 0);
  else flushBits();
  return <i32>(output - target);
}

function compress(from: usize, to: usize, isLast: bool): void {
  const length = <u32>(to - from);
  if (nextPosition > 0xf0000000) forget();
  // What makes a position of an address.
  const shift = nextPosition - <u32>from;
  nextPosition += length + MAX_DISTANCE + 1;

  const searchEnd = to - from > TAIL_BYTES ? to - TAIL_BYTES : from;
  let at = from;
  let literals = from;
  let blockStart = from;
  let sequence = SEQUENCES;
  let misses: u32 = 0;
  clearCounts();
  while (at < searchEnd) {
    const bytes = load<u64>(at);
    const position = <u32>at + shift;
    const distance0 = position - replace(<u32>bytes, position);
    const distance1 = position + 1 - replace(<u32>(bytes >> 8), position + 1);
    let length0 = matching(at, distance0);
    let length1 = matching(at + 1, distance1);
    if (max(length0, length1) < MIN_MATCH) {
      count(LITERAL_COUNTS, <u32>bytes & 255);
      count(LITERAL_COUNTS, (<u32>bytes >> 8) & 255);
      at += 2;
      misses++;
      const stepEnd = min(at + <usize>(misses >> PATIENCE_BITS), searchEnd);
      while (at < stepEnd) count(LITERAL_COUNTS, load<u8>(at++));
      continue;
    }
    misses = 0;
    if (at + <usize>VECTOR_BYTES + 1 > to) {
      // What is behind the end must not decide anything.
      length0 = min(length0, <u32>(to - at));
      length1 = min(length1, <u32>(to - at) - 1);
    }
    const isSecond = length1 > length0;
    const first = LITERAL_COUNTS + 4 * <usize>(<u32>bytes & 255);
    store<u32>(first, load<u32>(first) + <u32>isSecond);
    at += <usize>isSecond;
    const distance = isSecond ? distance1 : distance0;
    let matched = <usize>(isSecond ? length1 : length0);
    if (matched == <usize>VECTOR_BYTES) matched = prolonged(at, distance, min(at + MAX_MATCH, to)) - at;
    const matchEnd = at + matched;

    // What precedes may match, too: it was not in the table, or was stepped over.
    const same = <usize>clz(load<u64>(at - 8) ^ load<u64>(at - 8 - <usize>distance)) >> 3;
    const atMost = min(min(at - literals, at - <usize>distance - from), MAX_MATCH - matched);
    for (let back = min(same, atMost); back > 0; back--) {
      at--;
      discount(LITERAL_COUNTS, load<u8>(at));
    }

    // Symbol and extra bits of the distance.
    const farther = distance - 1;
    const digits = 31 - clz(farther | 2);
    const extraBits = digits - 1;
    const symbol = 2 * digits + ((farther >> extraBits) & 1) - 2 * <u32>(farther < 2);
    const extra = farther & ((1 << extraBits) - 1);
    matched = matchEnd - at;
    count(LITERAL_COUNTS, FIRST_LENGTH_SYMBOL + load<u8>(MATCH_SYMBOLS + matched));
    count(DISTANCE_COUNTS, symbol);
    const match = <u32>matched | (symbol << 9) | (extraBits << 14) | (extra << 18);
    store<u64>(sequence, <u64>match | ((<u64>(at - literals)) << 32));
    sequence += 8;

    // Two places within the match stand for all of them.
    if (matchEnd < searchEnd) {
      remember(at + 3, shift);
      remember(matchEnd - 1, shift);
    }
    at = matchEnd;
    literals = matchEnd;
    if (sequence == SEQUENCES + 8 * BLOCK_SEQUENCES || at - blockStart >= BLOCK_BYTES) {
      writeBlock(blockStart, at, sequence, false);
      blockStart = at;
      sequence = SEQUENCES;
      clearCounts();
    }
  }
  while (at < to) count(LITERAL_COUNTS, load<u8>(at++));
  // With a match up to its very end the input has ended with the block before, but something has to be marked as the last.
  if (blockStart < to || isLast) writeBlock(blockStart, to, sequence, isLast);
}

function slotOf(fourBytes: u32): usize {
  return TABLE + 4 * <usize>((fourBytes * HASH_FACTOR) >> (32 - HASH_BITS));
}

/** Where such bytes were seen last; from now on they were seen here. */
function replace(fourBytes: u32, position: u32): u32 {
  const slot = slotOf(fourBytes);
  const before = load<u32>(slot);
  store<u32>(slot, position);
  return before;
}

function remember(at: usize, shift: u32): void {
  store<u32>(slotOf(load<u32>(at)), <u32>at + shift);
}

/** How many bytes are the same so far back, at most 16. 0 if that is too far, in which case it does not matter what is compared. */
function matching(at: usize, distance: u32): u32 {
  const before = v128.load(at - <usize>min(distance, MAX_DISTANCE));
  const different = ~(<u32>i8x16.bitmask(i8x16.eq(v128.load(at), before)));
  return ctz(different) & -(<u32>(distance <= MAX_DISTANCE));
}

/** Where a match ends that goes on behind its first 16 bytes. */
function prolonged(at: usize, distance: u32, end: usize): usize {
  let a = at + <usize>VECTOR_BYTES;
  while (a + 8 <= end) {
    const different = load<u64>(a) ^ load<u64>(a - <usize>distance);
    if (different != 0) return a + (<usize>ctz(different) >> 3);
    a += 8;
  }
  while (a < end && load<u8>(a) == load<u8>(a - <usize>distance)) a++;
  return a;
}

function count(counts: usize, symbol: u32): void {
  const place = counts + 4 * <usize>symbol;
  store<u32>(place, load<u32>(place) + 1);
}

function discount(counts: usize, symbol: u32): void {
  const place = counts + 4 * <usize>symbol;
  store<u32>(place, load<u32>(place) - 1);
}

/** Of literals and distances. */
function clearCounts(): void {
  memory.fill(LITERAL_COUNTS, 0, LENGTH_CODE_COUNTS - LITERAL_COUNTS);
}

/** The positions have become too large to go on. */
function forget(): void {
  memory.fill(TABLE, 0, 4 << HASH_BITS);
  nextPosition = 2 * MAX_DISTANCE;
}

/** Writes what the counts and sequences say, in the shortest form. */
function writeBlock(from: usize, to: usize, sequencesEnd: usize, isLast: bool): void {
  store<u32>(LITERAL_COUNTS + 4 * END_OF_BLOCK, 1);
  const literals = makeCode(LITERAL_COUNTS, LITERAL_SYMBOLS, MAX_LITERAL_BITS, USED_LITERALS, LITERAL_CODES);
  let dynamicBits = codedBits;
  const distances = makeCode(DISTANCE_COUNTS, DISTANCE_SYMBOLS, MAX_DISTANCE_BITS, USED_DISTANCES, DISTANCE_CODES);
  dynamicBits += codedBits;
  const sentEnd = describeCodes(literals, distances);
  // Those of symbols that do not occur are sent as 0.
  memory.fill(LENGTH_CODES, 0, 4 * LENGTH_CODE_SYMBOLS);
  makeCode(LENGTH_CODE_COUNTS, LENGTH_CODE_SYMBOLS, MAX_LENGTH_CODE_BITS, USED_LENGTH_CODES, LENGTH_CODES);
  let lengthCodesSent = LENGTH_CODE_SYMBOLS;
  while (lengthCodeAt(lengthCodesSent - 1) == 0) lengthCodesSent--;
  dynamicBits += 14 + 3 * lengthCodesSent + codedBits;
  dynamicBits += 2 * load<u32>(LENGTH_CODE_COUNTS + 4 * 16);
  dynamicBits += 3 * load<u32>(LENGTH_CODE_COUNTS + 4 * 17);
  dynamicBits += 7 * load<u32>(LENGTH_CODE_COUNTS + 4 * 18);
  const fixedBits = fixedCodedBits(literals, distances);
  const extraBits = extraCodedBits(literals, distances);
  const pieces = max((to - from + MAX_STORED_BYTES - 1) / MAX_STORED_BYTES, 1);
  const storedBits = <u32>(to - from + 5 * pieces) * 8;

  if (storedBits <= min(dynamicBits, fixedBits) + extraBits) {
    writeStored(from, to, isLast);
    return;
  }
  if (fixedBits <= dynamicBits) {
    putBits(FIXED | <u64>isLast, 3);
    memory.copy(LITERAL_CODES, FIXED_CODES, CODES_BYTES);
  } else {
    putBits(DYNAMIC | <u64>isLast, 3);
    putBits(<u64>(lastOf(USED_LITERALS, literals) - 256), 5);
    putBits(<u64>lastOf(USED_DISTANCES, distances), 5);
    putBits(<u64>(lengthCodesSent - 4), 4);
    writeCodes(lengthCodesSent, sentEnd);
    makeMatchCodes(literals);
  }
  writeSequences(from, to, sequencesEnd);
}

function writeStored(from: usize, to: usize, isLast: bool): void {
  do {
    const bytes = min(to - from, MAX_STORED_BYTES);
    const isEnd = from + bytes == to;
    putStoredHeader(STORED | <u64>(isLast && isEnd), <u32>bytes);
    memory.copy(output, from, bytes);
    output += bytes;
    from += bytes;
  } while (from < to);
}

/** Begins a stored block, on a whole byte after the three bits of its type. */
function putStoredHeader(type: u64, bytes: u32): void {
  putBits(type, 3);
  flushBits();
  store<u32>(output, bytes | (~bytes << 16));
  output += 4;
}

function putBits(value: u64, bits: u64): void {
  bitBuffer |= value << bitCount;
  bitCount += bits;
  store<u64>(output, bitBuffer);
  output += <usize>(bitCount >> 3);
  bitBuffer >>= bitCount & 56;
  bitCount &= 7;
}

/** Fills up the last byte. */
function flushBits(): void {
  store<u8>(output, <u8>bitBuffer);
  output += <usize>(bitCount > 0);
  bitBuffer = 0;
  bitCount = 0;
}

function writeSequences(from: usize, to: usize, sequencesEnd: usize): void {
  let target = output;
  let buffer = bitBuffer;
  let bits = bitCount;
  let at = from;
  let sequence = SEQUENCES;
  for (;;) {
    let match: u32 = 0;
    let literalsEnd = to;
    if (sequence < sequencesEnd) {
      const both = load<u64>(sequence);
      match = <u32>both;
      literalsEnd = at + <usize>(both >> 32);
    }
    for (; at + 4 <= literalsEnd; at += 4) {
      const bytes = load<u32>(at);
      const code0 = <u64>codeOf(LITERAL_CODES, bytes & 255);
      const code1 = <u64>codeOf(LITERAL_CODES, (bytes >> 8) & 255);
      const code2 = <u64>codeOf(LITERAL_CODES, (bytes >> 16) & 255);
      const code3 = <u64>codeOf(LITERAL_CODES, bytes >> 24);
      buffer |= (code0 >> 8) << bits;
      bits += code0;
      buffer |= (code1 >> 8) << bits;
      bits += code1;
      buffer |= (code2 >> 8) << bits;
      bits += code2;
      buffer |= (code3 >> 8) << bits;
      bits += code3;
      store<u64>(target, buffer);
      target += <usize>((bits >> 3) & 7);
      buffer >>= bits & 56;
      bits &= 7;
    }
    // Three at most are left. A branch for each would be guessed wrong too often, so what is not there is written with no bits.
    const left = <i32>(literalsEnd - at);
    const bytes = load<u32>(at);
    const code0 = <u64>(codeOf(LITERAL_CODES, bytes & 255) & -(<u32>(left > 0)));
    const code1 = <u64>(codeOf(LITERAL_CODES, (bytes >> 8) & 255) & -(<u32>(left > 1)));
    const code2 = <u64>(codeOf(LITERAL_CODES, (bytes >> 16) & 255) & -(<u32>(left > 2)));
    buffer |= (code0 >> 8) << bits;
    bits += code0;
    buffer |= (code1 >> 8) << bits;
    bits += code1;
    buffer |= (code2 >> 8) << bits;
    bits += code2;
    store<u64>(target, buffer);
    target += <usize>((bits >> 3) & 7);
    buffer >>= bits & 56;
    bits &= 7;
    if (match == 0) break;

    const length = match & 511;
    const lengthCode = <u64>codeOf(MATCH_CODES, length);
    const distanceCode = <u64>codeOf(DISTANCE_CODES, (match >> 9) & 31);
    buffer |= (lengthCode >> 8) << bits;
    bits += lengthCode;
    buffer |= (distanceCode >> 8) << bits;
    bits += distanceCode;
    buffer |= (<u64>(match >> 18)) << bits;
    bits += <u64>((match >> 14) & 15);
    store<u64>(target, buffer);
    target += <usize>((bits >> 3) & 7);
    buffer >>= bits & 56;
    bits &= 7;
    at = literalsEnd + <usize>length;
    sequence += 8;
  }
  output = target;
  bitBuffer = buffer;
  bitCount = bits;
  const end = codeOf(LITERAL_CODES, END_OF_BLOCK);
  putBits(<u64>(end >> 8), <u64>(end & 255));
}

function codeOf(codes: usize, symbol: u32): u32 {
  return load<u32>(codes + 4 * <usize>symbol);
}

/**
 * Makes the best code for how often symbols occur. There are at least two symbols in it, so that it is complete.
 *
 * @returns how many symbols have a code
 */
function makeCode(counts: usize, symbols: u32, maxBits: u32, used: usize, codes: usize): u32 {
  const size = sortByCount(counts, symbols, used);
  findLengths(size, maxBits);

  // The rarest symbols get the longest codes.
  let place = SORTED;
  for (let length = maxBits; length > 0; length--) {
    for (let left = load<u32>(CODES_OF_LENGTH + 4 * length); left > 0; left--) {
      store<u32>(codes + 4 * <usize>(load<u32>(place) & 511), length);
      place += 4;
    }
  }
  let code: u32 = 0;
  for (let length: u32 = 1; length <= maxBits; length++) {
    store<u32>(NEXT_CODE + 4 * length, code);
    code = (code + load<u32>(CODES_OF_LENGTH + 4 * length)) << 1;
  }
  codedBits = 0;
  for (let nth: u32 = 0; nth < size; nth++) {
    const symbol = usedSymbol(used, nth);
    const length = load<u32>(codes + 4 * symbol);
    const next = load<u32>(NEXT_CODE + 4 * length);
    store<u32>(NEXT_CODE + 4 * length, next + 1);
    store<u32>(codes + 4 * symbol, makeWord(next, length));
    codedBits += load<u32>(counts + 4 * symbol) * length;
  }
  return size;
}

function usedSymbol(used: usize, nth: u32): u32 {
  return load<u16>(used + 2 * <usize>nth);
}

function lastOf(used: usize, size: u32): u32 {
  return usedSymbol(used, size - 1);
}

/** A code as it is kept: with its highest bit first, which is the order in which it has to be written. */
function makeWord(code: u32, length: u32): u32 {
  let bits = ((code & 0x5555) << 1) | ((code >> 1) & 0x5555);
  bits = ((bits & 0x3333) << 2) | ((bits >> 2) & 0x3333);
  bits = ((bits & 0x0f0f) << 4) | ((bits >> 4) & 0x0f0f);
  bits = ((bits & 0x00ff) << 8) | (bits >> 8);
  return ((bits >> (16 - length)) << 8) | length;
}

/** Lists the symbols that occur, and sorts them by how often they do, six bits at a time. */
function sortByCount(counts: usize, symbols: u32, used: usize): u32 {
  let size: u32 = 0;
  let largest: u32 = 0;
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    // Most of four neighbours never occur.
    if ((symbol & 3) == 0 && !v128.any_true(v128.load(counts + 4 * symbol))) {
      symbol += 3;
      continue;
    }
    const often = load<u32>(counts + 4 * symbol);
    store<u16>(used + 2 * size, <u16>symbol);
    store<u32>(SORTED + 4 * size, (often << 9) | symbol);
    size += <u32>(often > 0);
    largest = max(largest, often);
  }
  if (size < 2) {
    const only = size == 1 ? usedSymbol(used, 0) : 1;
    const other: u32 = only == 0 ? 1 : 0;
    store<u16>(used, <u16>min(only, other));
    store<u16>(used + 2, <u16>max(only, other));
    store<u32>(SORTED, other);
    store<u32>(SORTED + 4, (largest << 9) | only);
    return 2;
  }
  for (let low: u32 = 9; largest > 0; low += 6, largest >>= 6) {
    memory.fill(DIGITS, 0, 4 * 64);
    memory.copy(SORTED_BEFORE, SORTED, 4 * size);
    for (let nth: u32 = 0; nth < size; nth++) count(DIGITS, (load<u32>(SORTED_BEFORE + 4 * nth) >> low) & 63);
    let start: u32 = 0;
    for (let digit: u32 = 0; digit < 64; digit++) {
      const there = load<u32>(DIGITS + 4 * digit);
      store<u32>(DIGITS + 4 * digit, start);
      start += there;
    }
    for (let nth: u32 = 0; nth < size; nth++) {
      const entry = load<u32>(SORTED_BEFORE + 4 * nth);
      const place = DIGITS + 4 * ((entry >> low) & 63);
      const to = load<u32>(place);
      store<u32>(place, to + 1);
      store<u32>(SORTED + 4 * to, entry);
    }
  }
  return size;
}

/**
 * How many codes have each length. The two rarest trees are joined again and again; since leaves come sorted and joined trees become ever
 * larger, both wait in a queue each. How deep the inner nodes are tells how many leaves there are at each depth.
 */
function findLengths(size: u32, maxBits: u32): void {
  let leaf: u32 = 0;
  let root: u32 = 0;
  store<u32>(NODE_COUNTS, 0xffffffff);
  store<u32>(SORTED + 4 * size, 0xffffffff);
  for (let node: u32 = 0; node < size - 1; node++) {
    let sum: u32 = 0;
    for (let child = 0; child < 2; child++) {
      const ofLeaf = load<u32>(SORTED + 4 * leaf) >> 9;
      const ofRoot = load<u32>(NODE_COUNTS + 4 * root);
      const isLeaf = ofLeaf <= ofRoot && leaf < size;
      sum += isLeaf ? ofLeaf : ofRoot;
      store<u32>(NODE_PARENTS + 4 * (isLeaf ? size : root), node);
      leaf += <u32>isLeaf;
      root += <u32>!isLeaf;
    }
    store<u32>(NODE_COUNTS + 4 * node, sum);
    store<u32>(NODE_COUNTS + 4 * (node + 1), 0xffffffff);
  }

  memory.fill(NODES_AT_DEPTH, 0, 4 * 64);
  memory.fill(CODES_OF_LENGTH, 0, 4 * 64);
  let deepest: u32 = 0;
  store<u32>(NODE_DEPTHS + 4 * (size - 2), 0);
  store<u32>(NODES_AT_DEPTH, 1);
  for (let node = <i32>size - 3; node >= 0; node--) {
    const depth = load<u32>(NODE_DEPTHS + 4 * load<u32>(NODE_PARENTS + 4 * node)) + 1;
    store<u32>(NODE_DEPTHS + 4 * node, depth);
    count(NODES_AT_DEPTH, depth);
    deepest = max(deepest, depth);
  }
  for (let length: u32 = 1; length <= deepest + 1; length++) {
    const places = 2 * load<u32>(NODES_AT_DEPTH + 4 * (length - 1));
    const leaves = places - load<u32>(NODES_AT_DEPTH + 4 * length);
    const kept = CODES_OF_LENGTH + 4 * min(length, maxBits);
    store<u32>(kept, load<u32>(kept) + leaves);
  }
  if (deepest + 1 > maxBits) shorten(maxBits);
}

/** Codes that were too long have been shortened. Others become longer, until there is room for all. */
function shorten(maxBits: u32): void {
  let taken: u32 = 0;
  for (let length: u32 = 1; length <= maxBits; length++) {
    taken += load<u32>(CODES_OF_LENGTH + 4 * length) << (maxBits - length);
  }
  for (const room: u32 = 1 << maxBits; taken > room; taken--) {
    // A leaf becomes a node, under which it stands beside one of the longest.
    let length = maxBits - 1;
    while (load<u32>(CODES_OF_LENGTH + 4 * length) == 0) length--;
    discount(CODES_OF_LENGTH, length);
    discount(CODES_OF_LENGTH, maxBits);
    count(CODES_OF_LENGTH, length + 1);
    count(CODES_OF_LENGTH, length + 1);
  }
}

/** Lists the lengths of both codes as they are sent, and counts what is in the list. */
function describeCodes(literals: u32, distances: u32): usize {
  memory.fill(LENGTH_CODE_COUNTS, 0, 4 * LENGTH_CODE_SYMBOLS);
  let sent = SENT;
  let runLength: u32 = 0;
  let run: u32 = 0;
  let next: u32 = 0;
  for (let nth: u32 = 0; nth < literals + distances; nth++) {
    const isLiteral = nth < literals;
    const symbol = isLiteral ? usedSymbol(USED_LITERALS, nth) : usedSymbol(USED_DISTANCES, nth - literals);
    if (nth == literals) next = 0;
    const length = codeOf(isLiteral ? LITERAL_CODES : DISTANCE_CODES, symbol) & 255;
    if (symbol > next) {
      sent = sendRun(sent, runLength, run);
      // Literals end with one that has a code, so that no run of zeros goes on into the distances.
      sent = sendRun(sent, 0, symbol - next);
      run = 0;
    }
    if (length != runLength) {
      sent = sendRun(sent, runLength, run);
      run = 0;
    }
    runLength = length;
    run++;
    next = symbol + 1;
  }
  return sendRun(sent, runLength, run);
}

function sendRun(sent: usize, length: u32, run: u32): usize {
  if (length == 0) {
    while (run >= 11) {
      const some = min<u32>(run, 138);
      sent = send(sent, 18, some - 11);
      run -= some;
    }
    if (run >= 3) {
      sent = send(sent, 17, run - 3);
      run = 0;
    }
  } else if (run >= 4) {
    sent = send(sent, length, 0);
    run--;
    while (run >= 3) {
      const some = min<u32>(run, 6);
      sent = send(sent, 16, some - 3);
      run -= some;
    }
  }
  for (; run > 0; run--) sent = send(sent, length, 0);
  return sent;
}

function send(sent: usize, symbol: u32, extra: u32): usize {
  count(LENGTH_CODE_COUNTS, symbol);
  store<u16>(sent, <u16>(symbol | (extra << 5)));
  return sent + 2;
}

/** The code of the length that is sent in this place. */
function lengthCodeAt(place: u32): u32 {
  return codeOf(LENGTH_CODES, load<u8>(LENGTH_CODE_ORDER + <usize>place));
}

function writeCodes(lengthCodesSent: u32, sentEnd: usize): void {
  for (let place: u32 = 0; place < lengthCodesSent; place++) putBits(<u64>(lengthCodeAt(place) & 255), 3);
  for (let sent = SENT; sent < sentEnd; sent += 2) {
    const both = <u32>load<u16>(sent);
    const symbol = both & 31;
    const code = codeOf(LENGTH_CODES, symbol);
    const length = code & 255;
    const extraBits: u32 = symbol < 16 ? 0 : symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
    putBits(<u64>(code >> 8) | ((<u64>(both >> 5)) << (<u64>length)), <u64>(length + extraBits));
  }
}

/** What the symbols of a block come to with the fixed codes. */
function fixedCodedBits(literals: u32, distances: u32): u32 {
  let bits: u32 = 0;
  for (let nth: u32 = 0; nth < literals; nth++) {
    const symbol = usedSymbol(USED_LITERALS, nth);
    bits += load<u32>(LITERAL_COUNTS + 4 * symbol) * fixedLength(symbol);
  }
  for (let nth: u32 = 0; nth < distances; nth++) {
    bits += 5 * load<u32>(DISTANCE_COUNTS + 4 * usedSymbol(USED_DISTANCES, nth));
  }
  return bits;
}

/** What the bits that follow the codes of lengths and distances come to, whatever the codes are. */
function extraCodedBits(literals: u32, distances: u32): u32 {
  let bits: u32 = 0;
  for (let nth = literals - 1; usedSymbol(USED_LITERALS, nth) > END_OF_BLOCK; nth--) {
    const symbol = usedSymbol(USED_LITERALS, nth);
    bits += load<u32>(LITERAL_COUNTS + 4 * symbol) * <u32>load<u8>(SYMBOL_BITS + symbol - FIRST_LENGTH_SYMBOL);
  }
  for (let nth: u32 = 0; nth < distances; nth++) {
    const symbol = usedSymbol(USED_DISTANCES, nth);
    bits += load<u32>(DISTANCE_COUNTS + 4 * symbol) * (max(symbol >> 1, 1) - 1);
  }
  return bits;
}

/** Codes with extra bits for those lengths of matches that occur. The longest has a symbol for itself, which must be the last to have it. */
function makeMatchCodes(literals: u32): void {
  let nth = literals;
  while (usedSymbol(USED_LITERALS, nth - 1) > END_OF_BLOCK) nth--;
  for (; nth < literals; nth++) makeMatchCode(usedSymbol(USED_LITERALS, nth) - FIRST_LENGTH_SYMBOL);
}

function makeMatchCode(symbol: u32): void {
  const word = codeOf(LITERAL_CODES, FIRST_LENGTH_SYMBOL + symbol);
  const shortest = <u32>load<u16>(SYMBOL_LENGTHS + 2 * symbol);
  const extraBits = <u32>load<u8>(SYMBOL_BITS + symbol);
  for (let extra: u32 = 0; extra < 1 << extraBits; extra++) {
    store<u32>(MATCH_CODES + 4 * (shortest + extra), (word + extraBits) | (extra << (8 + (word & 255))));
  }
}

function fixedLength(symbol: u32): u32 {
  return symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8;
}

/** Fills what never changes. */
function prepare(): void {
  memory.grow(((WORK_BYTES + 0xffff) >> 16) - memory.size());
  // Lengths from 3 on, in groups of four symbols with equally many extra bits; the longest one has a symbol for itself.
  let length: u32 = 3;
  for (let symbol: u32 = 0; symbol < LENGTH_SYMBOLS; symbol++) {
    const isLongest = symbol == LENGTH_SYMBOLS - 1;
    const extraBits: u32 = symbol < 8 || isLongest ? 0 : (symbol >> 2) - 1;
    if (isLongest) length = <u32>MAX_MATCH;
    store<u16>(SYMBOL_LENGTHS + 2 * symbol, <u16>length);
    store<u8>(SYMBOL_BITS + symbol, <u8>extraBits);
    for (const end = length + (1 << extraBits); length < end; length++) store<u8>(MATCH_SYMBOLS + length, <u8>symbol);
  }

  for (let symbol: u32 = 0; symbol < 288; symbol++) {
    const bits = fixedLength(symbol);
    let code: u32 = 0x30 + symbol;
    if (symbol >= 144) code = 0x190 + symbol - 144;
    if (symbol >= 256) code = symbol - 256;
    if (symbol >= 280) code = 0xc0 + symbol - 280;
    store<u32>(LITERAL_CODES + 4 * symbol, makeWord(code, bits));
  }
  for (let symbol: u32 = 0; symbol < 32; symbol++) store<u32>(DISTANCE_CODES + 4 * symbol, makeWord(symbol, 5));
  for (let symbol: u32 = 0; symbol < LENGTH_SYMBOLS; symbol++) makeMatchCode(symbol);
  memory.copy(FIXED_CODES, LITERAL_CODES, CODES_BYTES);

  // 16, 17, 18, 0, then from the middle outwards.
  for (let nth: u32 = 0; nth < 4; nth++) store<u8>(LENGTH_CODE_ORDER + nth, <u8>(nth < 3 ? 16 + nth : 0));
  for (let nth: u32 = 0; nth < 8; nth++) {
    store<u8>(LENGTH_CODE_ORDER + 4 + 2 * nth, <u8>(8 + nth));
    if (nth < 7) store<u8>(LENGTH_CODE_ORDER + 5 + 2 * nth, <u8>(7 - nth));
  }
}
