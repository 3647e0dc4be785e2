/** Keeps an upstream that does not answer from being waited for again and again; lets one request at a time try it anew. */
export class CircuitBreaker {
  readonly #now: () => number;
  #failures = 0;
  #openUntilMs = 0;
  #probing = false;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whether the next request would be refused. */
  get isOpen(): boolean {
    return this.#failures > 0 && (this.#probing || this.#now() < this.#openUntilMs);
  }

  /** Takes part in the decision: the caller reports with {@link succeed}, {@link fail} or {@link leave}. */
  tryToEnter(): boolean {
    if (this.isOpen) return false;
    if (this.#failures > 0) this.#probing = true;
    return true;
  }

  succeed(): void {
    this.#failures = 0;
    this.#probing = false;
  }

  fail(): void {
    this.#probing = false;
    this.#failures += 1;
    this.#openUntilMs = this.#now() + Math.min(maxPauseMs, firstPauseMs * 2 ** (this.#failures - 1));
  }

  /** Nothing was learnt: the client went away. */
  leave(): void {
    this.#probing = false;
  }
}

const firstPauseMs = 2000;
const maxPauseMs = 10_000;
