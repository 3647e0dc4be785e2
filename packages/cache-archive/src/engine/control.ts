import { JobAborted } from "./job-aborted.ts";

/*
 * How the participants of one job divide its units among themselves. All of it lies in shared memory, since a participant
 * works synchronously and would not see a message before its end.
 */

const NEXT = 0;
const STATE = 1;
const COMMITTED = 2;
const DONE = 3;
const SHARE = 4;
const PUBLISHED = 5;
const IS_WHOLE = 6;
const WORDS = 8;

/* Of STATE; 0 before. */
const STOPPED = 1;
const FINAL = 2;

/** A lost wake-up or a dead participant delays the others by this much at most, since they look again. */
const LONGEST_SLEEP_MS = 50;

/** What {@link JobControl} needs in another thread. */
export interface SharedControl {
  readonly memory: SharedArrayBuffer;
  /** Numbers of units that may begin only when all units before them are done; ascending. */
  readonly phases: readonly number[];
}

/** A new control block for so many units. */
export function makeControl(units: number, phases: readonly number[] = []): SharedControl {
  const control = { ...makeGrowingControl(), phases };
  new JobControl(control).publish(units, true);
  return control;
}

/** A new control block for units that are still to be found, and told of by {@link JobControl.publish}. */
export function makeGrowingControl(): SharedControl {
  const memory = new SharedArrayBuffer(WORDS * 4 + 8);
  new Int32Array(memory, 0, WORDS)[SHARE] = 0x7fff_ffff;
  return { memory, phases: [] };
}

/** Claims units, in ascending order over all participants, and counts those that are done. */
export class JobControl {
  readonly #words: Int32Array;
  readonly #length: Float64Array;
  readonly #phases: readonly number[];

  constructor({ memory, phases }: SharedControl) {
    this.#phases = phases;
    this.#words = new Int32Array(memory, 0, WORDS);
    this.#length = new Float64Array(memory, WORDS * 4, 1);
  }

  /**
   * So many units are there, and everything about them can be read by those who claim them.
   *
   * @param isWhole - whether no more will come
   */
  publish(units: number, isWhole: boolean): void {
    Atomics.store(this.#words, PUBLISHED, units);
    if (isWhole) Atomics.store(this.#words, IS_WHOLE, 1);
    Atomics.notify(this.#words, PUBLISHED);
  }

  /**
   * The next unit for this participant; waits for it to be found, and for the phase before to end.
   *
   * @param participant - number in the job, from 0; those from {@link share} on leave, even while they wait for a unit to be found
   * @param beforeWaiting - called before a wait, to do what others may be waiting for
   * @returns undefined when nothing is left, or nothing for this participant
   */
  claim(participant: number, beforeWaiting: () => void): number | undefined {
    const unit = this.#claimPublished(participant, beforeWaiting);
    if (unit === undefined) return undefined;
    const barrier = this.#phases.findLast((phase) => phase <= unit) ?? 0;
    if (Atomics.load(this.#words, DONE) < barrier) {
      beforeWaiting();
      if (!this.#wait(DONE, (done) => done >= barrier)) return undefined;
    }
    return unit;
  }

  /** One claimed unit is done. */
  finish(): void {
    Atomics.add(this.#words, DONE, 1);
    Atomics.notify(this.#words, DONE);
  }

  get isComplete(): boolean {
    return this.#isWhole && Atomics.load(this.#words, DONE) >= Atomics.load(this.#words, PUBLISHED);
  }

  /** Whether every unit was claimed, so that nobody else is needed. */
  get isExhausted(): boolean {
    return this.#isWhole && Atomics.load(this.#words, NEXT) >= Atomics.load(this.#words, PUBLISHED);
  }

  /** Whether no unit was claimed yet. */
  get isUntouched(): boolean {
    return Atomics.load(this.#words, NEXT) === 0;
  }

  /** Everybody leaves after the unit at hand, unless the job {@link isFinal}. */
  abort(): void {
    Atomics.compareExchange(this.#words, STATE, 0, STOPPED);
    this.#wakeAll();
  }

  /** Something failed: everybody leaves after the unit at hand, whatever that leaves behind. */
  fail(): void {
    Atomics.store(this.#words, STATE, STOPPED);
    this.#wakeAll();
  }

  get isAborted(): boolean {
    return Atomics.load(this.#words, STATE) === STOPPED;
  }

  /** @throws {JobAborted} whoever claimed a unit has to leave it */
  throwIfAborted(): void {
    if (this.isAborted) throw new JobAborted();
  }

  /**
   * From now on an abort comes too late: what follows would leave things half done.
   *
   * @returns false when the job was aborted already
   */
  makeFinal(): boolean {
    return Atomics.compareExchange(this.#words, STATE, 0, FINAL) !== STOPPED;
  }

  get isFinal(): boolean {
    return Atomics.load(this.#words, STATE) === FINAL;
  }

  /** Participants with this number or a higher one leave after the unit at hand, or while they wait for one to be found. */
  set share(participants: number) {
    Atomics.store(this.#words, SHARE, participants);
    Atomics.notify(this.#words, PUBLISHED);
  }

  /** Whether it is this unit's turn to take its place in the output. */
  isTurnOf(unit: number): boolean {
    return Atomics.load(this.#words, COMMITTED) === unit;
  }

  /** @returns false when the job was aborted meanwhile */
  waitForTurnOf(unit: number): boolean {
    return this.#wait(COMMITTED, (committed) => committed >= unit);
  }

  /** Takes so many bytes of the output for the unit whose turn it is, and lets the next one have its turn. */
  commit(bytes: number): void {
    this.#length[0] = this.length + bytes;
    Atomics.add(this.#words, COMMITTED, 1);
    Atomics.notify(this.#words, COMMITTED);
  }

  /** Length of the output so far. Only the unit whose turn it is may read it. */
  get length(): number {
    return this.#length[0] ?? 0;
  }

  get #isWhole(): boolean {
    return Atomics.load(this.#words, IS_WHOLE) === 1;
  }

  /** Claims nothing that is still to be found, so that whoever waits for that can leave without it. */
  #claimPublished(participant: number, beforeWaiting: () => void): number | undefined {
    const isUnwanted = (): boolean => participant >= Atomics.load(this.#words, SHARE);
    while (!this.isAborted && !isUnwanted()) {
      // Read before the number of units, which is final then.
      const isWhole = this.#isWhole;
      const published = Atomics.load(this.#words, PUBLISHED);
      const unit = Atomics.load(this.#words, NEXT);
      if (unit < published) {
        if (Atomics.compareExchange(this.#words, NEXT, unit, unit + 1) === unit) return unit;
      } else if (isWhole) {
        return undefined;
      } else {
        beforeWaiting();
        this.#wait(PUBLISHED, (now) => now > published || this.#isWhole || isUnwanted());
      }
    }
    return undefined;
  }

  #wakeAll(): void {
    Atomics.notify(this.#words, PUBLISHED);
    Atomics.notify(this.#words, DONE);
    Atomics.notify(this.#words, COMMITTED);
  }

  #wait(word: number, isReached: (value: number) => boolean): boolean {
    for (;;) {
      if (this.isAborted) return false;
      const value = Atomics.load(this.#words, word);
      if (isReached(value)) return true;
      Atomics.wait(this.#words, word, value, LONGEST_SLEEP_MS);
    }
  }
}
