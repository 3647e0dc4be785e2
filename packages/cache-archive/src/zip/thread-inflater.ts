import { createInflater } from "@fleetfoot/deflate";
import type { Inflater } from "@fleetfoot/deflate";

/** What almost everything fits into. */
const INPUT_BYTES = 1024 * 1024 + 128 * 1024;
const OUTPUT_BYTES = 1024 * 1024;

let inflater: Inflater | undefined;

/**
 * The inflater of this thread, with at least so much memory. All archives share it, so what it holds is of use until the next one asks.
 *
 * @throws {RangeError} there is not so much memory
 */
export function inflaterFor(inputBytes: number, outputBytes: number): Inflater {
  if (inflater === undefined || inflater.input.length < inputBytes || inflater.output.length < outputBytes) {
    inflater = createInflater({
      inputBytes: lengthFor(inputBytes, inflater?.input.length ?? INPUT_BYTES),
      outputBytes: lengthFor(outputBytes, inflater?.output.length ?? OUTPUT_BYTES),
    });
  }
  return inflater;
}

/** Twice as much each time, so that it is seldom made anew. */
function lengthFor(needed: number, atLeast: number): number {
  let bytes = atLeast;
  while (bytes < needed) bytes *= 2;
  return bytes;
}
