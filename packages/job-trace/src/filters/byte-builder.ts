/** Up to this length, copying in place is faster than a call out of the engine. */
const SHORT_RANGE = 32;

/**
 * Collects ranges of bytes into one buffer that grows as needed, and that is used again and again: a filter that made a new one for
 * every write would spend its time on fresh memory.
 *
 * Filters of one kind may share one, since a write passes all filters and is copied before the next one comes.
 */
export class ByteBuilder {
  #buffer: Buffer = Buffer.allocUnsafe(0);
  #length = 0;

  /** Forgets what was collected, which makes what {@link ByteBuilder.finish} gave invalid. */
  begin(capacity: number): this {
    this.#length = 0;
    if (this.#buffer.length < capacity) this.#buffer = Buffer.allocUnsafeSlow(roundUp(capacity));
    return this;
  }

  append(source: Buffer, start: number, end: number): void {
    const count = end - start;
    if (count <= 0) return;
    this.#reserve(count);
    if (count > SHORT_RANGE) {
      source.copy(this.#buffer, this.#length, start, end);
    } else {
      const buffer = this.#buffer;
      const shift = this.#length - start;
      for (let at = start; at < end; at += 1) buffer[at + shift] = source[at] as number;
    }
    this.#length += count;
  }

  appendByte(byte: number): void {
    this.#reserve(1);
    this.#buffer[this.#length] = byte;
    this.#length += 1;
  }

  /** What was collected, until the next {@link ByteBuilder.begin}. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(roundUp(needed));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** To a power of two, so that it settles at one size. */
function roundUp(bytes: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(bytes, 4096)));
}
