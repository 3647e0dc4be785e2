import type { BigIntStats } from "node:fs";
import { stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import { noopLogger } from "../logger.ts";
import type { Logger } from "../logger.ts";
import type { Metrics } from "../metrics.ts";
import type { Digest } from "../reference/grammar.ts";
import { BlobIndex } from "./blob-index.ts";
import type { BlobEntry, StoredBlob } from "./blob-index.ts";
import { DiskCalls } from "./disk-calls.ts";
import { findBlobs } from "./find-blobs.ts";
import { blobName } from "./layout.ts";
import type { OpenedFile } from "./opened-file.ts";
import { Room } from "./room.ts";
import type { Evictable, Expendable, Reservation } from "./room.ts";
import { isAbsence, systemCodeOf } from "./system-error.ts";
import { WorkingDirectory } from "./working-directory.ts";

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
  /** @default own ones, by the time of this machine */
  readonly calls?: DiskCalls;
  /** @default no log */
  readonly logger?: Logger;
}

/** A stored blob, open for reading; removing it does not change what is read. */
export interface OpenedBlob {
  readonly bytes: number;
  readonly handle: OpenedFile;
  /** Whether its bytes were already found to be right, and the file was not touched since. */
  readonly isVerified: boolean;
  /** Remembers that the bytes are right. */
  markVerified(): void;
}

/**
 * Blobs as files: `blobs/<algorithm>/<2 hex>/<hex>`. A file of that name is complete, since it was written elsewhere,
 * brought to the disk, and then renamed. Keeps below a number of bytes by removing what was not used for longest.
 */
export class Disk {
  readonly #options: DiskOptions;
  readonly #calls: DiskCalls;
  readonly #working: WorkingDirectory;
  readonly #room: Room;
  readonly #index = new BlobIndex();

