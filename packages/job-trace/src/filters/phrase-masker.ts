import { ByteBuilder } from "./byte-builder.ts";
import { MASK, NOTHING } from "./byte-filter.ts";
import type { ByteFilter } from "./byte-filter.ts";
import { PatternAutomaton } from "./pattern-automaton.ts";

/** For the output of all streams: a write is copied before the next one comes. */
const builder = new ByteBuilder();

/** Blanks at both ends, as a variable typed by hand often has them. */
const OUTER_BLANKS = /^[\s\u0085]+|[\s\u0085]+$/gu;

/** Prepares values for masking: trimmed, without empty ones and duplicates. */
export function compilePhrases(values: Iterable<string>): PatternAutomaton {
  const phrases = new Set<string>();
  for (const value of values) {
    const phrase = value.replaceAll(OUTER_BLANKS, "");
    if (phrase !== "") phrases.add(phrase);
  }
  return new PatternAutomaton([...phrases].map((phrase) => Buffer.from(phrase)));
}

/**
 * Replaces phrases, wherever the writes cut them.
 *
 * Every byte of every occurrence goes, and no other byte. Occurrences that overlap become one mask, so the longer of
 * two values wins and no rest of either stays behind; occurrences that only touch become one mask each. Only bytes that
 * may still turn out to be the start of a phrase are held back.
 *
 * @see coordinator-protocol 13.2
 */
export class PhraseMasker implements ByteFilter {
  #automaton: PatternAutomaton;
  #state = 0;
  /** Bytes taken so far; all offsets below count from the start of the stream. */
  #taken = 0;
  /** Up to where the output is decided. */
  #decided = 0;
  /** Occurrences that are not decided or may still grow, in order and without overlap. */
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  constructor(automaton: PatternAutomaton) {
    this.#automaton = automaton;
  }

  /** Goes on with more phrases; all of the old ones must be among them. */
  replacePhrases(automaton: PatternAutomaton): void {
    const held = this.#automaton.textOf(this.#state);
    this.#automaton = automaton;
    this.#state = 0;
    this.#taken -= held.length;
    this.#scan(held);
    this.#taken += held.length;
  }

  push(bytes: Buffer): Buffer {
    const held = this.#automaton.textOf(this.#state);
    this.#scan(bytes);
    const taken = this.#taken + bytes.length;
    const limit = taken - (this.#automaton.depth[this.#state] as number);
    const output =
      this.#starts.length === 0 && this.#decided === this.#taken
        ? this.#passOn(bytes, limit)
        : this.#decide(held, bytes, limit);
    this.#taken = taken;
    return output;
  }

  end(): Buffer {
    return this.#decide(this.#automaton.textOf(this.#state), NOTHING, this.#taken);
  }

  #scan(bytes: Buffer): void {
    const automaton = this.#automaton;
    const { longestMatch } = automaton;
    const count = bytes.length;
    let state = this.#state;
    let at = 0;
    for (;;) {
      if (state === 0) at = automaton.skip(bytes, at);
      if (at >= count) break;
      state = automaton.step(state, bytes[at] as number);
      at += 1;
      const matched = longestMatch[state] as number;
      if (matched !== 0) this.#note(this.#taken + at - matched, this.#taken + at);
    }
    this.#state = state;
  }

  #note(start: number, end: number): void {
    let from = start;
    while (this.#starts.length > 0 && (this.#ends.at(-1) as number) > from) {
      this.#ends.pop();
      from = Math.min(from, this.#starts.pop() as number);
    }
    this.#starts.push(from);
    this.#ends.push(end);
  }

  /** The usual case: nothing was held, nothing was found. */
  #passOn(bytes: Buffer, limit: number): Buffer {
    this.#decided = limit;
    const count = limit - this.#taken;
    return count === bytes.length ? bytes : bytes.subarray(0, count);
  }

  /** Writes all that lies before the limit, from which on a phrase may have begun. */
  #decide(held: Buffer, bytes: Buffer, limit: number): Buffer {
    const output = builder.begin(held.length + bytes.length);
    let settled = 0;
    for (const [index, start] of this.#starts.entries()) {
      const end = this.#ends[index] as number;
      if (start >= limit) break;
      // An occurrence that began before what is decided was masked already and has only grown.
      if (start >= this.#decided) {
        this.#copy(output, held, bytes, start);
        output.append(MASK, 0, MASK.length);
      }
      this.#decided = Math.max(this.#decided, end);
      if (end > limit) break;
      settled += 1;
    }
    this.#starts.splice(0, settled);
    this.#ends.splice(0, settled);
    this.#copy(output, held, bytes, limit);
    return output.finish();
  }

  /** Copies what is undecided up to an offset; the first of it may lie in what was held. */
  #copy(output: ByteBuilder, held: Buffer, bytes: Buffer, end: number): void {
    if (end <= this.#decided) return;
    const from = this.#decided - this.#taken;
    const to = end - this.#taken;
    if (from < 0) output.append(held, held.length + from, held.length + Math.min(to, 0));
    output.append(bytes, Math.max(from, 0), to);
    this.#decided = end;
  }
}
