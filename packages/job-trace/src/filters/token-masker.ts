import { ByteBuilder } from "./byte-builder.ts";
import { MASK, NOTHING } from "./byte-filter.ts";
import type { ByteFilter } from "./byte-filter.ts";
import { PatternAutomaton } from "./pattern-automaton.ts";

/** Masked whatever the options say: personal access tokens are what is leaked most. */
const PERSONAL_ACCESS_TOKEN_PREFIX = "glpat-";

/**
 * What the tokens of a GitLab instance start with by default.
 *
 * @see https://docs.gitlab.com/security/tokens/#token-prefixes (coordinator-protocol 13.2)
 */
export const DEFAULT_TOKEN_PREFIXES: readonly string[] = Object.freeze([
  PERSONAL_ACCESS_TOKEN_PREFIX,
  "gloas-",
  "gldt-",
  "glrt-",
  "glcbt-",
  "glrtr-",
  "glptt-",
  "glft-",
  "glimt-",
  "glagent-",
  "glsoat-",
  "glffct-",
  "_gitlab_session=",
  "gltok-",
]);

/** Prepares prefixes for masking. */
export function compileTokenPrefixes(prefixes: Iterable<string>): PatternAutomaton {
  const known = new Set([PERSONAL_ACCESS_TOKEN_PREFIX]);
  for (const prefix of prefixes) {
    if (prefix.trim() !== "") known.add(prefix.trim());
  }
  return new PatternAutomaton([...known].map((prefix) => Buffer.from(prefix)));
}

/** For the output of all streams: a write is copied before the next one comes. */
const builder = new ByteBuilder();

const OUTSIDE = 0;
const BEHIND_PREFIX = 1;
const IN_TOKEN = 2;

/**
 * Replaces the run of token characters behind a prefix; the prefix stays, and so does a prefix with nothing behind it.
 *
 * @see coordinator-protocol 13.2
 */
export class TokenMasker implements ByteFilter {
  readonly #automaton: PatternAutomaton;
  #state = 0;
  #place: typeof OUTSIDE | typeof BEHIND_PREFIX | typeof IN_TOKEN = OUTSIDE;

  constructor(automaton: PatternAutomaton) {
    this.#automaton = automaton;
  }

  push(bytes: Buffer): Buffer {
    const automaton = this.#automaton;
    const { longestMatch } = automaton;
    const count = bytes.length;
    let output: ByteBuilder | undefined;
    let copied = 0;
    let state = this.#state;
    let place = this.#place;
    let at = 0;
    for (;;) {
      if (state === 0 && place === OUTSIDE) at = automaton.skip(bytes, at);
      if (at >= count) break;
      const byte = bytes[at] as number;
      if (IS_TOKEN_BYTE[byte] === 0) {
        place = OUTSIDE;
      } else if (place !== OUTSIDE) {
        output ??= builder.begin(count + MASK.length);
        output.append(bytes, copied, at);
        if (place === BEHIND_PREFIX) output.append(MASK, 0, MASK.length);
        place = IN_TOKEN;
        copied = at + 1;
      }
      at += 1;
      state = automaton.step(state, byte);
      if (longestMatch[state] !== 0 && place === OUTSIDE) place = BEHIND_PREFIX;
    }
    this.#state = state;
    this.#place = place;
    if (output === undefined) return bytes;
    output.append(bytes, copied, count);
    return output.finish();
  }

  end(): Buffer {
    return NOTHING;
  }
}

const IS_TOKEN_BYTE: Uint8Array = makeTokenBytes();

function makeTokenBytes(): Uint8Array {
  const table = new Uint8Array(256);
  for (const byte of Buffer.from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._=-")) table[byte] = 1;
  return table;
}
