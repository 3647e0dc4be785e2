/** Memory for the bytes of all fills, in blocks of one size that are used again and again. */
export class BlockPool {
  readonly #free: Buffer[] = [];
  #usedBytes = 0;

  /** Whether the fills hold so much that they are to wait for their disk. */
  get isScarce(): boolean {
    return this.#usedBytes >= plentyBytes;
  }

  /** @param mostBytes - no more is needed */
  take(mostBytes: number): Buffer {
    const free = mostBytes < blockBytes ? undefined : this.#free.pop();
    const memory = free ?? Buffer.allocUnsafeSlow(Math.min(blockBytes, mostBytes));
    this.#usedBytes += memory.byteLength;
    return memory;
  }

  /** @param isFree - whether nobody uses it any more, so that others may */
  giveBack(memory: Buffer, isFree: boolean): void {
    this.#usedBytes -= memory.byteLength;
    if (isFree && memory.byteLength === blockBytes && this.#free.length < maxFree) this.#free.push(memory);
  }
}

export const blockBytes: number = 256 * 1024;
/** For a disk that is slower than the network for a moment; with much more, the collector is called again and again. */
const plentyBytes = 32 * 1024 * 1024;
const maxFree = 64;
