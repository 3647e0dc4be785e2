import { systemClock } from "../clock.ts";
import type { Clock } from "../clock.ts";
import { orAbort } from "../single-flight.ts";
import { Slots } from "../slots.ts";

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

interface Running {
  ticksLeft: number;
  readonly giveUp: () => void;
}

/**
 * Makes the calls of the operating system for one disk. A call cannot be ended: one that a disk does not answer keeps one of the few threads
 * that Node has for all files and for the look-up of names, until the disk answers. So only some are made at once, one that takes too long is
 * given up, and then no other is made before the disk has answered again.
 */
export class DiskCalls {
  readonly #clock: Clock;
  readonly #slots = new Slots(maxAtOnce);
  readonly #syncSlots = new Slots(1);
  readonly #running = new Set<Running>();
  #isWatched = false;
  #lateCalls = 0;
  #silence = new AbortController();

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
  async run<Result>(call: () => Promise<Result>, options: DiskCallOptions<Result> = {}): Promise<Result> {
    const { isSync = false } = options;
    if (this.isSilent) throw new SilentDiskError();
    const { signal } = this.#silence;
    const syncDone = isSync ? await this.#syncSlots.take(signal) : undefined;
    let giveBack: () => void;
    try {
      giveBack = await this.#slots.take(signal);
    } catch (error) {
      syncDone?.();
      throw error;
    }
    const done = (): void => {
      giveBack();
      syncDone?.();
    };
    return this.#make(call, options, done);
  }

  /**
   * Makes a call that nobody needs the result of, however long it takes until the disk answers: closes, removes.
   *
   * @returns a promise that resolves when it was made, well or not, or the disk is silent
   */
  async afterwards(call: () => Promise<unknown>): Promise<void> {
    const make = async (): Promise<void> => {
      const done = await this.#slots.take();
      await this.#make(call, {}, done);
    };
    const made = make();
    // What cannot be removed is found at the next start at the latest.
    await orAbort(made, this.#silence.signal).catch(() => {});
  }

  #make<Result>(
    call: () => Promise<Result>,
    { isSync = false, onLate }: DiskCallOptions<Result>,
    done: () => void,
  ): Promise<Result> {
    const answer = Promise.withResolvers<Result>();
    let isLate = false;
    const giveUp = (): void => {
      isLate = true;
      this.#running.delete(running);
      this.#lateCalls += 1;
      const silence = new SilentDiskError();
      answer.reject(silence);
      this.#silence.abort(silence);
    };
    const running: Running = { ticksLeft: isSync ? syncTicks : ticks, giveUp };
    this.#running.add(running);
    if (!this.#isWatched) void this.#watch();
    const settle = (): void => {
      this.#running.delete(running);
      done();
      if (!isLate) return;
      this.#lateCalls -= 1;
      if (this.#lateCalls === 0) this.#silence = new AbortController();
    };
    call().then(
      (result) => {
        settle();
        if (isLate) onLate?.(result);
        else answer.resolve(result);
      },
      (error: unknown) => {
        settle();
        answer.reject(error);
      },
    );
    return answer.promise;
  }

  /** Counts time that has passed for this process: one that was stopped for a while takes no disk for silent. */
  async #watch(): Promise<void> {
    this.#isWatched = true;
    while (this.#running.size > 0) {
      await this.#clock.sleep(tickMs);
      for (const running of this.#running) {
        running.ticksLeft -= 1;
        if (running.ticksLeft <= 0) running.giveUp();
      }
    }
    this.#isWatched = false;
  }
}

const tickMs = 1000;
/** As long as a client's wait for something new. */
const ticks = 6;
/** Nobody waits for it but the fill, which has given its clients everything by then. */
const syncTicks = 120;
/** Of the four threads that Node has unless it is told otherwise; names must be looked up all the same. */
const maxAtOnce = 3;
