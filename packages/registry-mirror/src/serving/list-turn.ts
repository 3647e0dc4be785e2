/**
 * Of lists that are not short, one of each upstream is read at a time, and one more: each may take all of its limit, and its entries more.
 * However slowly an upstream sends, those of others have their turn.
 */
export class ListTurns {
  /** Upstreams of those that are read. */
  readonly #held: string[] = [];
  readonly #waiting: { readonly upstream: string; readonly resolve: () => void }[] = [];

  /** Waits for a turn; the caller calls the result exactly once to give it back. */
  async take(upstream: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const turn = Promise.withResolvers<void>();
    const waiting = { upstream, resolve: turn.resolve };
    const onAbort = (): void => {
      const index = this.#waiting.indexOf(waiting);
      // One that was handed over in the same moment is not lost: the wait is over then.
      if (index === -1) return;
      this.#waiting.splice(index, 1);
      turn.reject(signal.reason);
    };
    this.#waiting.push(waiting);
    this.#handOver();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await turn.promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
    return () => {
      this.#held.splice(this.#held.indexOf(upstream), 1);
      this.#handOver();
    };
  }

  /** To those who came first of all that may have one. */
  #handOver(): void {
    for (const waiting of this.#waiting.splice(0)) {
      if (this.#mayHold(waiting.upstream)) {
        this.#held.push(waiting.upstream);
        waiting.resolve();
      } else {
        this.#waiting.push(waiting);
      }
    }
  }

  #mayHold(upstream: string): boolean {
    return !this.#held.includes(upstream) || this.#held.length === new Set(this.#held).size;
  }
}

/** Lets the reader of a list hold much of it when it is his turn. A little of it, which is all of most lists, anybody may hold at any time. */
export class ListTurn {
  readonly #turns: ListTurns;
  readonly #upstream: string;
  #giveBack: (() => void) | undefined;
  #isWaitedFor = false;

  constructor(turns: ListTurns, upstream: string) {
    this.#turns = turns;
    this.#upstream = upstream;
  }

  get isWaitedFor(): boolean {
    return this.#isWaitedFor;
  }

  /** Waits for the turn, once there is more than a little. */
  async goOnTo(bytes: number, signal: AbortSignal): Promise<void> {
    if (bytes <= shortBytes || this.#giveBack !== undefined) return;
    this.#isWaitedFor = true;
    try {
      this.#giveBack = await this.#turns.take(this.#upstream, signal);
    } finally {
      this.#isWaitedFor = false;
    }
  }

  /** Lets the next one go on. */
  end(): void {
    this.#giveBack?.();
    this.#giveBack = undefined;
  }
}

/** Some thousand tags. */
const shortBytes = 64 * 1024;
