import { wasm } from "./compiled/deflate.ts";
import { alignUp, checkRange } from "./ranges.ts";
import { growTo, startModule } from "./web-assembly.ts";
import type { WasmMemory } from "./web-assembly.ts";

export interface DeflaterOptions {
  /** Length of the memory for content, in bytes; at most 4 MiB. */
  readonly inputBytes: number;
  /** Length of the memory for packed data, in bytes. See {@link deflateBound}. */
  readonly outputBytes: number;
}

/** Deflates from one part of its memory into another, at one level only, the fast one. Everything is allocated when it is made. */
export interface Deflater {
  /** Content goes here, for instance straight from a file. */
  readonly input: Buffer;
  /** Packed data is found here. */
  readonly output: Buffer;
  /**
   * Makes one raw deflate stream of a part of the input. Equal content gives equal bytes, whatever was packed before.
   *
   * @param from - where the content begins in `input`
   * @param to - where it ends
   * @param target - where the stream goes in `output`. Room for {@link deflateBound} bytes must be there; those that are not needed may be
   *   overwritten, too
   * @returns length of the stream in bytes
   * @throws {RangeError} a place lies outside of its memory, or there is not enough room
   * @see RFC 1951
   */
  deflate(from: number, to: number, target: number): number;
  /**
   * Makes blocks of a stream that goes on: none of them is the last one of the stream, and they end on a whole byte. They refer to nothing that was
   * packed before, so that each can be unpacked alone. Parameters and errors are those of {@link deflate}.
   */
  deflateOpen(from: number, to: number, target: number): number;
}

interface DeflateExports {
  readonly memory: WasmMemory;
  readonly WORK_BYTES: { readonly value: number };
  readonly INPUT_SLACK: { readonly value: number };
  readonly MAX_INPUT_BYTES: { readonly value: number };
  deflate(from: number, to: number, target: number, isOpen: number): number;
}

/** How many bytes so much content comes to at most, with what may be overwritten behind them. */
export function deflateBound(bytes: number): number {
  // Stored blocks add 5 bytes to each 65,535, and there may be one more where another block ended.
  return bytes + Math.floor(bytes / 2048) + 64;
}

/**
 * Makes a deflater for one thread.
 *
 * @throws {RangeError} there is no memory for it, or the input is longer than it may be
 */
export function createDeflater({ inputBytes, outputBytes }: DeflaterOptions): Deflater {
  const { memory, deflate, WORK_BYTES, INPUT_SLACK, MAX_INPUT_BYTES } = startModule(wasm) as DeflateExports;
  checkRange(0, inputBytes, MAX_INPUT_BYTES.value);
  const inputStart = WORK_BYTES.value;
  const outputStart = alignUp(inputStart + inputBytes + INPUT_SLACK.value);
  growTo(memory, outputStart + outputBytes);

  function run(from: number, to: number, target: number, isOpen: number): number {
    checkRange(from, to, inputBytes);
    checkRange(target, target + deflateBound(to - from), outputBytes);
    return deflate(inputStart + from, inputStart + to, outputStart + target, isOpen);
  }

  return {
    input: Buffer.from(memory.buffer, inputStart, inputBytes),
    output: Buffer.from(memory.buffer, outputStart, outputBytes),
    deflate: (from, to, target) => run(from, to, target, 0),
    deflateOpen: (from, to, target) => run(from, to, target, 1),
  };
}
