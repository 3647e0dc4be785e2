import { dirname, join } from "node:path";
import { chooseEvictions } from "./choose-evictions.ts";
import type { KeptFile } from "./choose-evictions.ts";
import { systemCodeOf } from "./failures.ts";
import { objectSuffix } from "./file-names.ts";
import type { LocalFileSystem } from "./file-system.ts";

/** How much a store may keep. Each of them is checked before a put, and by `prune`. */
export interface LocalStoreLimits {
  /** Most bytes of all objects together. @default no limit */
  readonly maxBytes?: number | undefined;
  /** Time without a put or get after which an object goes, in milliseconds. @default no limit */
  readonly maxUnusedMs?: number | undefined;
  /** Bytes that stay free on the disk, whoever fills it. @default 0 */
  readonly minFreeBytes?: number | undefined;
}

/** What `prune` did. */
export interface PruneResult {
  readonly removedObjects: number;
  readonly removedBytes: number;
  /** Bytes of the objects that stay. */
  readonly keptBytes: number;
}

export interface RoomOptions {
  readonly directory: string;
  readonly fileSystem: LocalFileSystem;
  readonly limits: LocalStoreLimits;
  readonly now: () => number;
}

/** Makes room in a directory by removing what was used longest ago. Others may do so at the same time. */
export class Room {
  readonly #options: RoomOptions;
  /** Bytes that all objects have, as far as this process knows; others put, too. */
  #knownBytes = Number.POSITIVE_INFINITY;
  #walkedAtMs = Number.NEGATIVE_INFINITY;
  #pruning: Promise<unknown> = Promise.resolve();

  constructor(options: RoomOptions) {
    this.#options = options;
  }

  /** Makes room for an object before it is written; most times that is one question to the file system. */
  async makeFor(bytes: number, signal?: AbortSignal): Promise<void> {
    const { limits, now } = this.#options;
    const { maxBytes = Infinity, maxUnusedMs = Infinity, minFreeBytes = 0 } = limits;
    if (maxBytes === Infinity && maxUnusedMs === Infinity && minFreeBytes === 0) return;
    const missingBytes = minFreeBytes === 0 ? 0 : minFreeBytes + bytes - (await this.#freeBytes());
    const isFull = this.#knownBytes + bytes > maxBytes;
    const isDue = now() - this.#walkedAtMs >= walkEveryMs;
    if (missingBytes > 0 || (maxBytes !== Infinity && isFull) || isDue) await this.prune(bytes, signal);
    this.#knownBytes += bytes;
  }

  /** Removes what is too old or too much. @param incomingBytes - room that is wanted beside the limits */
  async prune(incomingBytes: number, signal?: AbortSignal): Promise<PruneResult> {
    // One after the other: the second finds what the first has left.
    const pruned = this.#pruning.then(() => this.#prune(incomingBytes, signal));
    this.#pruning = pruned.catch(() => {});
    return pruned;
  }

  /** Notes that an object is in use; to the minute, since it is a write. */
  async touch(path: string, lastUsedAtMs: number): Promise<void> {
    const { fileSystem, now } = this.#options;
    if (now() - lastUsedAtMs < touchEveryMs) return;
    const time = new Date(now());
    // It may be gone, or belong to another user; it is read all the same.
    await fileSystem.utimes(path, time, time).catch(() => {});
  }

  async #prune(incomingBytes: number, signal: AbortSignal | undefined): Promise<PruneResult> {
    const { limits, now, fileSystem } = this.#options;
    const { maxBytes = Infinity, maxUnusedMs = Infinity, minFreeBytes = 0 } = limits;
    const files = await this.#walk(signal);
    const totalBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
    const shortBytes = minFreeBytes === 0 ? 0 : minFreeBytes + incomingBytes - (await this.#freeBytes());
    const isOver = totalBytes + incomingBytes > maxBytes;
    const chosen = chooseEvictions(files, {
      // A little further than the limit, so that the next put does not have to look at every file again.
      maxBytes: isOver ? Math.max(0, maxBytes * evictTo - incomingBytes) : Infinity,
      missingBytes: shortBytes > 0 ? shortBytes + minFreeBytes * (1 - evictTo) : 0,
      usedBeforeMs: now() - maxUnusedMs,
    });
    let removedBytes = 0;
    for (const { path, bytes } of chosen) {
      signal?.throwIfAborted();
      await fileSystem.rm(path, { force: true });
      removedBytes += bytes;
    }
    this.#knownBytes = totalBytes - removedBytes;
    this.#walkedAtMs = now();
    return { removedObjects: chosen.length, removedBytes, keptBytes: this.#knownBytes };
  }

  async #freeBytes(): Promise<number> {
    const { fileSystem } = this.#options;
    for (let path = this.#options.directory; ; path = dirname(path)) {
      try {
        const { bavail, bsize } = await fileSystem.statfs(path);
        return bavail * bsize;
      } catch (error) {
        // Before the first put the directory is not there, but what it will lie in is.
        if (systemCodeOf(error) !== "ENOENT" || path === dirname(path)) throw error;
      }
    }
  }

  /** Finds all objects, and on the way removes what killed processes have left. */
  async #walk(signal: AbortSignal | undefined): Promise<KeptFile[]> {
    const { fileSystem, directory: top, now } = this.#options;
    const found: KeptFile[] = [];
    const directories = [top];
    for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
      signal?.throwIfAborted();
      const entries = await ifThere(() => fileSystem.readdir(directory ?? top, { withFileTypes: true }));
      for (const entry of entries ?? []) {
        const path = join(directory, entry.name);
        if (entry.isDirectory()) directories.push(path);
        const isOwn = entry.name.startsWith("~");
        if (!entry.isFile() || !(isOwn || entry.name.endsWith(objectSuffix))) continue;
        const facts = await ifThere(() => fileSystem.stat(path));
        if (facts === undefined) continue;
        if (!isOwn) found.push({ path, bytes: facts.size, usedAtMs: facts.mtimeMs });
        else if (now() - facts.mtimeMs > abandonedAfterMs) await fileSystem.rm(path, { force: true });
      }
    }
    return found;
  }
}

const evictTo = 0.9;
const touchEveryMs = 60_000;
const walkEveryMs = 3_600_000;
/** No put takes that long. */
const abandonedAfterMs = 24 * 3_600_000;

/** Others remove files, too, also between two looks. */
async function ifThere<Result>(action: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await action();
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
