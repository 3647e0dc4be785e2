/** What lies on the disk and may go. */
export interface Evictable {
  readonly bytes: number;
  /** Removes it, with what must go together with it. */
  remove(): Promise<void>;
}

/** What is of less use than anything that is whole, oldest first. */
export interface Expendable {
  readonly bytes: number;
  /** Removes the oldest; false when there is none. */
  dropOldest(): Promise<boolean>;
}

export interface RoomOptions {
  /** Bytes that everything together may take. */
  readonly mostBytes: number;
  /** Bytes of whole blobs. */
  readonly storedBytes: () => number;
  /** Bytes of those whole blobs that may go. */
  readonly evictableBytes: () => number;
  /** Whole blobs, the one that may go first in front. */
  readonly evictable: () => Iterable<Evictable>;
  /** How many more bytes the disk itself takes. */
  readonly freeBytes: () => Promise<number>;
}

/** Bytes that somebody is going to write. */
export interface Reservation {
  /** To be told how much of it lies on the disk. */
  writtenBytes: number;
  /**
   * Makes it larger, and removes for that what is of less use.
   *
   * @returns whether there is room; without, it stays as it was
   */
  extendTo(bytes: number): Promise<boolean>;
  /** Makes it smaller: the rest will not be written. Not while it is being extended. */
  shrinkTo(bytes: number): void;
  /** What was written counts no more, or in another way. */
  release(): void;
}

interface Held {
  bytes: number;
  writtenBytes: number;
}

/** Shares the bytes of a disk between what is stored, what is being written, and what was given up. */
export class Room {
  readonly #options: RoomOptions;
  readonly #held = new Set<Held>();
  #expendable: Expendable | undefined;

  constructor(options: RoomOptions) {
    this.#options = options;
  }

  /** Names what goes first. */
  sacrificeFirst(expendable: Expendable): void {
    this.#expendable = expendable;
  }

  /** @param bytes - that lie there already, of somebody who goes on with them */
  reserve(bytes = 0): Reservation {
    const held: Held = { bytes, writtenBytes: bytes };
    this.#held.add(held);
    return Object.assign(held, {
      extendTo: (wanted: number) => this.#extend(held, wanted - held.bytes),
      shrinkTo: (wanted: number) => void (held.bytes = Math.min(held.bytes, wanted)),
      release: () => void this.#held.delete(held),
    });
  }

  /** Removes what is too much. */
  async tidy(): Promise<void> {
    await this.#keepBelowMost();
  }

  get #usedBytes(): number {
    const expendable = this.#expendable?.bytes ?? 0;
    return this.#options.storedBytes() + expendable + this.#reservedBytes;
  }

  get #reservedBytes(): number {
    return sum(this.#held, ({ bytes }) => bytes);
  }

  async #extend(held: Held, bytes: number): Promise<boolean> {
    if (bytes <= 0) return true;
    // From now on it counts for others, too.
    held.bytes += bytes;
    let fits = false;
    try {
      fits = (await this.#keepBelowMost()) && (await this.#keepFree());
    } finally {
      if (!fits) held.bytes -= bytes;
    }
    return fits;
  }

  /** @returns whether it is below; removes nothing when that would be in vain */
  async #keepBelowMost(): Promise<boolean> {
    const { evictable, evictableBytes, mostBytes } = this.#options;
    if (this.#usedBytes <= mostBytes) return true;
    const removable = (this.#expendable?.bytes ?? 0) + evictableBytes();
    if (this.#usedBytes - removable > mostBytes) return false;
    while (this.#usedBytes > mostBytes && (await this.#dropOldest()));
    if (this.#usedBytes <= mostBytes) return true;
    for (const { remove } of evictable()) {
      // What is reserved does not go, however much is removed for it.
      const reserved = this.#reservedBytes;
      if (this.#usedBytes <= reserved + (mostBytes - reserved) * lowWater) break;
      await remove();
    }
    return this.#usedBytes <= mostBytes;
  }

  async #keepFree(): Promise<boolean> {
    const missing = async (): Promise<number> => {
      // What others are still going to write.
      const unwritten = sum(this.#held, (held) => Math.max(0, held.bytes - held.writtenBytes));
      return unwritten - (await this.#options.freeBytes());
    };
    while ((await missing()) > 0 && (await this.#dropOldest()));
    let left = await missing();
    if (left <= 0) return true;
    const { evictable, evictableBytes } = this.#options;
    if (evictableBytes() < left) return false;
    for (const { bytes, remove } of evictable()) {
      if (left <= 0) break;
      await remove();
      left -= bytes;
    }
    return (await missing()) <= 0;
  }

  async #dropOldest(): Promise<boolean> {
    return (await this.#expendable?.dropOldest()) ?? false;
  }
}

/** Part of what reservations leave that may stay, so that not each of them removes something. */
const lowWater = 0.9;

function sum<Item>(items: Iterable<Item>, valueOf: (item: Item) => number): number {
  let total = 0;
  for (const item of items) total += valueOf(item);
  return total;
}
