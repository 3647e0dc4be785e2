import { randomUUID } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";

import { JobTraceError } from "./errors.ts";

/** Bytes that wait for the disk before the file is written, so that a short log costs one write. */
const SLAB_BYTES = 64 * 1024;

/** Bytes that may wait for the disk before writers are held up. */
const MAX_BACKLOG_BYTES = 4 * SLAB_BYTES;

/** How far the file has come. */
interface Extent {
  readonly size: number;
  readonly crc: number;
}

/**
 * A file that grows, its size and CRC-32, and a bounded buffer before it. What was appended can be read at once.
 *
 * Appending never fails and never waits, so bytes of different writers cannot mix. When the disk fails, the file ends
 * with what reached it, and so do size and checksum; everything further is dropped.
 */
export class BufferFile {
  readonly #handle: FileHandle;
  readonly #path: string;
  #end: Extent = { size: 0, crc: 0 };
  #written: Extent = { size: 0, crc: 0 };
  /** To be written, in order, each with how far the file has come behind it. */
  #slabs: { readonly bytes: Buffer; readonly end: Extent }[] = [];
  #slab: Buffer | undefined;
  #slabBytes = 0;
  #flushing: Promise<void> | undefined;
  #failure: JobTraceError | undefined;

  /** @throws {JobTraceError} `open-failed` */
  static async create(directory: string): Promise<BufferFile> {
    const path = join(directory, `trace-${randomUUID()}.log`);
    try {
      return new BufferFile(await open(path, "wx+", 0o600), path);
    } catch (cause) {
      throw new JobTraceError("open-failed", `Opening ${path}`, { cause });
    }
  }

  private constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  get size(): number {
    return this.#end.size;
  }

  get crc(): number {
    return this.#end.crc;
  }

  get failure(): JobTraceError | undefined {
    return this.#failure;
  }

  /** Whether so much waits for the disk that writers should wait, too. */
  get isCongested(): boolean {
    return this.#end.size - this.#written.size > MAX_BACKLOG_BYTES;
  }

  /** Copies the bytes, so that their owner may use the buffer again. */
  append(bytes: Buffer): void {
    if (this.#failure !== undefined || bytes.length === 0) return;
    for (let at = 0; at < bytes.length;) {
      this.#slab ??= Buffer.allocUnsafeSlow(SLAB_BYTES);
      const count = bytes.copy(this.#slab, this.#slabBytes, at);
      const crc = crc32(bytes.subarray(at, at + count), this.#end.crc);
      this.#end = { size: this.#end.size + count, crc };
      this.#slabBytes += count;
      at += count;
      if (this.#slabBytes === this.#slab.length) this.#fill();
    }
    if (this.#slabs.length > 0) void this.#flush();
  }

  /** Resolves when writers may go on. */
  async relieve(): Promise<void> {
    while (this.isCongested) await this.#flush();
  }

  /** Resolves when all bytes are in the file, or will never be. */
  async settle(): Promise<void> {
    while (this.#written.size < this.#end.size) {
      this.#fill();
      await this.#flush();
    }
  }

  /** @throws {JobTraceError} `read-failed` */
  async read(offset: number, maxBytes: number): Promise<Uint8Array> {
    if (Math.min(offset + maxBytes, this.#end.size) > this.#written.size) await this.settle();
    const wanted = Math.max(0, Math.min(maxBytes, this.#written.size - offset));
    const bytes = Buffer.allocUnsafeSlow(wanted);
    for (let at = 0; at < wanted;) {
      const count = await this.#readSome(bytes, at, offset + at);
      at += count;
    }
    return bytes;
  }

  /** Closes and removes the file. */
  async remove(): Promise<void> {
    await this.settle();
    try {
      await this.#handle.close();
    } finally {
      await rm(this.#path, { force: true });
    }
  }

  async #readSome(bytes: Buffer, at: number, position: number): Promise<number> {
    const attempted = `Reading ${this.#path} at ${position}`;
    try {
      const { bytesRead } = await this.#handle.read(bytes, at, bytes.length - at, position);
      if (bytesRead > 0) return bytesRead;
    } catch (cause) {
      throw new JobTraceError("read-failed", attempted, { cause });
    }
    throw new JobTraceError("read-failed", `${attempted}, where it ended early`);
  }

  #fill(): void {
    if (this.#slab === undefined || this.#slabBytes === 0) return;
    this.#slabs.push({ bytes: this.#slab.subarray(0, this.#slabBytes), end: this.#end });
    // What is left of a slab takes the next bytes: a log of many small reads does not allocate one for each.
    this.#slab = this.#slabBytes === this.#slab.length ? undefined : this.#slab.subarray(this.#slabBytes);
    this.#slabBytes = 0;
  }

  #flush(): Promise<void> {
    this.#flushing ??= this.#writeSlabs().finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  /** Writes all that waits at once, since each way to the disk and back takes as long as filtering a slab. */
  async #writeSlabs(): Promise<void> {
    let writtenOfFirst = 0;
    while (this.#slabs.length > 0) {
      const [first, ...others] = this.#slabs.map((slab) => slab.bytes);
      const pieces = [(first as Buffer).subarray(writtenOfFirst), ...others];
      try {
        const { bytesWritten } = await this.#handle.writev(pieces, this.#written.size + writtenOfFirst);
        writtenOfFirst += bytesWritten;
      } catch (cause) {
        this.#fail(cause);
        return;
      }
      for (
        let slab = this.#slabs[0];
        slab !== undefined && slab.bytes.length <= writtenOfFirst;
        slab = this.#slabs[0]
      ) {
        this.#slabs.shift();
        this.#written = slab.end;
        writtenOfFirst -= slab.bytes.length;
      }
    }
  }

  #fail(cause: unknown): void {
    this.#failure = new JobTraceError("write-failed", `Writing ${this.#path} at ${this.#written.size}`, { cause });
    this.#end = this.#written;
    this.#slabs = [];
    this.#slab = undefined;
    this.#slabBytes = 0;
  }
}
