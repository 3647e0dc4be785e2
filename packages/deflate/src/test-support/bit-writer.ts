/** Puts bits together as a deflate stream has them: lowest first, codes from their highest bit on. */
export class BitWriter {
  readonly #bytes: number[] = [];
  #bits = 0;

  /** A number, lowest bit first. */
  write(value: number, count: number): this {
    for (let bit = 0; bit < count; bit += 1) this.#writeBit((value >>> bit) & 1);
    return this;
  }

  /** A Huffman code. */
  writeCode(code: number, count: number): this {
    for (let bit = count - 1; bit >= 0; bit -= 1) this.#writeBit((code >>> bit) & 1);
    return this;
  }

  /** Fills the byte that was begun with zeros. */
  align(): this {
    this.#bits = this.#bytes.length * 8;
    return this;
  }

  writeBytes(bytes: Uint8Array): this {
    this.align().#bytes.push(...bytes);
    return this.align();
  }

  get bytes(): Buffer {
    return Buffer.from(this.#bytes);
  }

  #writeBit(bit: number): void {
    if (this.#bits % 8 === 0) this.#bytes.push(0);
    const last = this.#bytes.length - 1;
    this.#bytes[last] = (this.#bytes[last] ?? 0) | (bit << (this.#bits % 8));
    this.#bits += 1;
  }
}
