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
  /**
   * Inflates one raw deflate stream that is longer than the memory, which it uses as it likes meanwhile.
   *
   * @param read - puts what comes next of the stream into a part of `input` and tells how many bytes, 0 at its end
   * @returns the content in pieces of `output`, each of which is good until the next one is asked for. After each `read` comes an empty one: a stream
   *   may hold nothing for as long as it likes, and whoever takes the pieces has to be able to give it up
   * @throws {DeflateError} as {@link inflate} does
   * @throws {RangeError} `input` or `output` is shorter than 64 KiB, or `read` tells a number of bytes that it cannot have put there
   * @throws {Error} something else was inflated meanwhile
   */
  inflatePieces(read: (target: Buffer) => number): Generator<Buffer, void>;
}

interface InflateExports {
  readonly memory: WasmMemory;
  readonly WORK_BYTES: { readonly value: number };
  readonly INPUT_SLACK: { readonly value: number };
  readonly OUTPUT_SLACK: { readonly value: number };
  inflate(from: number, to: number, target: number, targetEnd: number, isOpen: number): number;
  begin(from: number, target: number): void;
  inflatePart(to: number, targetEnd: number, isLast: number): number;
  contentEnd(): number;
  inputRest(): number;
  moveInput(to: number): void;
  slideOutput(): number;
}

const NEEDS_INPUT = 1;
const NEEDS_ROOM = 2;
/** The longest distance that a match may have, and as much again. */
const MIN_PIECES_BYTES = 64 * 1024;

/**
 * Makes an inflater for one thread.
 *
 * @throws {RangeError} there is no memory for it
 */
export function createInflater({ inputBytes, outputBytes }: InflaterOptions): Inflater {
  const module = startModule(wasm) as InflateExports;
  const { memory, inflate, WORK_BYTES, INPUT_SLACK, OUTPUT_SLACK } = module;
  const inputStart = WORK_BYTES.value;
  const outputStart = alignUp(inputStart + inputBytes + INPUT_SLACK.value);
  growTo(memory, outputStart + outputBytes + OUTPUT_SLACK.value);

  /** Number of the stream that the memory is used for. */
  let stream = 0;

  function run(from: number, to: number, target: number, targetEnd: number, isOpen: number): number {
    checkRange(from, to, inputBytes);
    checkRange(target, targetEnd, outputBytes);
    stream += 1;
    const result = inflate(inputStart + from, inputStart + to, outputStart + target, outputStart + targetEnd, isOpen);
    if (result < 0) throw new DeflateError(CODES[-result - 1] ?? "bad-code");
    return result;
  }

  const input = Buffer.from(memory.buffer, inputStart, inputBytes);
  const output = Buffer.from(memory.buffer, outputStart, outputBytes);

  function* inflatePieces(read: (target: Buffer) => number): Generator<Buffer, void> {
    if (Math.min(inputBytes, outputBytes) < MIN_PIECES_BYTES)
      throw new RangeError("the memory is too short for pieces");
    let inputEnd = 0;
    let isLast = 0;
    let pieceStart = 0;
    stream += 1;
    const own = stream;
    const checkStream = (): void => {
      if (stream !== own)
        throw new Error("something else was inflated before the pieces of a stream were at their end");
    };
    module.begin(inputStart, outputStart);
    for (;;) {
      // A piece may become longer by less than the slack.
      const room = outputStart + outputBytes - OUTPUT_SLACK.value;
      const result = module.inflatePart(inputStart + inputEnd, room, isLast);
      if (result < 0) throw new DeflateError(CODES[-result - 1] ?? "bad-code");
      if (result === NEEDS_INPUT) {
        input.copyWithin(0, module.inputRest() - inputStart, inputEnd);
        inputEnd -= module.inputRest() - inputStart;
        module.moveInput(inputStart);
        const got = read(input.subarray(inputEnd));
        checkStream();
        checkRange(inputEnd, inputEnd + got, inputBytes);
        inputEnd += got;
        if (got === 0) isLast = 1;
        yield output.subarray(0, 0);
        checkStream();
        continue;
      }
      const contentEnd = module.contentEnd() - outputStart;
      if (contentEnd > pieceStart) {
        yield output.subarray(pieceStart, contentEnd);
        checkStream();
      }
      if (result !== NEEDS_ROOM) return;
      pieceStart = module.slideOutput() - outputStart;
    }
  }

  return {
    input,
    output,
    inflate: (from, to, target, targetEnd) => run(from, to, target, targetEnd, 0),
    inflateOpen: (from, to, target, targetEnd) => run(from, to, target, targetEnd, 1),
    inflatePieces,
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
