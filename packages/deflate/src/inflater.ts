import { wasm } from "./compiled/inflate.ts";
import { DeflateError } from "./errors.ts";
import type { DeflateErrorCode } from "./errors.ts";
import { alignUp, checkRange } from "./ranges.ts";
import { growTo, startModule } from "./web-assembly.ts";
import type { WasmMemory } from "./web-assembly.ts";

export interface InflaterOptions {
  /** Length of the memory for packed data, in bytes. */
  readonly inputBytes: number;
  /** Length of the memory for unpacked data, in bytes. */
  readonly outputBytes: number;
}

/** Inflates from one part of its memory into another. Everything is allocated when it is made. */
export interface Inflater {
  /** Packed data goes here, for instance straight from a file. */
  readonly input: Buffer;
  /** Unpacked data is found here. Up to 512 bytes behind it may be overwritten, of which those within this memory show. */
  readonly output: Buffer;
  /**
   * Inflates one raw deflate stream. What follows the stream in the input is ignored.
   *
   * @param from - where it begins in `input`
   * @param to - where the input ends
   * @param target - where its content goes in `output`
   * @param targetEnd - where the room for it ends
   * @returns length of the content in bytes
   * @throws {DeflateError} it is no stream, not all of one, or has more content than there is room
   * @throws {RangeError} a place lies outside of its memory
   * @see RFC 1951
   */
  inflate(from: number, to: number, target: number, targetEnd: number): number;
  /**
   * Inflates blocks of a stream that goes on: the input ends with one of them, on a whole byte, and none is the last one of the stream.
   * Parameters and errors are those of {@link inflate}.
   */
  inflateOpen(from: number, to: number, target: number, targetEnd: number): number;
}

interface InflateExports {
  readonly memory: WasmMemory;
  readonly WORK_BYTES: { readonly value: number };
  readonly INPUT_SLACK: { readonly value: number };
  readonly OUTPUT_SLACK: { readonly value: number };
  inflate(from: number, to: number, target: number, targetEnd: number, isOpen: number): number;
}

/**
 * Makes an inflater for one thread.
 *
 * @throws {RangeError} there is no memory for it
 */
export function createInflater({ inputBytes, outputBytes }: InflaterOptions): Inflater {
  const { memory, inflate, WORK_BYTES, INPUT_SLACK, OUTPUT_SLACK } = startModule(wasm) as InflateExports;
  const inputStart = WORK_BYTES.value;
  const outputStart = alignUp(inputStart + inputBytes + INPUT_SLACK.value);
  growTo(memory, outputStart + outputBytes + OUTPUT_SLACK.value);

  function run(from: number, to: number, target: number, targetEnd: number, isOpen: number): number {
    checkRange(from, to, inputBytes);
    checkRange(target, targetEnd, outputBytes);
    const result = inflate(inputStart + from, inputStart + to, outputStart + target, outputStart + targetEnd, isOpen);
    if (result < 0) throw new DeflateError(CODES[-result - 1] ?? "bad-code");
    return result;
  }

  return {
    input: Buffer.from(memory.buffer, inputStart, inputBytes),
    output: Buffer.from(memory.buffer, outputStart, outputBytes),
    inflate: (from, to, target, targetEnd) => run(from, to, target, targetEnd, 0),
    inflateOpen: (from, to, target, targetEnd) => run(from, to, target, targetEnd, 1),
  };
}

/** In the order of the module's negative results. */
const CODES: readonly DeflateErrorCode[] = [
  "truncated",
  "too-long",
  "bad-block-type",
  "bad-stored-length",
  "bad-code-lengths",
  "bad-code",
  "bad-distance",
  "ended",
];