  private constructor(options: DiskOptions, calls: DiskCalls, working: WorkingDirectory) {
    this.#options = options;
    this.#calls = calls;
    this.#working = working;
    working.whenMadeAnew(() => this.#forgetLost());
    this.#room = new Room({
      mostBytes: this.mostBytes,
      storedBytes: () => this.#index.bytes,
      evictableBytes: () => this.#index.bytesWithout(options.pinned()),
      evictable: () => this.#evictable(),
      freeBytes: async () => (await working.freeBytes()) - options.reserveBytes,
    });
  }

  /**
   * Finds what an earlier process left: whole blobs are kept, everything unfinished goes.
   *
   * @throws {DirectoryInUseError | MirrorOptionsError}
   */
  static async open(options: DiskOptions): Promise<Disk> {
    const { calls = new DiskCalls(), clock, directory, logger = noopLogger } = options;
    const working = await WorkingDirectory.open({ calls, clock, directory, logger });
    try {
      const disk = new Disk(options, calls, working);
      for await (const found of findBlobs(directory, calls))
        for (const { bytes, digest, modifiedAtMs } of found)
          disk.#index.set(digest, {
            bytes,
            lastUsedAtMs: modifiedAtMs,
            recordedUseAtMs: modifiedAtMs,
            verifiedStamp: undefined,
          });
      disk.#index.sort();
      disk.#report();
      return disk;
    } catch (error) {
      await working.close();
      throw error;
    }
  }

  /** Lets another process have the directory; nothing new is written to it from now on. */
  close(): Promise<void> {
    return this.#working.close();
  }

  /** Why nothing could be stored the last time; undefined when it could. */
  get problem(): string | undefined {
    return this.#working.problem;
  }

  get storedBytes(): number {
    return this.#index.bytes;
  }

  get storedBlobs(): number {
    return this.#index.count;
  }

  has(digest: Digest): boolean {
    return this.#index.get(digest) !== undefined;
  }

  /** One after the other, as it is then. */
  blobs(): Iterable<StoredBlob> {
    return this.#index.blobs();
  }

  lastUsedAtMs(digest: Digest): number | undefined {
    return this.#index.get(digest)?.lastUsedAtMs;
  }

  /** Counts as a use, usually. What is not as long as it was is removed and counts as absent. */
  async openBlob(digest: Digest, { isUse = true }: { readonly isUse?: boolean } = {}): Promise<OpenedBlob | undefined> {
    const entry = this.#index.get(digest);
    if (entry === undefined) return undefined;
    const path = this.#pathOf(digest);
    let handle: OpenedFile;
    let facts: BigIntStats;
    try {
      handle = await this.#working.openFile(path, "r");
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT") this.#forget(digest);
      return undefined;
    }
    try {
      facts = await handle.stat();
    } catch {
      // As good as absent.
      await handle.close();
      return undefined;
    }
    if (Number(facts.size) !== entry.bytes) {
      await handle.close();
      await this.discardDamaged(digest);
      return undefined;
    }
    const stamp = `${facts.size} ${facts.mtimeNs} ${facts.ino}`;
    if (isUse) this.#use(digest, entry, path);
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
    await this.removeFile(this.#pathOf(digest));
  }

  /** Removes a file, if it is there. Never rejects; of a silent disk it is not waited for. */
  removeFile(path: string): Promise<void> {
    return this.#working.removeFile(path);
  }

  createTemporary(): Promise<OpenedFile> {
    return this.#working.createTemporary();
  }

  /** Opens a file again that is filled up to here; undefined when it cannot be gone on with. */
  reopenTemporary(path: string, bytes: number): Promise<OpenedFile | undefined> {
    return this.#working.reopenTemporary(path, bytes);
  }

  /** Writes a small file beside the blobs. Readers see the old one or the new one, also after a crash. */
  writeWhole(name: string, text: string): Promise<void> {
    return this.#working.writeWhole(name, text);
  }

  /** The same, found also after a loss of power. */
  writeDurably(name: string, text: string): Promise<void> {
    return this.#working.writeDurably(name, text);
  }

  /** Removes a folder of small files, at once for whoever looks; that needs no room. */
  removeFolder(name: string): Promise<void> {
    return this.#working.removeFolder(name);
  }

  /** Finds out whether something can be stored, and makes the directory anew when somebody has removed it. */
  probe(): Promise<void> {
    return this.#working.probe();
  }

  /** Makes a filled file the blob of this digest. Its bytes were found to be right; they are what was reserved. */
  async adopt(file: OpenedFile, digest: Digest, reservation: Reservation): Promise<void> {
    await this.#working.publish(file, this.#pathOf(digest), (facts) => this.#add(digest, facts, reservation));
    await this.#room.tidy();
  }

  /** Stores bytes that were found to be right, if there is room for them. */
  async store(digest: Digest, bytes: Uint8Array): Promise<void> {
    const reservation = this.reserve();
    let file: OpenedFile | undefined;
    try {
      if (!(await reservation.extendTo(bytes.byteLength))) return;
      file = await this.createTemporary();
      await file.write([bytes], 0);
      await this.adopt(file, digest, reservation);
    } catch (error) {
      if (file !== undefined) await this.removeFile(file.path);
      throw error;
    } finally {
      reservation.release();
      await file?.close();
    }
  }

  /** How long a blob can be and still be stored. */
  get mostBytes(): number {
    return this.#options.maxBytes ?? Number.POSITIVE_INFINITY;
  }

  /** @param bytes - that lie there already, of somebody who goes on with them */
  reserve(bytes?: number): Reservation {
    return this.#room.reserve(bytes);
  }

  /** Names what goes before anything that is stored. */
  sacrificeFirst(expendable: Expendable): void {
    this.#room.sacrificeFirst(expendable);
  }

  /** Removes what is too much. */
  tidy(): Promise<void> {
    return this.#room.tidy();
  }

  /** Removes everything that was not used since. */
  async removeUnusedSince(epochMs: number): Promise<void> {
    const pinned = this.#options.pinned();
    for (const { bytes, digest, lastUsedAtMs } of this.blobs()) {
      if (lastUsedAtMs >= epochMs || pinned.has(digest)) continue;
      this.#options.metrics.add("evicted_bytes_total", {}, bytes);
      await this.remove(digest);
    }
  }

  *#evictable(): Generator<Evictable, void, void> {
    const pinned = this.#options.pinned();
    for (const { bytes, digest } of this.#index.inOrderOfEviction(pinned))
      yield { bytes, remove: () => this.#evict(digest, pinned) };
  }

  /** Who gets a manifest must be able to get its layers, so it goes with them. */
  async #evict(digest: Digest, pinned: ReadonlySet<Digest>): Promise<void> {
    const entry = this.#index.get(digest);
    if (entry === undefined) return;
    for (const parent of this.#options.parentsOf(digest)) if (!pinned.has(parent)) await this.remove(parent);
    this.#options.metrics.add("evicted_bytes_total", {}, entry.bytes);
    await this.remove(digest);
  }

  /** Of a directory that was made anew. */
  async #forgetLost(): Promise<number> {
    let lost = 0;
    for (const { digest } of this.blobs()) {
      if (await this.#calls.run(() => isFile(this.#pathOf(digest)))) continue;
      this.#forget(digest);
      lost += 1;
    }
    return lost;
  }

  #add(digest: Digest, { ino, mtimeNs, size }: BigIntStats, reservation: Reservation): void {
    const now = this.#options.clock.now();
    this.#index.set(digest, {
      bytes: Number(size),
      lastUsedAtMs: now,
      recordedUseAtMs: now,
      verifiedStamp: `${size} ${mtimeNs} ${ino}`,
    });
    reservation.release();
    this.#report();
  }

  #use(digest: Digest, entry: BlobEntry, path: string): void {
    const now = this.#options.clock.now();
    this.#index.noteUse(digest, now);
    if (now - entry.recordedUseAtMs < recordUseEveryMs) return;
    entry.recordedUseAtMs = now;
    // The file's time is what the next process knows of its use; without it, it is merely taken for older.
    void this.#calls.afterwards(async () => {
      await utimes(path, new Date(now), new Date(now));
      entry.verifiedStamp = undefined;
    });
  }

  #forget(digest: Digest): void {
    this.#index.forget(digest);
    this.#report();
  }

  #report(): void {
    const { maxBytes, metrics } = this.#options;
    metrics.set("stored_bytes", {}, this.#index.bytes);
    metrics.set("stored_bytes_limit", {}, maxBytes ?? 0);
  }

  #pathOf(digest: Digest): string {
    return join(this.#options.directory, blobName(digest));
  }
}

const recordUseEveryMs = 60 * 60_000;

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (isAbsence(error)) return false;
    throw error;
  }
}
