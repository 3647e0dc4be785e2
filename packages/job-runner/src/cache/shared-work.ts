interface Flight<T, Progress> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  /** Everybody who waits for it. */
  readonly waiting: Set<SharedWorker<T, Progress>>;
  /** How far it is, once it has told. */
  progress: Progress | undefined;
}

/** One of those who want the same work. */
export interface SharedWorker<T, Progress> {
  readonly signal: AbortSignal;
  /** Does the work, if nobody else has started it. What it reports comes to everybody who waits. */
  readonly start: (signal: AbortSignal, report: (progress: Progress) => void) => Promise<T>;
  /** Told how far the work is, whoever does it. Must not throw. @default nobody listens */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Called when somebody else has started the work, before it is waited for. Must not throw. @default nobody is told */
  readonly onJoin?: (() => void) | undefined;
}

/** Work that several callers want at the same time and that is done once. */
export class SharedWork<T, Progress = never> {
  readonly #flights = new Map<string, Flight<T, Progress>>();

  /**
   * Joins the work of that name, or starts it. It is stopped when nobody waits for it any longer; the last one to leave waits for its end, so
   * that nothing of it goes on behind its back.
   *
   * @returns what came of it, and whether somebody else had started it
   * @throws the signal's reason when it aborts; the work's own error, to everybody who waits
   */
  async run(
    name: string,
    worker: SharedWorker<T, Progress>,
  ): Promise<{ readonly result: T; readonly joined: boolean }> {
    const { signal, onJoin, onProgress } = worker;
    signal.throwIfAborted();
    const known = this.#flights.get(name);
    const flight = known ?? this.#start(name, worker);
    if (known !== undefined) {
      onJoin?.();
      if (known.progress !== undefined) onProgress?.(known.progress);
      known.waiting.add(worker);
    }
    try {
      return { result: await unlessAborted(flight.result, signal), joined: known !== undefined };
    } finally {
      flight.waiting.delete(worker);
      if (flight.waiting.size === 0) await this.#end(name, flight, signal.reason);
    }
  }

  #start(name: string, worker: SharedWorker<T, Progress>): Flight<T, Progress> {
    const stop = new AbortController();
    const waiting = new Set([worker]);
    const report = (progress: Progress): void => {
      flight.progress = progress;
      for (const { onProgress } of waiting) onProgress?.(progress);
    };
    const { promise, resolve } = Promise.withResolvers<T>();
    const flight: Flight<T, Progress> = { result: promise, stop, waiting, progress: undefined };
    this.#flights.set(name, flight);
    // One that throws at once has failed like any other.
    const begin = async (): Promise<T> => await worker.start(stop.signal, report);
    resolve(begin());
    return flight;
  }

  async #end(name: string, flight: Flight<T, Progress>, reason: unknown): Promise<void> {
    if (this.#flights.get(name) === flight) this.#flights.delete(name);
    flight.stop.abort(reason);
    // What comes of it is told by who waited for it.
    await Promise.allSettled([flight.result]);
  }
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}
