/** Up to this length, copying in place is faster than a call out of the engine. */
const SHORT_RANGE = 24;

/** Collects ranges of bytes into one buffer that grows as needed. */
export class ByteBuilder {
  #buffer: Buffer;
  #length = 0;

  /** @param capacity - bytes to make room for at first */
  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafe(Math.max(capacity, 64));
  }

  append(source: Buffer, start: number, end: number): void {
    if (end <= start) return;
    this.#reserve(end - start);
    if (end - start > SHORT_RANGE) {
      source.copy(this.#buffer, this.#length, start, end);
    } else {
      for (let at = start; at < end; at += 1) this.#buffer[this.#length + at - start] = source[at] as number;
    }
    this.#length += end - start;
  }

  appendByte(byte: number): void {
    this.#reserve(1);
    this.#buffer[this.#length] = byte;
    this.#length += 1;
  }

  /** What was collected. The builder must not be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#buffer.length));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}
