import { CacheArchiveError } from "../errors.ts";

/** Archives are padded to a record, which is a few KiB for most writers. */
const MAX_DRAINED_BYTES = 16 * 1024 * 1024;

/** Cuts a stream of pieces into the lengths that are asked for. */
export class PieceReader {
  readonly #source: AsyncIterator<Buffer>;
  readonly #signal: AbortSignal | undefined;
  #rest: Buffer = Buffer.alloc(0);

  /** @param signal - looked at before each piece of the source; what reads rejects with its reason */
  constructor(source: AsyncIterable<Buffer>, signal: AbortSignal | undefined) {
    this.#source = source[Symbol.asyncIterator]();
    this.#signal = signal;
  }

  /** Exactly `length` bytes. @throws {CacheArchiveError} `truncated` */
  async read(length: number): Promise<Buffer> {
    if (length <= this.#rest.length) return this.#take(length);
    const parts: Buffer[] = [];
    for await (const piece of this.readPieces(length)) parts.push(piece);
    return Buffer.concat(parts);
  }

  /** The same in pieces as they come. */
  async *readPieces(length: number): AsyncGenerator<Buffer> {
    let left = length;
    while (left > 0) {
      if (this.#rest.length === 0) await this.#fill();
      const piece = this.#take(Math.min(left, this.#rest.length));
      left -= piece.length;
      yield piece;
    }
  }

  /** Reads to the end, which proves that the stream was whole. @throws {CacheArchiveError} `too-large` */
  async drain(): Promise<void> {
    let bytes = this.#rest.length;
    this.#rest = Buffer.alloc(0);
    for (let next = await this.#next(); next.done !== true; next = await this.#next()) {
      bytes += next.value.length;
      if (bytes <= MAX_DRAINED_BYTES) continue;
      const message = `the tar archive goes on for more than ${MAX_DRAINED_BYTES} bytes after its end`;
      throw new CacheArchiveError({ code: "too-large", message });
    }
  }

  #take(length: number): Buffer {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }

  #next(): Promise<IteratorResult<Buffer>> {
    this.#signal?.throwIfAborted();
    return this.#source.next();
  }

  async #fill(): Promise<void> {
    const { value, done } = await this.#next();
    if (done === true) {
      throw new CacheArchiveError({ code: "truncated", message: "the tar archive ends in the middle of an entry" });
    }
    this.#rest = value;
  }
}
