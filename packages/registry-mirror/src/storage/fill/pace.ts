import type { Clock } from "../../clock.ts";
import type { BlockPool } from "./block-pool.ts";
import type { Patience } from "./patience.ts";
import type { Readers } from "./readers.ts";
import type { RecentBytes } from "./recent-bytes.ts";
import type { Spool } from "./spool.ts";

export interface PaceOptions {
  readonly pool: BlockPool;
  readonly recent: RecentBytes;
  readonly spool: Spool;
  readonly readers: Readers;
  readonly patience: Patience;
  readonly clock: Clock;
  /** How long a disk or a client may stand still. */
  readonly idleMs: number;
  /** Ends the fill: nobody wants it any more. */
  readonly giveUp: () => void;
  readonly signal: AbortSignal;
}

/** Lets a source be no faster than those who take its bytes. */
export class Pace {
  readonly #options: PaceOptions;

  constructor(options: PaceOptions) {
    this.#options = options;
  }

  /** To be called when something has arrived. @returns a promise when no more may come until it settles */
  next(): Promise<void> | undefined {
    const { giveUp, readers, recent, signal, spool } = this.#options;
    if (spool.isStoring) return this.#isAheadOfDisk ? this.#waitForDisk() : undefined;
    this.trim();
    if (readers.size === 0 && recent.end > maxRecentBytes) giveUp();
    signal.throwIfAborted();
    return this.#isAheadOfReaders ? this.#waitForReaders() : undefined;
  }

  /** Bytes that are on the disk stay in memory only for readers that are close behind. */
  trim(): void {
    const { readers, recent, spool } = this.#options;
    recent.dropBefore(spool.isStoring ? Math.min(spool.writtenBytes, recent.end - maxRecentBytes) : readers.slowest);
  }

  get #isAheadOfDisk(): boolean {
    const { pool, spool } = this.#options;
    return spool.isStoring && pool.isScarce && spool.unwrittenBytes > maxUnwrittenBytes;
  }

  get #isAheadOfReaders(): boolean {
    const { recent } = this.#options;
    return recent.end - recent.start > maxRecentBytes;
  }

  /** A disk that stands still is not waited for: the clients get their bytes without it. */
  async #waitForDisk(): Promise<void> {
    const { patience, spool } = this.#options;
    const wait = async (): Promise<void> => {
      while (this.#isAheadOfDisk) {
        if (await this.#moves(() => spool.isStoring && spool.writtenBytes)) continue;
        spool.stop(new Error("the disk takes nothing for too long"));
      }
    };
    await patience.pausedWhile(wait());
    await this.next();
  }

  /** Nothing keeps the bytes but memory, so the slowest reader sets the pace; one that stands still is left behind. */
  async #waitForReaders(): Promise<void> {
    const { patience, readers } = this.#options;
    const wait = async (): Promise<void> => {
      for (; this.#isAheadOfReaders; this.trim()) {
        if (await this.#moves(() => readers.slowest)) continue;
        readers.dropSlowest();
        readers.wake();
      }
    };
    await patience.pausedWhile(wait());
  }

  /** Waits for something to become different. @returns whether it did in time */
  async #moves(look: () => unknown): Promise<boolean> {
    const { clock, idleMs, readers, signal } = this.#options;
    const before = look();
    const timer = new AbortController();
    const late = clock.sleep(idleMs, timer.signal).then(
      () => false,
      () => false,
    );
    const move = async (): Promise<boolean> => {
      while (look() === before && !timer.signal.aborted) {
        signal.throwIfAborted();
        await readers.change();
      }
      return true;
    };
    try {
      return await Promise.race([move(), late]);
    } finally {
      timer.abort();
    }
  }
}

/** Per fill, for readers that keep up: they need no file. */
const maxRecentBytes = 4 * 1024 * 1024;
/** Per fill, while memory is scarce: more than this waits for a disk that is slower than the network. */
const maxUnwrittenBytes = 4 * 1024 * 1024;
