/** Lets so many actions run at once; the others wait for their turn, unless their signal aborts. */
export function createLimit(
  most: number,
): <Result>(action: () => Promise<Result>, signal?: AbortSignal) => Promise<Result> {
  let running = 0;
  const waiting = new Set<() => void>();

  const isFull = (): boolean => running >= most;

  async function turn(signal: AbortSignal | undefined): Promise<void> {
    while (isFull()) {
      const woken = Promise.withResolvers<void>();
      const wake = (): void => woken.resolve();
      const onAbort = (): void => woken.reject(signal?.reason);
      waiting.add(wake);
      signal?.addEventListener("abort", onAbort, { once: true });
      try {
        signal?.throwIfAborted();
        await woken.promise;
      } finally {
        waiting.delete(wake);
        signal?.removeEventListener("abort", onAbort);
      }
    }
    // Here, where nothing waits any more, so that nobody else takes the same place.
    running += 1;
  }

  return async (action, signal) => {
    await turn(signal);
    try {
      return await action();
    } finally {
      running -= 1;
      const [next] = waiting;
      next?.();
    }
  };
}
