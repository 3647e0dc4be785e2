import type { Digest } from "../reference/grammar.ts";

/** What is known of a stored blob without opening it. */
export interface StoredBlob {
  readonly digest: Digest;
  readonly bytes: number;
  /** Epoch milliseconds, to an hour after a restart. */
  readonly lastUsedAtMs: number;
}

/** What is remembered of a blob. */
export interface BlobEntry {
  readonly bytes: number;
  lastUsedAtMs: number;
  recordedUseAtMs: number;
  /** Size and times of the file when its bytes were last checked. */
  verifiedStamp: string | undefined;
}

/** All blobs of a disk, and how many bytes they are together; the one that was not used for longest in front. */
export class BlobIndex {
  #entries = new Map<Digest, BlobEntry>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#entries.size;
  }

  get(digest: Digest): BlobEntry | undefined {
    return this.#entries.get(digest);
  }

  /**
   * Those that may go, oldest first: large ones, and only when that is not enough small ones, which free nothing. Each as it is when its turn
   * comes; costs what is looked at, however many there are.
   */
  *inOrderOfEviction(pinned: ReadonlySet<Digest>): Generator<StoredBlob, void, void> {
    for (const isLarge of [true, false])
      for (const [digest, { bytes, lastUsedAtMs }] of this.#entries)
        if (bytes >= smallBytes === isLarge && !pinned.has(digest)) yield { digest, bytes, lastUsedAtMs };
  }

  /** Bytes of those that may go. */
  bytesWithout(pinned: ReadonlySet<Digest>): number {
    let bytes = this.#bytes;
    for (const digest of pinned) bytes -= this.#entries.get(digest)?.bytes ?? 0;
    return bytes;
  }

  /** Those that are there now, each as it is when its turn comes. */
  *blobs(): Generator<StoredBlob, void, void> {
    // Who removes and adds blobs meanwhile would never come to an end otherwise.
    const digests = [...this.#entries.keys()];
    for (const digest of digests) {
      const entry = this.#entries.get(digest);
      if (entry !== undefined) yield { digest, bytes: entry.bytes, lastUsedAtMs: entry.lastUsedAtMs };
    }
  }

  /** Adds one that was used now. */
  set(digest: Digest, entry: BlobEntry): void {
    this.forget(digest);
    this.#bytes += entry.bytes;
    this.#entries.set(digest, entry);
  }

  noteUse(digest: Digest, nowMs: number): void {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return;
    entry.lastUsedAtMs = nowMs;
    this.#entries.delete(digest);
    this.#entries.set(digest, entry);
  }

  /** Puts those in order that were found in another one. */
  sort(): void {
    const byAge = [...this.#entries].sort(([, one], [, other]) => one.lastUsedAtMs - other.lastUsedAtMs);
    this.#entries = new Map(byAge);
  }

  forget(digest: Digest): void {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return;
    this.#entries.delete(digest);
    this.#bytes -= entry.bytes;
  }
}

const smallBytes = 64 * 1024;
