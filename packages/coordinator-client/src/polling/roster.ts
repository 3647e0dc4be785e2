import { JobNumbers } from "./job-numbers.ts";
import { RunnerState } from "./runner-state.ts";
import type { PolledRunner } from "./types.ts";

/**
 * The runners in the order of the configuration, and whose turn it is.
 *
 * A runner keeps what is known about it for as long as URL and token stay the same. Several entries may have the same URL and
 * token: then the first stays the first, the second the second, and so on.
 */
export class Roster<Runner extends PolledRunner> {
  readonly #known = new Map<string, RunnerState<Runner>>();
  /** By URL and token. */
  readonly #numbers = new Map<string, JobNumbers>();
  #order: readonly RunnerState<Runner>[] = [];
  #next = 0;

  get size(): number {
    return this.#order.length;
  }

  get runningJobs(): number {
    return [...this.#known.values()].reduce((sum, state) => sum + state.runningJobs, 0);
  }

  /** Takes over a list of runners; all of them count as healthy then. */
  replace(runners: readonly Runner[], now: number): void {
    const occurrences = new Map<string, number>();
    this.#order = runners.map((runner) => {
      const identity = `${runner.url}\n${runner.token.reveal()}`;
      const occurrence = occurrences.get(identity) ?? 0;
      occurrences.set(identity, occurrence + 1);
      return this.#adopt(runner, identity, occurrence, now);
    });
    this.#next = 0;
    this.#forget();
  }

  has(state: RunnerState<Runner>): boolean {
    return this.#order.includes(state);
  }

  /** The runner whose turn it is. */
  takeTurn(): RunnerState<Runner> | undefined {
    return this.#takeFirst(() => true);
  }

  /**
   * A runner to ask before its turn, if any is hungry: the next one in the usual order that is, or that was not asked
   * for a whole interval. So one runner with many jobs does not keep the others waiting.
   */
  takeHungry(askedBefore: number): RunnerState<Runner> | undefined {
    if (!this.#order.some((state) => state.isHungry)) return undefined;
    return this.#takeFirst((state) => state.isHungry || state.askedAt <= askedBefore);
  }

  /** Drops the states of runners that are gone, once nothing of them goes on, and the numbers that nobody uses. */
  #forget(): void {
    for (const [key, state] of this.#known) {
      if (state.isIdle && !this.#order.includes(state)) this.#known.delete(key);
    }
    const used = new Set([...this.#known.values()].map((state) => state.numbers));
    for (const [identity, numbers] of this.#numbers) {
      if (!used.has(numbers)) this.#numbers.delete(identity);
    }
  }

  #takeFirst(matches: (state: RunnerState<Runner>) => boolean): RunnerState<Runner> | undefined {
    for (let step = 0; step < this.#order.length; step += 1) {
      const index = (this.#next + step) % this.#order.length;
      const state = this.#order[index];
      if (state !== undefined && matches(state)) {
        this.#next = index + 1;
        return state;
      }
    }
    return undefined;
  }

  #adopt(runner: Runner, identity: string, occurrence: number, now: number): RunnerState<Runner> {
    const numbers = this.#numbers.get(identity) ?? new JobNumbers();
    this.#numbers.set(identity, numbers);
    const key = `${identity}\n${occurrence}`;
    const state = this.#known.get(key) ?? new RunnerState(runner, numbers, now);
    state.runner = runner;
    state.health.reset(now);
    this.#known.set(key, state);
    return state;
  }
}
