import type { Digest } from "../../reference/grammar.ts";
import type { Disk } from "../disk.ts";
import type { OpenedFile } from "../opened-file.ts";
import type { Reservation } from "../room.ts";
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

/**
 * Writes a blob that arrives to a file, from which those who are behind read it. Nobody waits for the disk here but those whose bytes only
 * the disk has, and none of its answers is waited for without end.
 */
export class Spool {
  readonly #options: SpoolOptions;
  #file: OpenedFile | undefined;
  #reservation: Reservation | undefined;
  #writtenBytes = 0;
  #isStoring = true;
  #isReadable = true;
  #opening: Promise<void> | undefined;
  #writing: Promise<void> | undefined;
  #removing: Promise<void> | undefined;

  constructor(options: SpoolOptions) {
    this.#options = options;
  }

  /** Whether it will be stored, as far as is known. */
  get isStoring(): boolean {
    return this.#isStoring;
  }

  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /** How much can be read, as far as is known. */
  get readableBytes(): number {
    return this.#isReadable ? this.#writtenBytes : 0;
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
    const { disk } = this.#options;
    this.#reservation = disk.reserve(bytes);
    this.#file = await disk.reopenTemporary(path, bytes);
    if (this.#file !== undefined) {
      this.#writtenBytes = bytes;
      return true;
    }
    this.#reservation.release();
    this.#reservation = undefined;
    void disk.removeFile(path);
    return false;
  }

  /**
   * Begins to store, in the background.
   *
   * @param totalBytes - how much is to be stored, as far as is known
   */
  open(totalBytes: number): void {
    if (this.#isStoring) this.#opening ??= this.#open(totalBytes);
  }

  /** Begins to write when there is something worth it. */
  write(leastBytes: number = blockBytes): void {
    if (this.#writing !== undefined || this.#file === undefined || !this.#isStoring) return;
    if (this.unwrittenBytes >= leastBytes) this.#writing = this.#writeTo(this.#file, leastBytes);
  }

  /** Writes all that has arrived. */
  async flush(): Promise<void> {
    await this.#opening;
    await this.#writing;
    this.write(1);
    await this.#writing;
  }

  /** Reads what was written; stops at its end. */
  async read(buffer: Buffer, position: number, most: number): Promise<Uint8Array> {
    const file = this.#file;
    if (file === undefined) throw new Error("bytes that a reader needs are neither in memory nor on the disk");
    const length = Math.min(buffer.byteLength, most, this.#writtenBytes - position);
    try {
      const { bytesRead } = await file.read(buffer, 0, length, position);
      if (bytesRead === 0) throw new Error("the file of a running fill ends early");
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      this.#isReadable = false;
      this.stop(error);
      throw error;
    }
  }

  /** Stores nothing more. Readers that are behind still read from the file; its name is not needed for that. */
  stop(reason: unknown): void {
    if (!this.#isStoring) return;
    this.#isStoring = false;
    this.#options.onStopped(reason);
    void this.#giveBackRest();
    if (this.#file !== undefined) this.#removing = this.#options.disk.removeFile(this.#file.path);
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
    if (this.#isStoring && file !== undefined && this.#reservation !== undefined) {
      if (this.unwrittenBytes > 0) throw new Error("a blob that is not whole on the disk is not stored");
      try {
        await this.#options.disk.adopt(file, digest, this.#reservation);
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
    await this.#opening;
    await this.#writing;
    if (this.#file !== undefined) await this.#options.disk.removeFile(this.#file.path);
  }

  /** Must not be read any more. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#reservation?.release();
    await file?.close();
  }

  /** Others may have the room for what will not be written. */
  async #giveBackRest(): Promise<void> {
    await this.#opening;
    await this.#writing;
    this.#reservation?.shrinkTo(this.#writtenBytes);
  }

  async #open(totalBytes: number): Promise<void> {
    const { disk } = this.#options;
    this.#reservation ??= disk.reserve();
    try {
      if (!(await this.#reservation.extendTo(totalBytes))) throw new Error("there is no room for it");
      this.#file ??= await disk.createTemporary();
      // It was stopped meanwhile.
      if (!this.#isStoring) this.#removing = disk.removeFile(this.#file.path);
    } catch (error) {
      this.stop(error);
    }
    this.write();
  }

  async #writeTo(file: OpenedFile, leastBytes: number): Promise<void> {
    const { onChange, recent } = this.#options;
    try {
      while (this.#isStoring && this.unwrittenBytes >= leastBytes) {
        const blocks = recent.hold(this.#writtenBytes, maxBlocksAtOnce);
        try {
          const chunks = blocks.map(({ bytes, memory, start }) =>
            memory.subarray(Math.max(0, this.#writtenBytes - start), bytes),
          );
          if (chunks.length === 0) throw new Error("bytes that are to be written are not in memory");
          const end = this.#writtenBytes + chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);
          // Its length may not have been known at the beginning.
          if ((await this.#reservation?.extendTo(end)) === false) throw new Error("there is no room for it");
          await file.write(chunks, this.#writtenBytes);
          this.#writtenBytes = end;
          if (this.#reservation !== undefined) this.#reservation.writtenBytes = this.#writtenBytes;
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

const maxBlocksAtOnce = 16;
