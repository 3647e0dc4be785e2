import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat, statfs, utimes } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "../clock.ts";
import type { Metrics } from "../metrics.ts";
import { isDigest } from "../reference/grammar.ts";
import type { Digest } from "../reference/grammar.ts";
import { lockDirectory } from "./directory-lock.ts";
import type { DirectoryLock } from "./directory-lock.ts";
import { blobName } from "./layout.ts";
import { systemCodeOf } from "./system-error.ts";

export interface DiskOptions {
  readonly directory: string;
  readonly maxBytes: number | undefined;
  readonly reserveBytes: number;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** What must go together with a blob that is evicted: the manifests that lead to it. */
  readonly parentsOf: (digest: Digest) => Iterable<Digest>;
  /** What is never removed to make room, or because of its age. */
  readonly pinned: () => ReadonlySet<Digest>;
}

/** What is known of a stored blob without opening it. */
export interface StoredBlob {
  readonly digest: Digest;
  readonly bytes: number;
  /** Epoch milliseconds, to an hour after a restart. */
  readonly lastUsedAtMs: number;
}

/** A stored blob, open for reading; removing it does not change what is read. */
export interface OpenedBlob {
  readonly bytes: number;
  readonly handle: FileHandle;
  /** Whether its bytes were already found to be right, and the file was not touched since. */
  readonly isVerified: boolean;
  /** Remembers that the bytes are right. */
  markVerified(): void;
}

interface Entry {
  readonly bytes: number;
  lastUsedAtMs: number;
  recordedUseAtMs: number;
  /** Size and times of the file when its bytes were last checked. */
  verifiedStamp: string | undefined;
}

/** A file that is being filled. */
export interface TemporaryFile {
  readonly path: string;
  readonly handle: FileHandle;
}

/**
 * Blobs as files: `blobs/<algorithm>/<2 hex>/<hex>`. A file of that name is complete, since it was written elsewhere,
 * brought to the disk, and then renamed. Keeps below a number of bytes by removing what was not used for longest.
 */
export class Disk {
  readonly #options: DiskOptions;
  readonly #lock: DirectoryLock;
  readonly #entries = new Map<Digest, Entry>();
  #storedBytes = 0;
  #isClosed = false;

  private constructor(options: DiskOptions, lock: DirectoryLock) {
    this.#options = options;
    this.#lock = lock;
  }

