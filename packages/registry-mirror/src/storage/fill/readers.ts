import type { Block } from "./recent-bytes.ts";

/** One client's place in a blob. */
export interface Reader {
  position: number;
  /** It was too slow for a blob that is kept in memory alone. */
  isDropped: boolean;
  hasLeft: boolean;
  /** For what is read from the file; used again and again. */
  buffer: Buffer | undefined;
  /** What was handed out last and may still be on its way. */
  held: Block | undefined;
  /** The last byte of what it asked for, which it gets when all are found to be right: it needs nothing else any more. */
  lastByte: Uint8Array | undefined;
}

/** Who reads a blob, and who waits for something to change about it. */
export class Readers {
  readonly #readers = new Set<Reader>();
  #waiting: (() => void)[] = [];

  get size(): number {
    return this.#readers.size;
  }

  /** How far the one has come that is furthest behind, of those that still need what arrives. */
  get slowest(): number {
    let slowest = Number.POSITIVE_INFINITY;
    for (const { lastByte, position } of this.#readers)
      if (lastByte === undefined) slowest = Math.min(slowest, position);
    return slowest;
  }

  add(): Reader {
    const reader: Reader = {
      position: 0,
      isDropped: false,
      hasLeft: false,
      buffer: undefined,
      held: undefined,
      lastByte: undefined,
    };
    this.#readers.add(reader);
    return reader;
  }

  remove(reader: Reader): void {
    reader.hasLeft = true;
    this.#readers.delete(reader);
  }

  /** Waits no longer for those that are furthest behind. */
  dropSlowest(): void {
    const { slowest } = this;
    for (const reader of this.#readers) {
      if (reader.lastByte !== undefined || reader.position > slowest) continue;
      reader.isDropped = true;
      this.#readers.delete(reader);
    }
  }

  /** Resolves at the next `wake`. */
  change(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  wake(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
