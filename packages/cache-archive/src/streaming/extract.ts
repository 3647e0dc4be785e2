import { Readable } from "node:stream";
import { crc32 } from "node:zlib";

import { Open } from "unzipper";
import type { File } from "unzipper";

import { readArchive, readPieces } from "../archive-file.ts";
import type { ArchiveFile } from "../archive-file.ts";
import { CacheArchiveError, errnoOf } from "../errors.ts";
import type { Extraction, ExtractWork } from "../restore/extract-work.ts";
import { named } from "../restore/extract-work.ts";
import { printablePath } from "../path-bytes.ts";
import { RestorePlanner } from "../restore/restore-plan.ts";
import { RestoreFolders } from "../restore/folders.ts";
import { placeInTurns } from "../restore/place-in-turns.ts";
import { restoreStaged } from "../restore/restore-staged.ts";
import { SHORT_FILE_BYTES, writeNewFile, writeNewFileInPieces, writeNewLink } from "../restore/write-file.ts";
import type { ModePolicy } from "../restore/write-file.ts";
import { inTurns, Turn } from "../turn.ts";
import { decompressStream } from "../zip/codec.ts";
import { LOCAL_HEADER_LENGTH, METHOD_ZSTD } from "../zip/constants.ts";
import { checkContent, checkLinkTarget, checkLocalHeader, damage } from "../zip/content.ts";
import { readDirectory, zipEntryAt } from "../zip/directory.ts";
import type { ZipEntry } from "../zip/directory.ts";

/**
 * Restores a zip archive with the data that unzipper reads. Names, kinds, modes and times come from our own reader of the
 * directory, and sizes and CRCs are checked here: unzipper does neither.
 */
export async function extractZipStreaming(work: ExtractWork): Promise<Extraction> {
  const { file, limits, signal } = work;
  const { rows } = await inTurns(readDirectory(file), signal);
  const planner = new RestorePlanner(rows, limits, file.size);
  const turn = new Turn();
  for (let index = 0; index < rows.count; index += 1) {
    if (turn.isOver) await turn.next();
    planner.add(index);
  }
  const { directories, files, symlinks } = await inTurns(planner.finish(), signal);
  const { table } = rows;
  const reader = await EntryReader.open(file, rows.count, signal);
  const stagingError = await restoreStaged(work, async (place) => {
    const folders = new RestoreFolders(`${place.staging}/tree`, place.root);
    for (const index of directories) {
      await named(table.entry(index), signal, async () => folders.makeMissing(table.target(index)));
    }
    for (const index of files) {
      const entry = zipEntryAt(table, index);
      const restore = async (): Promise<void> =>
        await restoreFile(entry, folders.stage(table.target(index)), place.policy, reader);
      await named(entry, signal, restore);
    }
    for (const index of symlinks) {
      const entry = zipEntryAt(table, index);
      await named(entry, signal, async () => {
        checkLinkTarget(entry);
        writeNewLink(folders.stage(table.target(index)), await reader.whole(entry), entry);
      });
    }
    await placeInTurns(place, rows, directories, signal);
  });
  return { entries: rows.count, stagingError };
}

async function restoreFile(
  entry: ZipEntry,
  place: string | Buffer,
  policy: ModePolicy,
  reader: EntryReader,
): Promise<void> {
  if (entry.bytes > SHORT_FILE_BYTES) await writeNewFileInPieces(place, reader.pieces(entry), entry, policy);
  else writeNewFile(place, await reader.whole(entry), 0, entry, policy);
}

/** Checked content of entries, by way of unzipper. */
class EntryReader {
  readonly #file: ArchiveFile;
  /** By the place of their local header. */
  readonly #found: ReadonlyMap<number, File>;

  readonly #signal: AbortSignal | undefined;

  static async open(file: ArchiveFile, entries: number, signal: AbortSignal | undefined): Promise<EntryReader> {
    const source = {
      size: () => Promise.resolve(file.size),
      stream: (offset: number, length?: number) =>
        Readable.from(readPieces(file, offset, Math.min(length ?? Infinity, file.size - offset)), {
          objectMode: false,
        }),
    };
    const found = new Map<number, File>();
    // It fails for an archive without entries.
    if (entries > 0) {
      const { files } = await Open.custom(source);
      for (const entry of files) found.set(entry.offsetToLocalFileHeader, entry);
    }
    return new EntryReader(file, found, signal);
  }

  private constructor(file: ArchiveFile, found: ReadonlyMap<number, File>, signal: AbortSignal | undefined) {
    this.#file = file;
    this.#found = found;
    this.#signal = signal;
  }

  async whole(entry: ZipEntry): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const piece of this.pieces(entry)) parts.push(piece);
    return Buffer.concat(parts);
  }

  /** @throws {CacheArchiveError} at the end, too, when the pieces were not what they should be */
  async *pieces(entry: ZipEntry): AsyncGenerator<Buffer> {
    const dataStart = entry.offset + this.#headerLength(entry);
    let crc = 0;
    let bytes = 0;
    try {
      // unzipper looks for the end of empty entries in what follows them.
      for await (const piece of entry.compressedBytes === 0 ? [] : this.#open(entry, dataStart)) {
        this.#signal?.throwIfAborted();
        bytes += piece.length;
        if (bytes > entry.bytes) checkContent(entry, bytes, crc);
        crc = crc32(piece, crc);
        yield piece;
      }
    } catch (error) {
      throw damage(error, entry);
    }
    checkContent(entry, bytes, crc);
  }

  #headerLength(entry: ZipEntry): number {
    const length = LOCAL_HEADER_LENGTH + entry.rawName.length + MAX_LOCAL_EXTRA;
    const start = readArchive(this.#file, entry.offset, Math.min(length, this.#file.size - entry.offset));
    return checkLocalHeader(start, entry);
  }

  #open(entry: ZipEntry, dataStart: number): AsyncIterable<Buffer> {
    // unzipper takes every method for deflate.
    if (entry.method === METHOD_ZSTD) {
      const source = Readable.from(readPieces(this.#file, dataStart, entry.compressedBytes));
      const decoder = decompressStream(METHOD_ZSTD);
      if (decoder === undefined) throw new TypeError("there is a decoder for this method");
      source.on("error", (error) => decoder.destroy(error));
      return source.pipe(decoder);
    }
    const found = this.#found.get(entry.offset);
    if (found === undefined) {
      const entryName = printablePath(entry.name);
      const message = `entry "${entryName}" is not found by every reader of the archive`;
      throw new CacheArchiveError({ code: "header-mismatch", message, entryName });
    }
    return readToEnd(found);
  }
}

const MAX_LOCAL_EXTRA = 0xffff;

/** unzipper tells of an error by an event, and never ends the stream then. */
async function* readToEnd(found: File): AsyncGenerator<Buffer> {
  const stream = found.stream();
  stream.on("error", (error: Error) => stream.destroy(error));
  try {
    for await (const piece of stream) yield piece as Buffer;
  } catch (error) {
    // "FILE_ENDED", without code.
    if (error instanceof Error && errnoOf(error) === undefined) throw Object.assign(error, { code: "Z_BUF_ERROR" });
    throw error;
  }
}
