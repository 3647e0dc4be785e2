import type { CheckedBytes } from "./checked-bytes.ts";
import type { Reader, Readers } from "./readers.ts";
import type { RecentBytes } from "./recent-bytes.ts";
import type { Spool } from "./spool.ts";

export interface ReadingOptions {
  readonly readers: Readers;
  /** What has come so far. */
  readonly checked: CheckedBytes;
  readonly recent: RecentBytes;
  readonly spool: Spool;
  /** Why the blob cannot be had whole and right, as far as is known. */
  readonly failure: () => unknown;
}

/**
 * Gives each reader the bytes of a blob that arrives, at its own pace: from memory as long as they are there, or else from the file. The last
 * byte of what it asked for comes when all are found to be right.
 */
export class Reading {
  readonly #options: ReadingOptions;

  constructor(options: ReadingOptions) {
    this.#options = options;
  }

  /**
   * Waits for what comes next for a reader, whose piece before may be used for something else from now on.
   *
   * @param wantedEnd - of the part that it asked for
   */
  async next(reader: Reader, wantedEnd: number | undefined): Promise<Uint8Array | undefined> {
    const { checked, failure, readers, spool } = this.#options;
    this.#release(reader);
    for (;;) {
      const end = Math.min(wantedEnd ?? Number.POSITIVE_INFINITY, checked.isVerified ? checked.bytes : Infinity);
      if (reader.hasLeft || reader.position >= end) return undefined;
      const reason = failure();
      if (reason !== undefined) throw reason;
      if (reader.isDropped) throw new Error("the client was too slow for a blob that cannot be stored");
      // The last byte is held back: who gets it believes that all of them are right.
      const lastByte = Math.min(end, checked.totalBytes ?? checked.bytes) - 1;
      const readable = checked.isVerified ? end : Math.min(checked.bytes, lastByte);
      if (reader.position < readable) {
        const chunk = reader.lastByte ?? this.#handOut(reader, readable) ?? (await this.#readFor(reader, readable));
        reader.position += chunk.byteLength;
        if (!spool.isStoring) readers.wake();
        return chunk;
      }
      if (wantedEnd !== undefined && this.#mayLose(reader, wantedEnd)) await this.#keepLastByte(reader);
      else await readers.change();
    }
  }

  /** Nothing more is given to a reader; what it has may still be on its way. */
  leave(reader: Reader): void {
    const { readers, recent } = this.#options;
    readers.remove(reader);
    if (reader.held !== undefined) recent.abandon(reader.held);
    reader.held = undefined;
    readers.wake();
  }

  /** Whether a reader stands at the last byte of its part, which is here, and which nothing will keep for it. */
  #mayLose({ lastByte, position }: Reader, wantedEnd: number): boolean {
    const { checked, spool } = this.#options;
    const isAtLast = position === wantedEnd - 1 && position < checked.bytes;
    return isAtLast && lastByte === undefined && !spool.isStoring;
  }

  /** Others need not wait for this reader then. */
  async #keepLastByte(reader: Reader): Promise<void> {
    const end = reader.position + 1;
    const byte = Buffer.from(this.#handOut(reader, end) ?? (await this.#readFor(reader, end)));
    this.#release(reader);
    reader.lastByte = byte;
    this.#options.readers.wake();
  }

  #handOut(reader: Reader, end: number): Uint8Array | undefined {
    const [block] = this.#options.recent.hold(reader.position, 1);
    if (block === undefined) return undefined;
    reader.held = block;
    return block.memory.subarray(reader.position - block.start, Math.min(block.bytes, end - block.start));
  }

  #readFor(reader: Reader, end: number): Promise<Uint8Array> {
    reader.buffer ??= Buffer.allocUnsafeSlow(readBytes);
    return this.#options.spool.read(reader.buffer, reader.position, end - reader.position);
  }

  #release(reader: Reader): void {
    if (reader.held !== undefined) this.#options.recent.release(reader.held);
    reader.held = undefined;
  }
}

const readBytes = 256 * 1024;
