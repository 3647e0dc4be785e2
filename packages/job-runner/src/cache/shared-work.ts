interface Flight<T> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  waiting: number;
}

/** Work that several callers want at the same time and that is done once. */
export class SharedWork<T> {
  readonly #flights = new Map<string, Flight<T>>();

  /**
   * Joins the work of that name, or starts it. It is stopped when nobody waits for it any longer; the last one to leave waits for its end, so
   * that nothing of it goes on behind its back.
   *
   * @returns what came of it, and whether somebody else had started it
   * @throws the signal's reason when it aborts; the work's own error, to everybody who waits
   */
  async run(
    name: string,
    signal: AbortSignal,
    start: (signal: AbortSignal) => Promise<T>,
  ): Promise<{ readonly result: T; readonly joined: boolean }> {
    signal.throwIfAborted();
    const known = this.#flights.get(name);
    const flight = known ?? this.#start(name, start);
    flight.waiting += 1;
    try {
      return { result: await unlessAborted(flight.result, signal), joined: known !== undefined };
    } finally {
      flight.waiting -= 1;
      if (flight.waiting === 0) await this.#end(name, flight, signal.reason);
    }
  }

  #start(name: string, start: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const stop = new AbortController();
    const flight: Flight<T> = { result: start(stop.signal), stop, waiting: 0 };
    this.#flights.set(name, flight);
    return flight;
  }

  async #end(name: string, flight: Flight<T>, reason: unknown): Promise<void> {
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
