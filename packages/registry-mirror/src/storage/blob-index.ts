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

/** All blobs of a disk, and how many bytes they are together. */
export class BlobIndex {
  readonly #entries = new Map<Digest, BlobEntry>();
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

  /** Those that are there now, each as it is when its turn comes. */
  *blobs(): Generator<StoredBlob, void, void> {
    // Who removes and adds blobs meanwhile would never come to an end otherwise.
    const digests = [...this.#entries.keys()];
    for (const digest of digests) {
      const entry = this.#entries.get(digest);
      if (entry !== undefined) yield { digest, bytes: entry.bytes, lastUsedAtMs: entry.lastUsedAtMs };
    }
  }

  set(digest: Digest, entry: BlobEntry): void {
    this.#bytes += entry.bytes - (this.#entries.get(digest)?.bytes ?? 0);
    this.#entries.set(digest, entry);
  }

  forget(digest: Digest): void {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return;
    this.#entries.delete(digest);
    this.#bytes -= entry.bytes;
  }
}

/** Those that may go, oldest first. Large ones go first; small ones only when that is not enough, since they free nothing. */
export function inOrderOfEviction(blobs: Iterable<StoredBlob>, pinned: ReadonlySet<Digest>): readonly StoredBlob[] {
  const loose = [...blobs].filter(({ digest }) => !pinned.has(digest));
  const byAge = loose.sort((one, other) => one.lastUsedAtMs - other.lastUsedAtMs);
  const large = byAge.filter(({ bytes }) => bytes >= smallBytes);
  const small = byAge.filter(({ bytes }) => bytes < smallBytes);
  return [...large, ...small];
}

const smallBytes = 64 * 1024;
