import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { CacheArchiveError } from "./errors.ts";

const PIECE_BYTES = 256 * 1024;

/** An archive that is being read, at any place and by several readers at once. */
export class InputFile implements AsyncDisposable {
  readonly path: string;
  /** Length in bytes when it was opened. */
  readonly size: number;
  readonly #file: FileHandle;

  static async open(path: string): Promise<InputFile> {
    const file = await open(path, "r");
    try {
      return new InputFile(path, file, (await file.stat()).size);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  private constructor(path: string, file: FileHandle, size: number) {
    this.path = path;
    this.#file = file;
    this.size = size;
  }

  /** Exactly `length` bytes. @throws {CacheArchiveError} `truncated`: the file ends before */
  async read(position: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.#file.read(buffer, done, length - done, position + done);
      if (bytesRead === 0) {
        const message = `${this.path} ends at byte ${position + done}, but goes on until ${position + length}`;
        throw new CacheArchiveError({ code: "truncated", message });
      }
      done += bytesRead;
    }
    return buffer;
  }

  /** The same in pieces. */
  async *readPieces(position: number, length: number): AsyncGenerator<Buffer> {
    for (let done = 0; done < length; done += PIECE_BYTES) {
      yield await this.read(position + done, Math.min(PIECE_BYTES, length - done));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
