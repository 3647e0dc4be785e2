import { blockBytes } from "./block-pool.ts";
import type { BlockPool } from "./block-pool.ts";

/** A stretch of bytes in memory. */
export interface Block {
  readonly start: number;
  readonly memory: Buffer;
  /** How much of the memory is in use; grows. */
  bytes: number;
  /** Who reads it now; its memory stays as it is until all have released it. */
  holders: number;
  isDropped: boolean;
  /** Whether somebody may still read it of whom nothing more is heard. */
  isLost: boolean;
}

/**
 * The latest bytes of a stream, in few large blocks of memory that are used again and again: what a socket gives comes in
 * small pieces of new memory each, which cost more to keep and to collect than to copy.
 */
export class RecentBytes {
  readonly #pool: BlockPool;
  #blocks: Block[] = [];
  #end = 0;

  constructor(pool: BlockPool) {
    this.#pool = pool;
  }

  /** Offset of the first byte that is still here. */
  get start(): number {
    return this.#blocks[0]?.start ?? this.#end;
  }

  /** Offset after the last byte. */
  get end(): number {
    return this.#end;
  }

  /** To be called before anything is appended. */
  startAt(position: number): void {
    this.#end = position;
  }

  /** @param expectedEnd - length of the whole, so that no more memory is taken than that */
  append(chunk: Uint8Array, expectedEnd: number | undefined): void {
    for (let rest = chunk; rest.byteLength > 0;) {
      const block = this.#lastWithRoom() ?? this.#addBlock(expectedEnd);
      const part = rest.subarray(0, block.memory.byteLength - block.bytes);
      block.memory.set(part, block.bytes);
      block.bytes += part.byteLength;
      this.#end += part.byteLength;
      rest = rest.subarray(part.byteLength);
    }
  }

  /** The blocks from this offset on, at most so many; each is to be released. */
  hold(position: number, most: number): readonly Block[] {
    const first = this.#indexOf(position);
    if (first === undefined) return [];
    const held = this.#blocks.slice(first, first + most);
    for (const block of held) block.holders += 1;
    return held;
  }

  release(block: Block): void {
    block.holders -= 1;
    this.#reuse(block);
  }

  /** In place of `release`, for who may still read it: its memory is not used again. */
  abandon(block: Block): void {
    block.isLost = true;
    this.release(block);
  }

  /** Drops the blocks that end at this offset or before. */
  dropBefore(position: number): void {
    const count = this.#blocks.findIndex(({ start, bytes }) => start + bytes > position);
    for (const block of this.#blocks.splice(0, count === -1 ? this.#blocks.length : count)) {
      block.isDropped = true;
      this.#reuse(block);
    }
  }

  /** Lets all memory go. */
  clear(): void {
    this.dropBefore(this.#end);
  }

  #indexOf(position: number): number | undefined {
    let low = 0;
    let high = this.#blocks.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const block = this.#blocks[middle];
      if (block === undefined || position < block.start) high = middle - 1;
      else if (position >= block.start + block.bytes) low = middle + 1;
      else return middle;
    }
    return undefined;
  }

  #lastWithRoom(): Block | undefined {
    const last = this.#blocks.at(-1);
    return last !== undefined && last.bytes < last.memory.byteLength ? last : undefined;
  }

  #addBlock(expectedEnd: number | undefined): Block {
    const left = (expectedEnd ?? Number.POSITIVE_INFINITY) - this.#end;
    const memory = this.#pool.take(left > 0 ? left : blockBytes);
    const block = { start: this.#end, memory, bytes: 0, holders: 0, isDropped: false, isLost: false };
    this.#blocks.push(block);
    return block;
  }

  #reuse({ holders, isDropped, isLost, memory }: Block): void {
    if (isDropped && holders === 0) this.#pool.giveBack(memory, !isLost);
  }
}
