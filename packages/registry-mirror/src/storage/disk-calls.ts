import { systemClock } from "../clock.ts";
import type { Clock } from "../clock.ts";

/** The disk has not answered for so long that nobody waits for it any more. */
class SilentDiskError extends Error {
  override readonly name = "SilentDiskError";

  constructor() {
    super("the disk does not answer");
  }
}

export interface DiskCallOptions<Result> {
  /** Whether it waits until something is really on the disk, which may take long. @default false */
  readonly isSync?: boolean;
  /** Gets what still came of a call that was given up. */
  readonly onLate?: (result: Result) => void;
}

/** A call that waits for its turn, or is being made. */
interface Call {
  readonly isSync: boolean;
  /** Whether it is to be made, however late. */
  readonly isOwed: boolean;
  readonly make: () => void;
  readonly reject: (reason: unknown) => void;
  ticksLeft: number;
  isLate: boolean;
}

/**
 * Makes the calls of the operating system for one disk. A call cannot be ended: one that a disk does not answer keeps one of the few threads
 * that Node has for all files and for the look-up of names, until the disk answers. So only some are made at once, one that takes too long is
 * given up, and then no other is made before the disk has answered again.
 *
 * Each piece of a blob is such a call, so what is left of one must be garbage at once. The list that a signal has of its listeners and the
 * tables of a `Set` let what is over point to what comes after it: once one of them has become old, all later ones seem to be of use until all
 * memory is searched, and Node makes the room for new things larger and larger. So these wait in arrays, and listen to nothing.
 */
export class DiskCalls {
  readonly #clock: Clock;
  #waiting: Call[] = [];
  /** Those that wait until they may wait for their turn. */
  #waitingSyncs: Call[] = [];
  /** The one that waits for its turn, or is being made. */
  #sync: Call | undefined;
  readonly #running: Call[] = [];
  #freeSlots = maxAtOnce;
  #lateCalls = 0;
  #isWatched = false;

  /** @param clock - of the machine: what a disk does takes time also where another one stands still */
  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Whether there are calls that were given up, and have not been answered since. */
  get isSilent(): boolean {
    return this.#lateCalls > 0;
  }

  /**
   * Makes a call when it is its turn.
   *
   * @throws {SilentDiskError} it, or one before it, took too long
   */
  async run<Result>(action: () => Promise<Result>, options: DiskCallOptions<Result> = {}): Promise<Result> {
    if (this.isSilent) throw new SilentDiskError();
    return this.#enqueue(action, options, false);
  }

  /**
   * Makes a call that nobody needs the result of, however long it takes until the disk answers: closes, removes.
   *
   * @returns a promise that resolves when it was made, well or not, or the disk is silent
   */
  async afterwards(action: () => Promise<unknown>): Promise<void> {
    // What cannot be removed is found at the next start at the latest.
    const made = this.#enqueue(action, {}, true).catch(() => {});
    if (!this.isSilent) await made;
  }

  #enqueue<Result>(
    action: () => Promise<Result>,
    { isSync = false, onLate }: DiskCallOptions<Result>,
    isOwed: boolean,
  ): Promise<Result> {
    const { promise, reject, resolve } = Promise.withResolvers<Result>();
    const make = (): void => {
      action().then(
        (result) => {
          this.#noteAnswer(call);
          if (call.isLate) onLate?.(result);
          else resolve(result);
        },
        (error: unknown) => {
          this.#noteAnswer(call);
          reject(error);
        },
      );
    };
    const call: Call = { isSync, isOwed, make, reject, ticksLeft: isSync ? syncTicks : ticks, isLate: false };
    (isSync ? this.#waitingSyncs : this.#waiting).push(call);
    this.#makeNext();
    return promise;
  }

  #makeNext(): void {
    if (this.#sync === undefined && this.#waitingSyncs.length > 0) {
      this.#sync = this.#waitingSyncs.shift();
      if (this.#sync !== undefined) this.#waiting.push(this.#sync);
    }
    while (this.#freeSlots > 0) {
      const call = this.#waiting.shift();
      if (call === undefined) return;
      this.#freeSlots -= 1;
      this.#running.push(call);
      if (!this.#isWatched) void this.#watch();
      call.make();
    }
  }

  #noteAnswer(call: Call): void {
    this.#freeSlots += 1;
    if (this.#sync === call) this.#sync = undefined;
    if (call.isLate) this.#lateCalls -= 1;
    else this.#running.splice(this.#running.indexOf(call), 1);
    this.#makeNext();
  }

  /** Counts time that has passed for this process: one that was stopped for a while takes no disk for silent. */
  async #watch(): Promise<void> {
    this.#isWatched = true;
    while (this.#running.length > 0) {
      await this.#clock.sleep(tickMs);
      for (const call of this.#running) call.ticksLeft -= 1;
      for (const call of this.#running.filter(({ ticksLeft }) => ticksLeft <= 0)) this.#giveUp(call);
    }
    this.#isWatched = false;
  }

  #giveUp(late: Call): void {
    late.isLate = true;
    this.#lateCalls += 1;
    this.#running.splice(this.#running.indexOf(late), 1);
    const silence = new SilentDiskError();
    late.reject(silence);
    const waiting = [...this.#waiting, ...this.#waitingSyncs];
    // Who owes a call does not wait for it any more; it is made all the same.
    for (const call of [...this.#running, ...waiting].filter(({ isOwed }) => isOwed)) call.reject(silence);
    for (const call of waiting.filter(({ isOwed }) => !isOwed)) {
      if (this.#sync === call) this.#sync = undefined;
      call.reject(silence);
    }
    this.#waiting = waiting.filter(({ isOwed }) => isOwed);
    this.#waitingSyncs = [];
  }
}

const tickMs = 1000;
/** As long as a client's wait for something new. */
const ticks = 6;
/** Nobody waits for it but the fill, which has given its clients everything by then. */
const syncTicks = 120;
/** Of the four threads that Node has unless it is told otherwise; names must be looked up all the same. */
const maxAtOnce = 3;
