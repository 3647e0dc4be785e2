export interface ExpiringMapBytes<Value> {
  /** What all values together may take. */
  readonly maxBytes: number;
  readonly bytesOf: (value: Value) => number;
}

/**
 * Remembers values for a while; of too many, or too large ones, those that were set first are forgotten. When the clock is set back, nobody
 * knows how old a value is, so it is forgotten, too.
 */
export class ExpiringMap<Value> {
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #maxEntries: number;
  readonly #now: () => number;
  readonly #limit: ExpiringMapBytes<Value> | undefined;
  #bytes = 0;

  constructor(maxEntries: number, now: () => number, limit?: ExpiringMapBytes<Value>) {
    this.#maxEntries = maxEntries;
    this.#now = now;
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  set(key: string, value: Value, lifetimeMs: number): void {
    this.delete(key);
    const setAtMs = this.#now();
    this.#entries.set(key, { value, setAtMs, expiresAtMs: setAtMs + lifetimeMs });
    this.#bytes += this.#limit?.bytesOf(value) ?? 0;
    const maxBytes = this.#limit?.maxBytes ?? Infinity;
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxEntries && this.#bytes <= maxBytes) break;
      this.delete(oldest);
    }
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const nowMs = this.#now();
    if (entry.setAtMs <= nowMs && nowMs < entry.expiresAtMs) return entry.value;
    this.delete(key);
    return undefined;
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= this.#limit?.bytesOf(entry.value) ?? 0;
  }

  /** Forgets every key for which the test is true. */
  deleteWhere(test: (key: string) => boolean): void {
    for (const key of this.#entries.keys()) if (test(key)) this.delete(key);
  }
}

interface Entry<Value> {
  readonly value: Value;
  readonly setAtMs: number;
  readonly expiresAtMs: number;
}
