import { randomUUID } from "node:crypto";
import type { BigIntStats, StatsFs } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, readdir, rename, rm, stat, statfs, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeDirectory } from "@fleetfoot/state-directory";
import { acquireLock, LockHeldError, UnusableLockError } from "@fleetfoot/directory-lock";
import type { DirectoryLock } from "@fleetfoot/directory-lock";
import type { Clock } from "../clock.ts";
import { DirectoryInUseError, MirrorOptionsError } from "../errors.ts";
import { noopLogger, OncePerMinute } from "../logger.ts";
import type { Logger } from "../logger.ts";
import type { Metrics } from "../metrics.ts";
import { isDigest } from "../reference/grammar.ts";
import type { Digest } from "../reference/grammar.ts";
import { DiskCalls } from "./disk-calls.ts";
import { blobName } from "./layout.ts";
import { OpenedFile } from "./opened-file.ts";
import { Room } from "./room.ts";
import type { Evictable, Expendable, Reservation } from "./room.ts";
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
  /** @default own ones, by the time of this machine */
  readonly calls?: DiskCalls;
  /** @default no log */
  readonly logger?: Logger;
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
  readonly handle: OpenedFile;
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

/**
 * Blobs as files: `blobs/<algorithm>/<2 hex>/<hex>`. A file of that name is complete, since it was written elsewhere,
 * brought to the disk, and then renamed. Keeps below a number of bytes by removing what was not used for longest.
 */
export class Disk {
  readonly #options: DiskOptions;
  readonly #calls: DiskCalls;
  readonly #logger: Logger;
  readonly #seldom: OncePerMinute;
  #lock: DirectoryLock;
  #problem: string | undefined;
  #restoring: Promise<void> | undefined;
  readonly #room: Room;
  readonly #entries = new Map<Digest, Entry>();
  #storedBytes = 0;
  #isClosed = false;

