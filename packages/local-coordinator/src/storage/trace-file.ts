import { createReadStream } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";

/** The stored log of one job. Changes happen one after another; reading is possible at any time. */
export interface TraceFile {
  readonly path: string;
  /** Stored bytes. */
  readonly size: number;
  /** For example `crc32:af083b2d`. */
  readonly checksum: string;
  /** Appends when `start` is the stored size; false, with nothing stored, when it is not. */
  append(start: number, bytes: Uint8Array): Promise<boolean>;
  /** At most `maxBytes` from `offset`; empty beyond the end. */
  read(offset: number, maxBytes: number): Promise<Uint8Array>;
  /** Forgets everything behind `size`. */
  truncate(size: number): Promise<void>;
  /** Resolves when what is stored would survive a power cut. */
  sync(): Promise<void>;
  /** Closes the file; it can still be read, and is opened again when needed. */
  close(): Promise<void>;
}

/** Name of the file in the folder of its job. */
export const traceName = "trace.log";

/** What a log held when it was last looked at. */
export interface StoredTrace {
  readonly bytes: number;
  readonly checksum: string;
}

/**
 * Nothing is made on disk before the first byte arrives.
 *
 * @param stored - what the file holds already
 */
export function createTraceFile(path: string, stored: StoredTrace = emptyTrace): TraceFile {
  let size = stored.bytes;
  let crc = Number.parseInt(stored.checksum.slice("crc32:".length), 16);
  let handle: FileHandle | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const openHandle = async (): Promise<FileHandle> => {
    if (handle === undefined) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      handle = await open(path, size === 0 ? "w+" : "r+", 0o600);
    }
    return handle;
  };
  const inTurn = <Result>(task: () => Promise<Result>): Promise<Result> => {
    const result = last.then(task);
    last = result.catch(() => undefined);
    return result;
  };
  const readInTurn = async (offset: number, maxBytes: number): Promise<Uint8Array> => {
    const wanted = Math.max(0, Math.min(maxBytes, size - offset));
    if (wanted === 0) return new Uint8Array();
    const file = await openHandle();
    const buffer = Buffer.allocUnsafe(wanted);
    let filled = 0;
    while (filled < wanted) {
      const { bytesRead } = await file.read(buffer, filled, wanted - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  };

  return {
    path,
    get size() {
      return size;
    },
    get checksum() {
      return checksumText(crc);
    },
    append: (start, bytes) =>
      inTurn(async () => {
        if (start !== size) return false;
        const file = await openHandle();
        let written = 0;
        while (written < bytes.length) {
          const { bytesWritten } = await file.write(bytes, written, bytes.length - written, start + written);
          written += bytesWritten;
        }
        crc = crc32(bytes, crc);
        size += bytes.length;
        return true;
      }),
    read: (offset, maxBytes) => inTurn(() => readInTurn(offset, maxBytes)),
    truncate: (newSize) =>
      inTurn(async () => {
        if (newSize >= size) return;
        crc = 0;
        for (let offset = 0; offset < newSize; offset += pieceBytes) {
          crc = crc32(await readInTurn(offset, Math.min(pieceBytes, newSize - offset)), crc);
        }
        await (await openHandle()).truncate(newSize);
        size = newSize;
      }),
    sync: () =>
      inTurn(async () => {
        await handle?.datasync();
      }),
    close: () =>
      inTurn(async () => {
        const file = handle;
        handle = undefined;
        await file?.close();
      }),
  };
}

/** Looks what a file holds; one that is not there holds nothing. */
export async function inspectTrace(path: string): Promise<StoredTrace> {
  let bytes = 0;
  let crc = 0;
  try {
    for await (const piece of createReadStream(path, { highWaterMark: pieceBytes }) as AsyncIterable<Buffer>) {
      bytes += piece.length;
      crc = crc32(piece, crc);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return emptyTrace;
    throw error;
  }
  return { bytes, checksum: checksumText(crc) };
}

function checksumText(crc: number): string {
  return `crc32:${crc.toString(16).padStart(8, "0")}`;
}

const emptyTrace: StoredTrace = { bytes: 0, checksum: "crc32:00000000" };
const pieceBytes = 1024 * 1024;
