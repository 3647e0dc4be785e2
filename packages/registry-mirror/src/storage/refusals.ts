/**
 * Which names were refused lately, each with the number that its last refusal has among all: what was asked for before that opens nothing
 * any more, also where nothing was open that could have been withdrawn. Of too many names those that were refused first are forgotten; then
 * every other question from before that counts as refused, too.
 */
export class Refusals {
  readonly #last = new Map<string, number>();
  readonly #maxNames: number;
  #count = 0;
  #forgotten = 0;

  constructor(maxNames = 10_000) {
    this.#maxNames = maxNames;
  }

  /** How many there were so far. */
  get count(): number {
    return this.#count;
  }

  note(name: string): void {
    this.#count += 1;
    this.#last.delete(name);
    this.#last.set(name, this.#count);
    const [oldest] = this.#last;
    if (oldest === undefined || this.#last.size <= this.#maxNames) return;
    this.#last.delete(oldest[0]);
    this.#forgotten = oldest[1];
  }

  /** The number of a name's last one; 0 when there was none lately. */
  lastOf(name: string): number {
    return this.#last.get(name) ?? 0;
  }

  /** Whether a name was refused, or may have been, since there were so many. */
  isRefusedSince(name: string, count: number): boolean {
    return count < (this.#last.get(name) ?? this.#forgotten);
  }
}
