import { ByteBuilder } from "./byte-builder.ts";
import { MASK, NOTHING } from "./byte-filter.ts";
import type { ByteFilter } from "./byte-filter.ts";

/** @see coordinator-protocol 13.2 */
const PARAMETERS: readonly Buffer[] = [
  "private_token",
  "authenticity_token",
  "rss_token",
  "x-amz-signature",
  "x-amz-credential",
  "x-amz-security-token",
].map((name) => Buffer.from(name));

const FIRST_BYTES: ReadonlySet<number> = new Set(PARAMETERS.map((name) => name[0] as number));

const LONGEST_NAME = Math.max(...PARAMETERS.map((name) => name.length));

const QUESTION_MARK = 0x3f;
const AMPERSAND = 0x26;
const EQUALS = 0x3d;
const BLANK = 0x20;
const DELETE = 0x7f;

/** For the output of all streams: a write is copied before the next one comes. */
const builder = new ByteBuilder();

const OUTSIDE = 0;
const IN_NAME = 1;
const BEFORE_VALUE = 2;
const IN_VALUE = 3;

/**
 * Replaces the values of URL parameters that carry secrets. An empty value stays empty.
 *
 * @see coordinator-protocol 13.2
 */
export class UrlParameterMasker implements ByteFilter {
  #place: typeof OUTSIDE | typeof IN_NAME | typeof BEFORE_VALUE | typeof IN_VALUE = OUTSIDE;
  /** Lower case. */
  readonly #name: Buffer = Buffer.alloc(LONGEST_NAME);
  #nameLength = 0;

  push(bytes: Buffer): Buffer {
    const count = bytes.length;
    const starts = new StartFinder(bytes);
    let output: ByteBuilder | undefined;
    let copied = 0;
    let at = 0;
    for (;;) {
      if (this.#place === OUTSIDE) at = starts.findFrom(at);
      if (at >= count) break;
      const byte = bytes[at] as number;
      if (byte === QUESTION_MARK || byte === AMPERSAND) {
        this.#place = IN_NAME;
        this.#nameLength = 0;
      } else if (this.#place === IN_NAME) {
        this.#takeNameByte(byte);
      } else if (byte <= BLANK || byte === DELETE) {
        this.#place = OUTSIDE;
      } else {
        output ??= builder.begin(count + MASK.length);
        output.append(bytes, copied, at);
        if (this.#place === BEFORE_VALUE) output.append(MASK, 0, MASK.length);
        this.#place = IN_VALUE;
        copied = at + 1;
      }
      at += 1;
    }
    if (output === undefined) return bytes;
    output.append(bytes, copied, count);
    return output.finish();
  }

  end(): Buffer {
    return NOTHING;
  }

  #takeNameByte(byte: number): void {
    if (byte === EQUALS) {
      const name = this.#name.subarray(0, this.#nameLength);
      this.#place = PARAMETERS.some((parameter) => parameter.equals(name)) ? BEFORE_VALUE : OUTSIDE;
    } else if (this.#nameLength === LONGEST_NAME || byte <= BLANK) {
      this.#place = OUTSIDE;
    } else {
      const lowerCase = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
      // Most parameters of most addresses end here.
      if (this.#nameLength === 0 && !FIRST_BYTES.has(lowerCase)) this.#place = OUTSIDE;
      this.#name[this.#nameLength] = lowerCase;
      this.#nameLength += 1;
    }
  }
}

/** Finds the next `?` or `&`, and remembers the other one that it met. */
class StartFinder {
  readonly #bytes: Buffer;
  #questionMark = -1;
  #ampersand = -1;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  findFrom(at: number): number {
    if (this.#questionMark < at) this.#questionMark = this.#find(QUESTION_MARK, at);
    if (this.#ampersand < at) this.#ampersand = this.#find(AMPERSAND, at);
    return Math.min(this.#questionMark, this.#ampersand);
  }

  #find(byte: number, at: number): number {
    const index = this.#bytes.indexOf(byte, at);
    return index === -1 ? this.#bytes.length : index;
  }
}
