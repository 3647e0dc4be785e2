/** At most so many at once; the others wait in the order in which they came. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
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
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    };
  }
}
