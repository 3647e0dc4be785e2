import type { BigIntStats } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import type { DiskCalls } from "./disk-calls.ts";

/**
 * An open file of a disk that may fall silent. Nobody reads by its number, which is another file's once this one is closed: whoever comes
 * later gets an error, and one that reads just now still gets his bytes.
 */
export class OpenedFile {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #calls: DiskCalls;
  #closed: Promise<void> | undefined;

  constructor(path: string, handle: FileHandle, calls: DiskCalls) {
    this.path = path;
    this.#handle = handle;
    this.#calls = calls;
  }

  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }> {
    return this.#calls.run(() => this.#handle.read(buffer, offset, length, position));
  }

  readFile(): Promise<Buffer> {
    return this.#calls.run(() => this.#handle.readFile());
  }

  /** @returns how much was written, which may be less than all */
  async write(chunks: readonly NodeJS.ArrayBufferView[], position: number): Promise<number> {
    const { bytesWritten } = await this.#calls.run(() => this.#handle.writev([...chunks], position));
    if (bytesWritten === 0) throw new Error("the disk takes nothing");
    return bytesWritten;
  }

  /** Writes bytes from the beginning of the file. */
  async writeAll(bytes: Uint8Array): Promise<void> {
    for (let position = 0; position < bytes.byteLength;)
      position += await this.write([bytes.subarray(position)], position);
  }

  /** Waits until all that was written is really there. */
  sync(): Promise<void> {
    return this.#calls.run(() => this.#handle.sync(), { isSync: true });
  }

  stat(): Promise<BigIntStats> {
    return this.#calls.run(() => this.#handle.stat({ bigint: true }));
  }

  /** All of it from its beginning, for one reader of several; errors once the file is closed. */
  stream(): ReadableStream<Uint8Array> {
    let position = 0;
    return new ReadableStream({
      pull: async (controller) => {
        const buffer = Buffer.allocUnsafeSlow(streamBytes);
        const { bytesRead } = await this.read(buffer, 0, streamBytes, position);
        position += bytesRead;
        if (bytesRead === 0) controller.close();
        else controller.enqueue(buffer.subarray(0, bytesRead));
      },
    });
  }

  /** Never rejects; of a silent disk it is not waited for. */
  close(): Promise<void> {
    this.#closed ??= this.#calls.afterwards(() => this.#handle.close());
    return this.#closed;
  }
}

const streamBytes = 512 * 1024;
