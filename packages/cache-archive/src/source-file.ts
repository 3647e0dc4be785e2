import { close, constants, fstat, open, read } from "node:fs";
import { promisify } from "node:util";
import { CacheArchiveError, errnoOf, toArchiveError } from "./errors.ts";
import { printablePath, toFileSystemPath } from "./path-bytes.ts";
import type { ArchiveEntry } from "./types.ts";

// The callback functions through promisify take less time per call than FileHandle, and small files are many.
const openFile = promisify(open);
const closeFile = promisify(close);
const readFile = promisify(read);
const statFile = promisify(fstat);

/** Files up to this length are held in memory as a whole; longer ones go through in pieces. */
export const WHOLE_FILE_BYTES: number = 1024 * 1024;
const PIECE_BYTES = 256 * 1024;

// A link or FIFO that took the file's place since it was listed must be neither followed nor waited for.
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** What is said of an entry that cannot be read. */
type NamedEntry = Pick<ArchiveEntry, "path">;

/** Absolute path of an entry. */
export function entryPath(root: string, entry: NamedEntry): string | Buffer {
  return toFileSystemPath(`${root}/${entry.path}`);
}

/** The content as it is now; undefined when the file has grown too long to be held in memory. */
export async function readWholeFile(root: string, entry: ArchiveEntry): Promise<Buffer | undefined> {
  const descriptor = await openEntry(root, entry);
  try {
    // One byte more than planned shows in the same call that nothing was added.
    let buffer = Buffer.allocUnsafe(entry.bytes + 1);
    let length = await readAt(descriptor, buffer, 0);
    if (length === entry.bytes) return buffer.subarray(0, length);

    const size = await regularSize(descriptor, entry);
    if (size > WHOLE_FILE_BYTES) return undefined;
    if (size > buffer.length) buffer = Buffer.concat([buffer.subarray(0, length)], size);
    while (length < size) {
      const got = await readAt(descriptor, buffer, length);
      if (got === 0) break;
      length += got;
    }
    return buffer.subarray(0, Math.min(length, size));
  } catch (error) {
    throw sourceError(error, entry);
  } finally {
    await closeFile(descriptor);
  }
}

/** A file that is open for reading in pieces. */
export interface SourceFile extends AsyncDisposable {
  /** When it was opened. */
  readonly bytes: number;
  /** Up to that length, so that a log that grows for ever still ends; fewer when the file shrinks. */
  readonly pieces: AsyncIterable<Buffer>;
}

export async function openSource(root: string, entry: ArchiveEntry): Promise<SourceFile> {
  const descriptor = await openEntry(root, entry);
  const dispose = async (): Promise<void> => await closeFile(descriptor);
  try {
    const bytes = await regularSize(descriptor, entry);
    return { bytes, pieces: readPieces(descriptor, bytes, entry), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function* readPieces(descriptor: number, size: number, entry: ArchiveEntry): AsyncGenerator<Buffer> {
  let left = size;
  while (left > 0) {
    const buffer = Buffer.allocUnsafe(Math.min(PIECE_BYTES, left));
    let length: number;
    try {
      length = await readAt(descriptor, buffer, 0);
    } catch (error) {
      throw sourceError(error, entry);
    }
    if (length === 0) return;
    left -= length;
    yield buffer.subarray(0, length);
  }
}

async function openEntry(root: string, entry: ArchiveEntry): Promise<number> {
  try {
    return await openFile(entryPath(root, entry), OPEN_FLAGS);
  } catch (error) {
    throw sourceError(error, entry);
  }
}

async function regularSize(descriptor: number, entry: ArchiveEntry): Promise<number> {
  const stats = await statFile(descriptor);
  if (!stats.isFile()) throw changed(entry);
  return stats.size;
}

async function readAt(descriptor: number, buffer: Buffer, offset: number): Promise<number> {
  const { bytesRead } = await readFile(descriptor, buffer, offset, buffer.length - offset, null);
  return bytesRead;
}

/** A system error while an entry was read, with the entry's name. */
export function sourceError(error: unknown, entry: NamedEntry): CacheArchiveError {
  if (CacheArchiveError.isInstance(error)) return error;
  const errno = errnoOf(error);
  if (
    errno === "EISDIR" ||
    errno === "ESPIPE" ||
    errno === "ENOENT" ||
    errno === "ELOOP" ||
    errno === "ENOTDIR" ||
    errno === "EINVAL"
  )
    return changed(entry, error);
  const name = printablePath(entry.path);
  return toArchiveError(error, `read "${name}"`, name);
}

export function changed(entry: NamedEntry, cause?: unknown): CacheArchiveError {
  const name = printablePath(entry.path);
  const message = `read "${name}": it vanished or became something else after it was listed`;
  return new CacheArchiveError({ code: "entry-changed", message, entryName: name, cause });
}
