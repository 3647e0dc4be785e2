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

  /** Writes what belongs together at a place of the file; all of it, or it rejects. */
  write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    return this.#calls.run(async () => {
      const pieces = piecesOf(chunks, position);
      // Their memory is used for something else once this has settled, so none of them may be under way any more.
      const results = await Promise.allSettled(pieces.map((piece) => this.#writePiece(piece)));
      for (const result of results) if (result.status === "rejected") throw result.reason;
    });
  }

  async #writePiece({ bytes, position }: Piece): Promise<void> {
    for (let done = 0; done < bytes.byteLength;) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.byteLength - done, position + done);
      if (bytesWritten === 0) throw new Error("the disk takes nothing");
      done += bytesWritten;
    }
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

interface Piece {
  readonly bytes: Uint8Array;
  readonly position: number;
}

function piecesOf(chunks: readonly Uint8Array[], position: number): readonly Piece[] {
  const pieces: Piece[] = [];
  let end = position;
  for (const chunk of chunks) {
    for (let start = 0; start < chunk.byteLength; start += pieceBytes) {
      const bytes = chunk.subarray(start, start + pieceBytes);
      pieces.push({ bytes, position: end });
      end += bytes.byteLength;
    }
  }
  return pieces;
}

/**
 * The most for which Linux takes memory from the pages that it has in stock for each processor. Longer writes get large blocks, which the host
 * of a virtual machine takes back while they are free: their pages come back one by one then, at ten times the processor time.
 *
 * @see https://docs.kernel.org/mm/free_page_reporting.html
 */
const pieceBytes = 32 * 1024;
const streamBytes = 512 * 1024;
