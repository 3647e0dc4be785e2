/** At most so many at once; the others wait in the order in which they came. */
export class Slots {
  readonly #count: number;
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#count = count;
    this.#free = count;
  }

  /** Waits for a slot; the caller calls the result exactly once to give it back. */
  async take(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
    } else {
      const turn = Promise.withResolvers<void>();
      this.#waiting.push(turn.resolve);
      const onAbort = (): void => {
        const index = this.#waiting.indexOf(turn.resolve);
        // A slot that was handed over in the same moment is not lost: the wait is over then.
        if (index === -1) return;
        this.#waiting.splice(index, 1);
        turn.reject(signal?.reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      try {
        await turn.promise;
      } finally {
        signal?.removeEventListener("abort", onAbort);
      }
    }
    return this.#giveBack();
  }

  /**
   * Takes a slot beyond the limit, for one that cannot wait any longer. Whoever waits does so until the limit holds again.
   *
   * @returns undefined when there are as many beyond it as within
   */
  takeBeyond(): (() => void) | undefined {
    if (this.#free <= -this.#count) return undefined;
    this.#free -= 1;
    return this.#giveBack();
  }

  #giveBack(): () => void {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = this.#free < 0 ? undefined : this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    };
  }
}
