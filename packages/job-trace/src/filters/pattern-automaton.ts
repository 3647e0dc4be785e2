/** Above this, a longer common length no longer makes larger steps worth their table. */
const MAX_WINDOW = 16;

/**
 * Finds many byte patterns at once in a stream, in one pass and in time that does not depend on their number.
 *
 * Two parts work together. While no pattern has begun, {@link PatternAutomaton.skip} looks at one pair of bytes per
 * window and jumps over all places where no pattern can begin (after Wu and Manber). From a place where one may begin,
 * the caller goes byte by byte through {@link PatternAutomaton.step} (after Aho and Corasick), whose state is all that
 * must be kept between two pieces of the stream.
 *
 * The states lie in flat arrays with child lists instead of one row of 256 per state: a private key among the patterns
 * would otherwise cost megabytes. State 0 is the root.
 */
export class PatternAutomaton {
  /** Bytes of the longest pattern that ends in a state; 0 when none does. */
  readonly longestMatch: Int32Array;
  /** Bytes that are held by a state: the start of some pattern. */
  readonly depth: Int32Array;
  readonly #patterns: readonly Buffer[];
  /** For each state, one of the patterns that begin with its bytes. */
  readonly #patternOf: Int32Array;
  readonly #byteOf: Uint8Array;
  readonly #firstChild: Int32Array;
  readonly #nextSibling: Int32Array;
  readonly #fallback: Int32Array;
  readonly #rootChild: Int32Array;
  /** Length of the shortest pattern, bounded. */
  readonly #window: number;
  /** For a pair of bytes at the end of the window: how far the window can move on. */
  readonly #shift: Uint8Array;

  /** @param patterns - not empty ones */
  constructor(patterns: readonly Buffer[]) {
    const capacity = 1 + patterns.reduce((sum, pattern) => sum + pattern.length, 0);
    this.#patterns = patterns;
    this.#patternOf = new Int32Array(capacity);
    this.#byteOf = new Uint8Array(capacity);
    this.#firstChild = new Int32Array(capacity);
    this.#nextSibling = new Int32Array(capacity);
    this.#fallback = new Int32Array(capacity);
    this.#rootChild = new Int32Array(256);
    this.depth = new Int32Array(capacity);
    this.longestMatch = new Int32Array(capacity);
    this.#plant();
    this.#linkFallbacks();
    this.#window = patterns.reduce((least, pattern) => Math.min(least, pattern.length), MAX_WINDOW);
    this.#shift = this.#window < 2 ? new Uint8Array() : makeShifts(patterns, this.#window);
  }

  /** The state after one more byte. */
  step(state: number, byte: number): number {
    let from = state;
    while (from !== 0) {
      const next = this.#childOf(from, byte);
      if (next !== 0) return next;
      from = this.#fallback[from] as number;
    }
    return this.#rootChild[byte] as number;
  }

  /** First index from which on a pattern may begin, in state 0; the length of the bytes when there is none. */
  skip(bytes: Buffer, from: number): number {
    const end = bytes.length;
    let at = from;
    if (this.#patterns.length === 0) return end;
    if (this.#window >= 2) {
      const shift = this.#shift;
      const last = this.#window - 1;
      const stop = end - last;
      while (at < stop) {
        const moved = shift[((bytes[at + last - 1] as number) << 8) | (bytes[at + last] as number)] as number;
        if (moved === 0) break;
        at += moved;
      }
      if (at < stop) return at;
    }
    const rootChild = this.#rootChild;
    while (at < end && rootChild[bytes[at] as number] === 0) at += 1;
    return at;
  }

  /** The bytes that led from the root to a state. */
  textOf(state: number): Buffer {
    const pattern = this.#patterns[this.#patternOf[state] as number];
    return pattern === undefined ? Buffer.alloc(0) : pattern.subarray(0, this.depth[state]);
  }

  #plant(): void {
    let count = 1;
    for (const [index, pattern] of this.#patterns.entries()) {
      let state = 0;
      for (const byte of pattern) {
        let next = state === 0 ? (this.#rootChild[byte] as number) : this.#childOf(state, byte);
        if (next === 0) {
          next = count;
          count += 1;
          this.#byteOf[next] = byte;
          this.#patternOf[next] = index;
          this.depth[next] = (this.depth[state] as number) + 1;
          this.#nextSibling[next] = this.#firstChild[state] as number;
          this.#firstChild[state] = next;
          if (state === 0) this.#rootChild[byte] = next;
        }
        state = next;
      }
      this.longestMatch[state] = pattern.length;
    }
  }

  /** Breadth first, so that the fallback of a state, which is less deep, is known before the state's children. */
  #linkFallbacks(): void {
    const queue = [0];
    for (const state of queue) {
      for (let child = this.#firstChild[state] as number; child !== 0; child = this.#nextSibling[child] as number) {
        queue.push(child);
        if (state === 0) continue;
        const fallback = this.step(this.#fallback[state] as number, this.#byteOf[child] as number);
        this.#fallback[child] = fallback;
        if (this.longestMatch[child] === 0) this.longestMatch[child] = this.longestMatch[fallback] as number;
      }
    }
  }

  #childOf(state: number, byte: number): number {
    let child = this.#firstChild[state] as number;
    while (child !== 0 && this.#byteOf[child] !== byte) child = this.#nextSibling[child] as number;
    return child;
  }
}

/** How far a window may move when it ends in a given pair: to the next place where that pair stands in a pattern. */
function makeShifts(patterns: readonly Buffer[], window: number): Uint8Array {
  const shifts = new Uint8Array(0x1_00_00).fill(window - 1);
  for (const pattern of patterns) {
    for (let at = 0; at + 1 < window; at += 1) {
      const pair = ((pattern[at] as number) << 8) | (pattern[at + 1] as number);
      shifts[pair] = Math.min(shifts[pair] as number, window - 2 - at);
    }
  }
  return shifts;
}
