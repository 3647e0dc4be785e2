import { readSync } from "node:fs";

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/**
 * Parses a file that holds one JSON value in each line. Ends early at a line that is none, that is longer than 64 KiB, or that has no end: what
 * somebody has planted takes no more memory than what is ours.
 */
export function* readJsonLines(descriptor: number): Generator<unknown, void> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let kept = 0;
  for (;;) {
    const read = readSync(descriptor, chunk, kept, CHUNK_BYTES - kept, null);
    if (read === 0) return;
    const filled = chunk.subarray(0, kept + read);
    let start = 0;
    for (let end = filled.indexOf(NEWLINE, kept); end !== -1; end = filled.indexOf(NEWLINE, start)) {
      const value = parse(filled.toString("utf8", start, end));
      if (value === undefined) return;
      yield value;
      start = end + 1;
    }
    chunk.copyWithin(0, start, filled.length);
    kept = filled.length - start;
    if (kept === CHUNK_BYTES) return;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
