import { rm } from "node:fs/promises";
import type { Digest } from "../../reference/grammar.ts";
import type { Disk, TemporaryFile } from "../disk.ts";
import { blockBytes } from "./block-pool.ts";
import type { RecentBytes } from "./recent-bytes.ts";

export interface SpoolOptions {
  readonly disk: Disk;
  /** What is to be written; keeps what is not yet. */
  readonly recent: RecentBytes;
  /** Called when more of it can be read from the file, or nothing more will be. */
  readonly onChange: () => void;
  /** Called when it cannot be stored, with the reason. */
  readonly onStopped: (reason: unknown) => void;
}

/** Writes a blob that arrives to a file, from which those who are behind read it. */
export class Spool {
  readonly #options: SpoolOptions;
  #file: TemporaryFile | undefined;
  #writtenBytes = 0;
  #isStoring = true;
  #writing: Promise<void> | undefined;
  #removing: Promise<void> | undefined;
  readonly #reading = new Set<Promise<unknown>>();

  constructor(options: SpoolOptions) {
    this.#options = options;
  }

  /** Whether it will be stored, as far as is known. */
  get isStoring(): boolean {
    return this.#isStoring;
  }

  /** How much can be read. */
  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  get unwrittenBytes(): number {
    return this.#options.recent.end - this.#writtenBytes;
  }

  /**
   * Goes on with what an earlier one left.
   *
   * @returns whether it is still there
   */
  async continue(path: string, bytes: number): Promise<boolean> {
    this.#file = await this.#options.disk.reopenTemporary(path, bytes);
    if (this.#file === undefined) removeQuietly(path);
    else this.#writtenBytes = bytes;
    return this.#file !== undefined;
  }

  /** @param totalBytes - how much is to be stored, as far as is known */
  async open(totalBytes: number): Promise<void> {
    if (this.#file !== undefined || !this.#isStoring) return;
    const { disk } = this.#options;
    try {
      if (await disk.makeRoom(totalBytes)) this.#file = await disk.createTemporary();
      else this.stop(new Error("there is no room for it"));
    } catch (error) {
      this.stop(error);
    }
  }

  /** Begins to write when there is something worth it. */
  write(leastBytes: number = blockBytes): void {
    if (this.#writing !== undefined || this.#file === undefined || !this.#isStoring) return;
    if (this.unwrittenBytes >= leastBytes) this.#writing = this.#writeTo(this.#file, leastBytes);
  }

  /** Writes all that has arrived. */
  async flush(): Promise<void> {
    await this.#writing;
    this.write(1);
    await this.#writing;
  }

  /** Reads what was written; stops at its end. */
  async read(buffer: Buffer, position: number, most: number): Promise<Uint8Array> {
    const file = this.#file;
    if (file === undefined) throw new Error("bytes that a reader needs are neither in memory nor on the disk");
    const length = Math.min(buffer.byteLength, most, this.#writtenBytes - position);
    const reading = file.handle.read(buffer, 0, length, position);
    this.#reading.add(reading);
    try {
      const { bytesRead } = await reading;
      if (bytesRead === 0) throw new Error("the file of a running fill ends early");
      return buffer.subarray(0, bytesRead);
    } finally {
      this.#reading.delete(reading);
    }
  }

  /** Stores nothing more. Readers that are behind still read from the file; its name is not needed for that. */
  stop(reason: unknown): void {
    if (!this.#isStoring) return;
    this.#isStoring = false;
    this.#options.onStopped(reason);
    // What cannot be removed goes at the next start at the latest.
    if (this.#file !== undefined) this.#removing = rm(this.#file.path, { force: true }).catch(() => {});
    this.#options.onChange();
  }

  /**
   * Makes the file the blob of this digest. Its bytes were found to be right.
   *
   * @returns whether it lies there now
   */
  async adopt(digest: Digest): Promise<boolean> {
    await this.flush();
    const file = this.#file;
    if (this.#isStoring && file !== undefined) {
      try {
        await this.#options.disk.adopt(file, digest);
        return true;
      } catch (error) {
        this.stop(error);
      }
    }
    await this.#removing;
    return false;
  }

  /**
   * Gives the file up, complete up to what has arrived, for a later fill to go on with.
   *
   * @returns its path, unless it is of no use
   */
  async leave(): Promise<string | undefined> {
    await this.flush();
    const file = this.#file;
    if (file === undefined || !this.#isStoring || this.#writtenBytes === 0 || this.unwrittenBytes > 0) return undefined;
    await this.close();
    return file.path;
  }

  /** Removes what was written. */
  async discard(): Promise<void> {
    await this.#writing;
    if (this.#file !== undefined) await rm(this.#file.path, { force: true });
  }

  /** Must not be read any more. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    // Its number may be another file's as soon as it is closed.
    await Promise.allSettled([...this.#reading, this.#writing]);
    await file?.handle.close();
  }

  async #writeTo({ handle }: TemporaryFile, leastBytes: number): Promise<void> {
    const { onChange, recent } = this.#options;
    try {
      while (this.#isStoring && this.unwrittenBytes >= leastBytes) {
        const blocks = recent.hold(this.#writtenBytes, maxBlocksAtOnce);
        try {
          const chunks = blocks.map(({ bytes, memory, start }) =>
            memory.subarray(Math.max(0, this.#writtenBytes - start), bytes),
          );
          if (chunks.length === 0) throw new Error("bytes that are to be written are not in memory");
          const { bytesWritten } = await handle.writev(chunks, this.#writtenBytes);
          this.#writtenBytes += bytesWritten;
          // Its length may not have been known at the beginning.
          if (this.#writtenBytes > this.#options.disk.mostBytes) throw new Error("there is no room for it");
        } finally {
          for (const block of blocks) recent.release(block);
        }
        onChange();
      }
    } catch (error) {
      this.stop(error);
    } finally {
      this.#writing = undefined;
    }
  }
}

/** A file that was begun and is not wanted goes at the next start at the latest. */
export function removeQuietly(path: string): void {
  rm(path, { force: true }).catch(() => {});
}

const maxBlocksAtOnce = 16;
