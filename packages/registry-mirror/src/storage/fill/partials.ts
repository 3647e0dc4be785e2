import type { Digest } from "../../reference/grammar.ts";
import type { PartialBlob } from "./fill.ts";
import type { Expendable } from "../room.ts";

/** What fills left that were given up, for those that come later to go on with. None of the files is open. */
export class Partials implements Expendable {
  readonly #now: () => number;
  readonly #maxBytes: number;
  readonly #removeFile: (path: string) => Promise<void>;
  readonly #kept = new Map<Digest, { readonly partial: PartialBlob; readonly expiresAtMs: number }>();

  /**
   * @param now - epoch milliseconds
   * @param maxBytes - of all of them together
   */
  constructor(now: () => number, maxBytes: number, removeFile: (path: string) => Promise<void>) {
    this.#now = now;
    this.#maxBytes = maxBytes;
    this.#removeFile = removeFile;
  }

  get bytes(): number {
    return [...this.#kept.values()].reduce((sum, { partial }) => sum + partial.bytes, 0);
  }

  /** Keeps one; of too many, or too long ones, the oldest go. */
  keep(digest: Digest, partial: PartialBlob): void {
    const replaced = this.take(digest);
    this.#kept.set(digest, { partial, expiresAtMs: this.#now() + lifetimeMs });
    if (replaced !== undefined) void this.#removeFile(replaced.path);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= maxPartials && this.bytes <= this.#maxBytes) return;
      void this.#remove(oldest);
    }
  }

  async dropOldest(): Promise<boolean> {
    for (const oldest of this.#kept.keys()) {
      await this.#remove(oldest);
      return true;
    }
    return false;
  }

  /** Hands one over; it is the caller's then. */
  take(digest: Digest): PartialBlob | undefined {
    const kept = this.#kept.get(digest);
    this.#kept.delete(digest);
    return kept?.partial;
  }

  async removeOld(): Promise<void> {
    for (const [digest, { expiresAtMs }] of this.#kept) if (expiresAtMs <= this.#now()) await this.#remove(digest);
  }

  async removeAll(): Promise<void> {
    for (const digest of this.#kept.keys()) await this.#remove(digest);
  }

  async #remove(digest: Digest): Promise<void> {
    const partial = this.take(digest);
    if (partial !== undefined) await this.#removeFile(partial.path);
  }
}

const lifetimeMs = 60 * 60_000;
const maxPartials = 100;
