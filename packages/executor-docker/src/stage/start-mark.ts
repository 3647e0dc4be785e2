import type { OutputCount } from "../engine/demultiplex.ts";

/**
 * Finds out whether a script ran at all: a container whose entrypoint does not run its arguments may end with exit code 0 as well.
 * The script's first line prints a mark, which is taken out of the output.
 */
export class StartMark {
  readonly #mark: Buffer;
  readonly #line: string;
  readonly #held: Record<keyof OutputCount, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  #isSeen = false;

  /** @param random - hexadecimal digits that nothing else prints */
  constructor(random: string) {
    this.#mark = Buffer.from(`${PREFIX}${random}\n`);
    // In two words, so that an entrypoint that prints what it reads does not print the mark.
    this.#line = `echo '${PREFIX}''${random}'\n`;
  }

  /** Whether the script has begun. */
  get isSeen(): boolean {
    return this.#isSeen;
  }

  before(script: string): string {
    return this.#line + script;
  }

  /** @returns what of the output is to be written: all but the mark, and but an end that may be the beginning of it */
  pass(name: keyof OutputCount, bytes: Buffer): Buffer {
    if (this.#isSeen && this.#held[name].length === 0) return bytes;
    const known = Buffer.concat([this.#held[name], bytes]);
    this.#held[name] = known.subarray(known.length);
    if (this.#isSeen) return known;
    const at = known.indexOf(this.#mark);
    if (at >= 0) {
      this.#isSeen = true;
      return Buffer.concat([known.subarray(0, at), known.subarray(at + this.#mark.length)]);
    }
    const kept = known.length - this.#beginningAtEnd(known);
    this.#held[name] = known.subarray(kept);
    return known.subarray(0, kept);
  }

  /** What was held back; there is no more output. */
  rest(name: keyof OutputCount): Buffer {
    return this.#held[name];
  }

  /** How many bytes at the end are the first of the mark. */
  #beginningAtEnd(known: Buffer): number {
    const most = Math.min(known.length, this.#mark.length - 1);
    for (let length = most; length > 0; length -= 1) {
      if (known.subarray(known.length - length).equals(this.#mark.subarray(0, length))) return length;
    }
    return 0;
  }
}

const PREFIX = "fleetfoot-began-";