  /**
   * Finds what an earlier process left: whole blobs are kept, everything unfinished goes.
   *
   * @throws {DirectoryInUseError}
   */
  static async open(options: DiskOptions): Promise<Disk> {
    const { directory } = options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // What is unfinished may be what another process is filling.
    const lock = await lockDirectory(directory);
    const disk = new Disk(options, lock);
    try {
      await disk.#load();
      return disk;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Lets another process have the directory; nothing new is written to it from now on. */
  close(): Promise<void> {
    this.#isClosed = true;
    return this.#lock.release();
  }

  async #load(): Promise<void> {
    const { directory } = this.#options;
    await rm(join(directory, "tmp"), { recursive: true, force: true });
    await mkdir(join(directory, "tmp"), { mode: 0o700 });
    for (const algorithm of ["sha256", "sha512"]) {
      for (const shard of await namesIn(join(directory, "blobs", algorithm))) {
        for (const hex of await namesIn(join(directory, "blobs", algorithm, shard))) {
          const digest = `${algorithm}:${hex}`;
          if (isDigest(digest)) await this.#find(digest);
        }
      }
    }
    this.#report();
  }

  get storedBytes(): number {
    return this.#storedBytes;
  }

  has(digest: Digest): boolean {
    return this.#entries.has(digest);
  }

  blobs(): readonly StoredBlob[] {
    return [...this.#entries].map(([digest, { bytes, lastUsedAtMs }]) => ({ digest, bytes, lastUsedAtMs }));
  }

  lastUsedAtMs(digest: Digest): number | undefined {
    return this.#entries.get(digest)?.lastUsedAtMs;
  }

  /** Counts as a use, usually. What is not as long as it was is removed and counts as absent. */
  async openBlob(digest: Digest, { isUse = true }: { readonly isUse?: boolean } = {}): Promise<OpenedBlob | undefined> {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return undefined;
    const path = this.#pathOf(digest);
    let handle: FileHandle;
    try {
      handle = await open(path, "r");
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT") this.#forget(digest);
      return undefined;
    }
    const facts = await handle.stat({ bigint: true });
    if (Number(facts.size) !== entry.bytes) {
      await handle.close();
      await this.discardDamaged(digest);
      return undefined;
    }
    const stamp = `${facts.size} ${facts.mtimeNs} ${facts.ino}`;
    if (isUse) this.#use(entry, path);
    return {
      bytes: entry.bytes,
      handle,
      isVerified: entry.verifiedStamp === stamp,
      markVerified: () => {
        entry.verifiedStamp = stamp;
      },
    };
  }

  /** Removes a blob whose bytes are not what its name says. */
  async discardDamaged(digest: Digest): Promise<void> {
    this.#options.metrics.add("verification_failures_total", { origin: "disk" });
    await this.remove(digest);
  }

  async remove(digest: Digest): Promise<void> {
    this.#forget(digest);
    await rm(this.#pathOf(digest), { force: true });
  }

  async createTemporary(): Promise<TemporaryFile> {
    if (this.#isClosed) throw new Error("the directory is given back");
    const path = join(this.#options.directory, "tmp", randomUUID());
    return { path, handle: await open(path, "wx+", 0o600) };
  }

  /** Opens a file again that is filled up to here; undefined when it cannot be gone on with. */
  async reopenTemporary(path: string, bytes: number): Promise<TemporaryFile | undefined> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, "r+");
      if (!this.#isClosed && (await handle.stat()).size === bytes) return { path, handle };
    } catch {
      // It is fetched anew then.
    }
    await handle?.close();
    return undefined;
  }

  /** Makes a filled file the blob of this digest. Its bytes were found to be right. */
  async adopt(file: TemporaryFile, digest: Digest): Promise<void> {
    const path = this.#pathOf(digest);
    await file.handle.sync();
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await rename(file.path, path);
    const facts = await file.handle.stat({ bigint: true });
    const now = this.#options.clock.now();
    this.#forget(digest);
    this.#entries.set(digest, {
      bytes: Number(facts.size),
      lastUsedAtMs: now,
      recordedUseAtMs: now,
      verifiedStamp: `${facts.size} ${facts.mtimeNs} ${facts.ino}`,
    });
    this.#storedBytes += Number(facts.size);
    this.#report();
    await this.makeRoom(0);
  }

  /** How long a blob can be and still be stored. */
  get mostBytes(): number {
    return this.#options.maxBytes ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Removes what was not used for longest until so many more bytes fit.
   *
   * @returns whether they do
   */
  async makeRoom(bytes: number): Promise<boolean> {
    const { directory, reserveBytes } = this.#options;
    const most = this.mostBytes;
    if (bytes > most) return false;
    if (this.#storedBytes + bytes > most) await this.#evict(this.#storedBytes + bytes - most * lowWater);
    const isFree = async (): Promise<number> => {
      const { bavail, bsize } = await statfs(directory);
      return bavail * bsize - reserveBytes - bytes;
    };
    if (bytes === 0) return true;
    const missing = await isFree();
    if (missing >= 0) return true;
    await this.#evict(-missing);
    return (await isFree()) >= 0;
  }

  /** Removes everything that was not used since. */
  async removeUnusedSince(epochMs: number): Promise<void> {
    const pinned = this.#options.pinned();
    for (const [digest, entry] of this.#entries) {
      if (entry.lastUsedAtMs >= epochMs || pinned.has(digest)) continue;
      this.#options.metrics.add("evicted_bytes_total", {}, entry.bytes);
      await this.remove(digest);
    }
  }

  /** Large blobs go first; small ones only when that is not enough, since they free nothing. */
  async #evict(bytes: number): Promise<void> {
    let left = bytes;
    const pinned = this.#options.pinned();
    const loose = [...this.#entries].filter(([digest]) => !pinned.has(digest));
    const byAge = loose.sort(([, one], [, other]) => one.lastUsedAtMs - other.lastUsedAtMs);
    const large = byAge.filter(([, entry]) => entry.bytes >= smallBytes);
    const small = byAge.filter(([, entry]) => entry.bytes < smallBytes);
    for (const [digest, entry] of [...large, ...small]) {
      if (left <= 0) return;
      if (!this.#entries.has(digest)) continue;
      // Who gets a manifest must be able to get its layers.
      for (const parent of this.#options.parentsOf(digest)) {
        if (pinned.has(parent)) continue;
        left -= this.#entries.get(parent)?.bytes ?? 0;
        await this.remove(parent);
      }
      left -= entry.bytes;
      this.#options.metrics.add("evicted_bytes_total", {}, entry.bytes);
      await this.remove(digest);
    }
  }

  async #find(digest: Digest): Promise<void> {
    const { size, mtimeMs } = await stat(this.#pathOf(digest));
    this.#entries.set(digest, {
      bytes: size,
      lastUsedAtMs: mtimeMs,
      recordedUseAtMs: mtimeMs,
      verifiedStamp: undefined,
    });
    this.#storedBytes += size;
  }

  #use(entry: Entry, path: string): void {
    const now = this.#options.clock.now();
    entry.lastUsedAtMs = now;
    if (now - entry.recordedUseAtMs < recordUseEveryMs) return;
    entry.recordedUseAtMs = now;
    // The file's time is what the next process knows of its use; without it, it is merely taken for older.
    utimes(path, new Date(now), new Date(now)).then(
      () => {
        entry.verifiedStamp = undefined;
      },
      () => {},
    );
  }

  #forget(digest: Digest): void {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return;
    this.#entries.delete(digest);
    this.#storedBytes -= entry.bytes;
    this.#report();
  }

  #report(): void {
    const { maxBytes, metrics } = this.#options;
    metrics.set("stored_bytes", {}, this.#storedBytes);
    metrics.set("stored_bytes_limit", {}, maxBytes ?? 0);
  }

  #pathOf(digest: Digest): string {
    return join(this.#options.directory, blobName(digest));
  }
}

const lowWater = 0.9;
const smallBytes = 64 * 1024;
const recordUseEveryMs = 60 * 60_000;

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
