import { isUtf8 } from "node:buffer";

import { ByteBuilder } from "./byte-builder.ts";
import { NOTHING } from "./byte-filter.ts";
import type { ByteFilter } from "./byte-filter.ts";

const REPLACEMENT: Buffer = Buffer.from("\uFFFD");

/** For the output of all streams: a write is copied before the next one comes. */
const builder = new ByteBuilder();

/**
 * Replaces every byte that is not part of a valid character by U+FFFD, and gives whole characters only.
 *
 * @see coordinator-protocol 8.1; RFC 3629 section 4 says what is valid
 */
export class Utf8Repairer implements ByteFilter {
  /** Start of a character whose rest has not come yet, 3 bytes at most. */
  #held: Buffer = NOTHING;

  push(bytes: Buffer): Buffer {
    const joined = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const end = joined.length - countOpenBytes(joined);
    // A copy, since the writer may use its buffer again.
    this.#held = end === joined.length ? NOTHING : Buffer.from(joined.subarray(end));
    const whole = end === joined.length ? joined : joined.subarray(0, end);
    return isUtf8(whole) ? whole : repair(whole);
  }

  end(): Buffer {
    const held = this.#held;
    this.#held = NOTHING;
    return repair(held);
  }
}

function repair(bytes: Buffer): Buffer {
  const output = builder.begin(bytes.length + bytes.length / 2);
  let copied = 0;
  let at = 0;
  while (at < bytes.length) {
    const length = (bytes[at] as number) < 0x80 ? 1 : validLength(bytes, at);
    if (length === 0) {
      output.append(bytes, copied, at);
      output.append(REPLACEMENT, 0, REPLACEMENT.length);
      copied = at + 1;
    }
    at += Math.max(length, 1);
  }
  output.append(bytes, copied, bytes.length);
  return output.finish();
}

/** Bytes at the end that are the start of a character which may still become valid. */
export function countOpenBytes(bytes: Buffer): number {
  const end = bytes.length;
  for (let start = end - 1; start >= Math.max(0, end - 3); start -= 1) {
    const byte = bytes[start] as number;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    return isOpen(bytes, start) ? end - start : 0;
  }
  return 0;
}

/** Whether all bytes from a leading one to the end are valid, and more must follow. */
function isOpen(bytes: Buffer, start: number): boolean {
  const length = expectedLength(bytes[start] as number);
  if (bytes.length - start >= length) return false;
  return bytes.length - start === 1 || isSecondByte(bytes[start] as number, bytes[start + 1] as number);
}

/** Length of the valid character at an index; 0 when there is none. */
function validLength(bytes: Buffer, at: number): number {
  const length = expectedLength(bytes[at] as number);
  if (length === 0 || at + length > bytes.length) return 0;
  if (!isSecondByte(bytes[at] as number, bytes[at + 1] as number)) return 0;
  for (let index = at + 2; index < at + length; index += 1) {
    if (((bytes[index] as number) & 0xc0) !== 0x80) return 0;
  }
  return length;
}

/** Length of a character of two bytes or more, by its first one; 0 for a byte that starts none. */
function expectedLength(leading: number): number {
  if (leading < 0xc2 || leading > 0xf4) return 0;
  if (leading < 0xe0) return 2;
  return leading < 0xf0 ? 3 : 4;
}

/** The second byte alone decides about overlong forms, surrogates and what lies beyond U+10FFFF. */
function isSecondByte(leading: number, second: number): boolean {
  if (leading === 0xe0) return second >= 0xa0 && second <= 0xbf;
  if (leading === 0xed) return second >= 0x80 && second <= 0x9f;
  if (leading === 0xf0) return second >= 0x90 && second <= 0xbf;
  if (leading === 0xf4) return second >= 0x80 && second <= 0x8f;
  return second >= 0x80 && second <= 0xbf;
}
