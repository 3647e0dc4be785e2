/** Lets everybody who wants the same thing at the same time wait for one attempt; result and failure are shared. */
export class SingleFlight<Result> {
  readonly #running = new Map<string, Promise<Result>>();

  /**
   * @param start - called when nobody is at it; must not depend on the caller, who may leave while others wait
   */
  run(key: string, start: () => Promise<Result>): { readonly result: Promise<Result>; readonly joined: boolean } {
    const running = this.#running.get(key);
    if (running !== undefined) return { result: running, joined: true };
    const result = start().finally(() => this.#running.delete(key));
    this.#running.set(key, result);
    return { result, joined: false };
  }
}

/** Waits for a result that others wait for, too; leaving does not end it. */
export async function orAbort<Result>(result: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (signal === undefined) return result;
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => {});
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    return await Promise.race([result, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    result.catch(() => {});
  }
}