  private constructor(options: DiskOptions, lock: DirectoryLock) {
    this.#options = options;
    this.#lock = lock;
    this.#calls = options.calls ?? new DiskCalls();
    this.#logger = options.logger ?? noopLogger;
    this.#seldom = new OncePerMinute(() => options.clock.now());
    this.#room = new Room({
      mostBytes: this.mostBytes,
      storedBytes: () => this.#storedBytes,
      evictable: () => this.#evictable(),
      freeBytes: () => this.#freeBytes(),
    });
  }

  /**
   * Finds what an earlier process left: whole blobs are kept, everything unfinished goes.
   *
   * @throws {DirectoryInUseError | MirrorOptionsError}
   */
  static async open(options: DiskOptions): Promise<Disk> {
    const { directory } = options;
    await makeDirectory(directory, 0o700);
    // What is unfinished may be what another process is filling.
    const calls = options.calls ?? new DiskCalls();
    const lock = await lockDirectory(directory, calls);
    const disk = new Disk({ ...options, calls }, lock);
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
    return this.#calls.afterwards(() => this.#lock.release());
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

  /** Why nothing could be stored the last time; undefined when it could. */
  get problem(): string | undefined {
    return this.#calls.isSilent ? "the disk does not answer" : this.#problem;
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
    let handle: OpenedFile;
    let facts: BigIntStats;
    try {
      handle = await this.#open(path, "r");
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
    await this.removeFile(this.#pathOf(digest));
  }

  /** Removes a file, if it is there. Never rejects; of a silent disk it is not waited for. */
  removeFile(path: string): Promise<void> {
    return this.#calls.afterwards(() => rm(path, { force: true }));
  }

  createTemporary(): Promise<OpenedFile> {
    return this.#storing(async () => {
      if (this.#isClosed) throw new Error("the directory is given back");
      const path = join(this.#options.directory, "tmp", randomUUID());
      if (!(await this.#lock.isHeld())) await this.#restore();
      return this.#inDirectory(() => this.#open(path, "wx+"));
    });
  }

  /** Writes a small file. Readers see the old one or the new one, also after a crash. */
  async writeWhole(name: string, text: string): Promise<void> {
    const file = await this.createTemporary();
    try {
      const bytes = Buffer.from(text);
      for (let position = 0; position < bytes.byteLength;)
        position += await file.write([bytes.subarray(position)], position);
      await this.#storing(() => this.#publish(file, join(this.#options.directory, name), () => {}));
    } catch (error) {
      await this.removeFile(file.path);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Finds out whether something can be stored, and makes the directory anew when somebody has removed it. */
  async probe(): Promise<void> {
    if (this.#isClosed || this.#calls.isSilent) return;
    const isThere = async (): Promise<boolean> => {
      const facts = await stat(join(this.#options.directory, "tmp")).catch(() => undefined);
      return facts?.isDirectory() === true;
    };
    if (this.#problem === undefined && (await this.#lock.isHeld()) && (await this.#calls.run(isThere))) return;
    try {
      await this.#restore();
      const file = await this.createTemporary();
      await this.removeFile(file.path);
      await file.close();
    } catch {
      // It was told of, and is tried again.
    }
  }

  /** Opens a file again that is filled up to here; undefined when it cannot be gone on with. */
  async reopenTemporary(path: string, bytes: number): Promise<OpenedFile | undefined> {
    let file: OpenedFile | undefined;
    try {
      file = await this.#open(path, "r+");
      if (!this.#isClosed && Number((await file.stat()).size) === bytes) return file;
    } catch {
      // It is fetched anew then.
    }
    await file?.close();
    return undefined;
  }

  /** Makes a filled file the blob of this digest. Its bytes were found to be right; they are what was reserved. */
  async adopt(file: OpenedFile, digest: Digest, reservation: Reservation): Promise<void> {
    const path = this.#pathOf(digest);
    // Also when nobody waits for it any more.
    const onPublished = (facts: BigIntStats): void => this.#add(digest, facts, reservation);
    await this.#storing(() => this.#publish(file, path, onPublished));
    await this.#room.tidy();
  }

  /** Stores bytes that were found to be right, if there is room for them. */
  async store(digest: Digest, bytes: Uint8Array): Promise<void> {
    const reservation = this.reserve();
    let file: OpenedFile | undefined;
    try {
      if (!(await reservation.extendTo(bytes.byteLength))) return;
      file = await this.createTemporary();
      for (let position = 0; position < bytes.byteLength;)
        position += await file.write([bytes.subarray(position)], position);
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
    for (const [digest, entry] of this.#entries) {
      if (entry.lastUsedAtMs >= epochMs || pinned.has(digest)) continue;
      this.#options.metrics.add("evicted_bytes_total", {}, entry.bytes);
      await this.remove(digest);
    }
  }

  /** Large blobs go first; small ones only when that is not enough, since they free nothing. */
  #evictable(): readonly Evictable[] {
    const pinned = this.#options.pinned();
    const loose = [...this.#entries].filter(([digest]) => !pinned.has(digest));
    const byAge = loose.sort(([, one], [, other]) => one.lastUsedAtMs - other.lastUsedAtMs);
    const large = byAge.filter(([, entry]) => entry.bytes >= smallBytes);
    const small = byAge.filter(([, entry]) => entry.bytes < smallBytes);
    return [...large, ...small].map(([digest, { bytes }]) => ({ bytes, remove: () => this.#evict(digest, pinned) }));
  }

  /** Who gets a manifest must be able to get its layers, so it goes with them. */
  async #evict(digest: Digest, pinned: ReadonlySet<Digest>): Promise<void> {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return;
    for (const parent of this.#options.parentsOf(digest)) if (!pinned.has(parent)) await this.remove(parent);
    this.#options.metrics.add("evicted_bytes_total", {}, entry.bytes);
    await this.remove(digest);
  }

  async #publish(file: OpenedFile, path: string, onPublished: (facts: BigIntStats) => void): Promise<void> {
    await file.sync();
    await this.#calls.run(async () => {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rename(file.path, path);
      onPublished(await stat(path, { bigint: true }));
    });
  }

  async #inDirectory<Result>(action: () => Promise<Result>): Promise<Result> {
    try {
      return await action();
    } catch (error) {
      if (systemCodeOf(error) !== "ENOENT") throw error;
      await this.#restore();
      return action();
    }
  }

  /** Somebody has removed the directory, or a part of it. */
  #restore(): Promise<void> {
    this.#restoring ??= this.#storing(() => this.#makeAnew()).finally(() => {
      this.#restoring = undefined;
    });
    return this.#restoring;
  }

  async #makeAnew(): Promise<void> {
    const { directory } = this.#options;
    await this.#calls.run(() => makeDirectory(directory, 0o700));
    if (!(await this.#lock.isHeld())) {
      // Another process may have made it, and have it now.
      const lock = await lockDirectory(directory, this.#calls);
      await this.#lock.release();
      this.#lock = lock;
    }
    await this.#calls.run(() => mkdir(join(directory, "tmp"), { recursive: true, mode: 0o700 }));
    let lost = 0;
    for (const digest of this.#entries.keys()) {
      if (await this.#calls.run(() => isFile(this.#pathOf(digest)))) continue;
      this.#forget(digest);
      lost += 1;
    }
    this.#logger.warn("the mirror's directory, or a part of it, was removed while it ran; it was made anew", {
      directory,
      lostBlobs: lost,
    });
  }

  /** Remembers whether something could be stored, and tells of a change. */
  async #storing<Result>(action: () => Promise<Result>): Promise<Result> {
    try {
      const result = await action();
      if (this.#problem !== undefined) this.#logger.info("blobs are stored again", { was: this.#problem });
      this.#problem = undefined;
      return result;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#problem = why;
      this.#seldom.run("problem", () => this.#logger.error("nothing can be stored; blobs are passed on", { why }));
      throw error;
    }
  }

  async #freeBytes(): Promise<number> {
    const { directory, reserveBytes } = this.#options;
    const look = (): Promise<StatsFs> => this.#calls.run(() => statfs(directory));
    const { bavail, bsize } = await this.#storing(() => this.#inDirectory(look));
    return bavail * bsize - reserveBytes;
  }

  async #open(path: string, flags: string): Promise<OpenedFile> {
    const onLate = (handle: FileHandle): void => void this.#calls.afterwards(() => handle.close());
    const handle = await this.#calls.run(() => open(path, flags, 0o600), { onLate });
    return new OpenedFile(path, handle, this.#calls);
  }

  #add(digest: Digest, { ino, mtimeNs, size }: BigIntStats, reservation: Reservation): void {
    const now = this.#options.clock.now();
    this.#forget(digest);
    this.#entries.set(digest, {
      bytes: Number(size),
      lastUsedAtMs: now,
      recordedUseAtMs: now,
      verifiedStamp: `${size} ${mtimeNs} ${ino}`,
    });
    reservation.release();
    this.#storedBytes += Number(size);
    this.#report();
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
    void this.#calls.afterwards(async () => {
      await utimes(path, new Date(now), new Date(now));
      entry.verifiedStamp = undefined;
    });
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

const smallBytes = 64 * 1024;
const recordUseEveryMs = 60 * 60_000;

async function lockDirectory(directory: string, calls: DiskCalls): Promise<DirectoryLock> {
  try {
    return await acquireLock(join(directory, "lock"), { limit: (call) => calls.run(call) });
  } catch (error) {
    if (error instanceof LockHeldError) throw new DirectoryInUseError(directory, error.processId, error.isElsewhere);
    if (error instanceof UnusableLockError) throw new MirrorOptionsError([`directory: ${error.message} ${error.cure}`]);
    throw error;
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw error;
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
