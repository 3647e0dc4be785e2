/**
 * Decides how much of the output is kept.
 *
 * @see coordinator-protocol 8.1, job-execution 1.10
 */
export class TraceLimit {
  readonly #limitBytes: number;
  #taken = 0;
  #reached = false;

  /** @param taken - bytes that were kept before */
  constructor(limitBytes: number, taken = 0) {
    this.#limitBytes = limitBytes;
    this.#taken = taken;
    this.#reached = taken > 0 && taken >= limitBytes;
  }

  /** Whether everything further is dropped. */
  get isReached(): boolean {
    return this.#reached;
  }

  /**
   * @param bytes - whole characters
   * @returns what is kept: the bytes; or as many whole characters of them as fit, followed by the notice; or nothing
   */
  take(bytes: Buffer): readonly Buffer[] {
    if (this.#reached || bytes.length === 0) return [];
    if (this.#taken + bytes.length < this.#limitBytes) {
      this.#taken += bytes.length;
      return [bytes];
    }
    this.#reached = true;
    const kept = bytes.subarray(0, characterStart(bytes, this.#limitBytes - this.#taken));
    return [kept, makeNotice(this.#limitBytes)];
  }
}

function characterStart(bytes: Buffer, index: number): number {
  let start = index;
  while (start > 0 && start < bytes.length && ((bytes[start] as number) & 0xc0) === 0x80) start -= 1;
  return start;
}

function makeNotice(limitBytes: number): Buffer {
  return Buffer.from(
    `\n\u001B[33;1mJob's log exceeded limit of ${limitBytes} bytes.\n` +
      "Job execution will continue but no more output will be collected.\u001B[0;m\n",
  );
}
