import { randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import path from "node:path";

/** A file that appears under its name only when it is complete. */
export interface OutputFile {
  /** Appends. */
  write(bytes: Uint8Array): Promise<void>;
  /** Forgets everything from this offset on. */
  rewind(offset: number): Promise<void>;
  /** For threads that write at places of their own choice, instead of {@link write}. */
  readonly descriptor: number;
  /**
   * Puts the file in its place, at once.
   *
   * @param beforeReplace - waited for when all of it is written
   * @returns the file, open for reading: by now another one may stand under its name
   */
  commit(beforeReplace: (() => Promise<void>) | undefined): Promise<CommittedFile>;
  /** Closes everything. Without {@link commit} what was written is removed, and what stood at the place before is untouched. */
  release(): Promise<void>;
}

/** What {@link OutputFile.commit} has put in its place. */
interface CommittedFile {
  /** Open until the output file is released. */
  readonly descriptor: number;
  /** Length in bytes. */
  readonly size: number;
}

/** Small writes are gathered up to this length: a system call for each header would cost more than the copy. */
const BUFFER_BYTES = 256 * 1024;

/**
 * Opens a temporary file beside `target`, in the same folder so that the rename at the end cannot cross file systems.
 * A missing folder is made, for its owner alone, since caches may hold secrets.
 */
export async function openOutputFile(target: string): Promise<OutputFile> {
  const directory = path.dirname(target);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // Unique per host and process without locks, since several hosts may share the folder.
  const temporary = path.join(directory, `archive_${randomUUID()}`);
  const file = await open(temporary, "wx", 0o600);
  return new BufferedOutputFile(file, temporary, target);
}

class BufferedOutputFile implements OutputFile {
  readonly #file: FileHandle;
  readonly #temporary: string;
  readonly #target: string;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #buffered = 0;
  #flushed = 0;
  #open = true;
  #committed: FileHandle | undefined;
  #isInPlace = false;

  constructor(file: FileHandle, temporary: string, target: string) {
    this.#file = file;
    this.#temporary = temporary;
    this.#target = target;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#buffered + bytes.length > BUFFER_BYTES) await this.#flush();
    if (bytes.length > BUFFER_BYTES) {
      await this.#writeThrough(bytes);
    } else {
      this.#buffer.set(bytes, this.#buffered);
      this.#buffered += bytes.length;
    }
  }

  async rewind(offset: number): Promise<void> {
    await this.#flush();
    await this.#file.truncate(offset);
    this.#flushed = offset;
  }

  get descriptor(): number {
    return this.#file.fd;
  }

  async commit(beforeReplace: (() => Promise<void>) | undefined): Promise<CommittedFile> {
    await this.#flush();
    this.#committed = await open(this.#temporary, "r");
    const { size } = await this.#committed.stat();
    // Some file systems tell only now that something could not be written.
    await this.#close();
    await beforeReplace?.();
    await rename(this.#temporary, this.#target);
    this.#isInPlace = true;
    return { descriptor: this.#committed.fd, size };
  }

  async release(): Promise<void> {
    const committed = this.#committed;
    this.#committed = undefined;
    await committed?.close();
    await this.#close();
    if (!this.#isInPlace) await rm(this.#temporary, { force: true });
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#file.close();
  }

  async #flush(): Promise<void> {
    const length = this.#buffered;
    this.#buffered = 0;
    if (length > 0) await this.#writeThrough(this.#buffer.subarray(0, length));
  }

  async #writeThrough(bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#flushed);
      done += bytesWritten;
      this.#flushed += bytesWritten;
    }
  }
}
