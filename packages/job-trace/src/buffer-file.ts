import type { FileHandle } from "node:fs/promises";
import { open, rm } from "node:fs/promises";
import { crc32 } from "node:zlib";

import { JobTraceError } from "./errors.ts";
import { countOpenBytes } from "./filters/utf8-repairer.ts";

/** Bytes that wait for the disk before the file is written, so that a short log costs one write. */
const SLAB_BYTES = 64 * 1024;

/** Bytes that may wait for the disk before writers are held up. */
const MAX_BACKLOG_BYTES = 4 * SLAB_BYTES;

/** What is read of a file at once to compute its checksum. */
const READ_BYTES = 1024 * 1024;

/** How far the file has come. */
interface Extent {
  readonly size: number;
  readonly crc: number;
}

const NOTHING_YET: Extent = { size: 0, crc: 0 };

/**
 * A file that grows, its size and CRC-32, and a bounded buffer before it. What was appended can be read at once.
 *
 * Appending never fails and never waits, so bytes of different writers cannot mix. They are on their way to the file when the event
 * loop turns, so that a process that is killed loses next to nothing. When the disk fails, the file ends with what reached it, and so
 * do size and checksum; everything further is dropped.
 */
export class BufferFile {
  readonly #handle: FileHandle;
  readonly #path: string;
  #end: Extent;
  #written: Extent;
  /** To be written, in order, each with how far the file has come behind it. */
  #slabs: { readonly bytes: Buffer; readonly end: Extent }[] = [];
  #slab: Buffer | undefined;
  #slabBytes = 0;
  #flushing: Promise<void> | undefined;
  #soon: NodeJS.Immediate | undefined;
  #failure: JobTraceError | undefined;

  /** @throws {JobTraceError} `open-failed` */
  static async create(path: string): Promise<BufferFile> {
    return new BufferFile(await openFile(path, "wx+"), path, NOTHING_YET);
  }

  /**
   * Goes on with a file that an earlier process left behind.
   *
   * @throws {JobTraceError} `open-failed`, `read-failed`
   */
  static async reopen(path: string): Promise<BufferFile> {
    const handle = await openFile(path, "r+");
    try {
      return new BufferFile(handle, path, await measure(handle));
    } catch (cause) {
      await handle.close();
      throw new JobTraceError("read-failed", `Reading ${path}`, { cause });
    }
  }

  private constructor(handle: FileHandle, path: string, extent: Extent) {
    this.#handle = handle;
    this.#path = path;
    this.#end = extent;
    this.#written = extent;
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
    else this.#flushSoon();
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

  /** Closes the file and leaves it where it is. */
  async close(): Promise<void> {
    await this.settle();
    clearImmediate(this.#soon);
    await this.#handle.close();
  }

  /** Closes and removes the file. */
  async remove(): Promise<void> {
    try {
      await this.close();
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
      this.#flushSoon();
    });
    return this.#flushing;
  }

  /** Sends what there is to the disk, unless that is done anyway; writes of one turn of the event loop go together. */
  #flushSoon(): void {
    if (this.#flushing !== undefined || this.#slabBytes === 0) return;
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      this.#fill();
      void this.#flush();
    });
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
        this.#fail(cause, (first as Buffer).subarray(0, writtenOfFirst));
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

  /** @param written - what has reached the file behind the last slab that has in full */
  #fail(cause: unknown, written: Buffer): void {
    const size = this.#written.size + written.length;
    this.#written = { size, crc: crc32(written, this.#written.crc) };
    this.#failure = new JobTraceError("write-failed", `Writing ${this.#path} at ${this.#written.size}`, { cause });
    this.#end = this.#written;
    this.#slabs = [];
    this.#slab = undefined;
    this.#slabBytes = 0;
  }
}

async function openFile(path: string, flags: string): Promise<FileHandle> {
  try {
    return await open(path, flags, 0o600);
  } catch (cause) {
    throw new JobTraceError("open-failed", `Opening ${path}`, { cause });
  }
}

/** Size and checksum of a file, which loses the start of a character that its end may hold: the process may have been killed there. */
async function measure(handle: FileHandle): Promise<Extent> {
  const { size: wholeSize } = await handle.stat();
  const tail = Buffer.alloc(Math.min(wholeSize, 4));
  await handle.read(tail, 0, tail.length, wholeSize - tail.length);
  const size = wholeSize - countOpenBytes(tail);
  if (size < wholeSize) await handle.truncate(size);
  const piece = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, Math.max(size, 1)));
  let crc = 0;
  for (let at = 0; at < size;) {
    const { bytesRead } = await handle.read(piece, 0, Math.min(piece.length, size - at), at);
    if (bytesRead === 0) throw new Error(`it ended at ${at} instead of ${size}`);
    crc = crc32(piece.subarray(0, bytesRead), crc);
    at += bytesRead;
  }
  return { size, crc };
}
