import { pipeline } from "node:stream/promises";

import { readPieces } from "../archive-file.ts";
import { CacheArchiveError, errnoOf } from "../errors.ts";
import type { ExtractWork } from "../extract-work.ts";
import { named } from "../extract-work.ts";
import { printablePath } from "../path-bytes.ts";
import { RestorePlanner } from "../restore-plan.ts";
import type { PlannedEntry } from "../restore-plan.ts";
import { RestoreTree } from "../restore-tree.ts";
import { SMALL_FILE_BYTES } from "../target-file.ts";
import { decompressStream } from "../zip/codec.ts";
import { METHOD_ZSTD } from "../zip/constants.ts";
import { PieceReader } from "./piece-reader.ts";
import { paddingBytes, readTarEntry } from "./read.ts";
import type { TarEntry } from "./read.ts";

/**
 * Restores a tar archive in Zstandard with the rules of zip: what is in the place is removed first, links come after all
 * files, and the metadata of folders last. The reference writes through links here; that is not imitated.
 *
 * @returns how many entries the archive has
 * @see RFC 8878, cache document 3.4 and 3.6
 */
export async function extractTarZstd(work: ExtractWork): Promise<number> {
  const { file, signal } = work;
  const transform = decompressStream(METHOD_ZSTD);
  if (transform === undefined) throw new TypeError("there is a decoder for this method");
  let entries = 0;
  let failure: unknown;
  const receive = async (pieces: AsyncIterable<Buffer>): Promise<void> => {
    try {
      entries = await restore(new PieceReader(checked(pieces, file.path)), work);
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  try {
    const stop = signal === undefined ? {} : { signal };
    await pipeline(readPieces(file, 0, file.size), transform, receive, stop);
  } catch (error) {
    // The pipeline tells what the decoder said; the receiver knows during which entry.
    throw CacheArchiveError.isInstance(failure) ? failure : damage(error, file.path);
  }
  return entries;
}

/** Says of the archive what the decoder says of its bytes. */
async function* checked(pieces: AsyncIterable<Buffer>, path: string): AsyncGenerator<Buffer> {
  try {
    yield* pieces;
  } catch (error) {
    throw damage(error, path);
  }
}

async function restore(reader: PieceReader, work: ExtractWork): Promise<number> {
  const { signal, limits, file } = work;
  const tree = await RestoreTree.open(work.root, work.restoreSpecialBits);
  const planner = new RestorePlanner<TarEntry>(limits, file.size);
  let entries = 0;
  for (;;) {
    signal?.throwIfAborted();
    const entry = await readTarEntry(reader);
    if (entry === undefined) break;
    entries += 1;
    const planned = planner.add(entry);
    await named(entry, signal, async () => await restoreNow(planned, entry, tree, reader));
  }
  await reader.drain();
  const { symlinks, directories } = planner.finish();
  for (const { entry, target } of symlinks) {
    await named(entry, signal, async () => await tree.createSymlink(target, entry.linkTarget, entry));
  }
  for (const { entry, target } of directories.toReversed()) {
    await named(entry, signal, async () => await tree.finishDirectory(target, entry));
  }
  return entries;
}

/** What can be restored before the rest of the archive is known. */
async function restoreNow(
  planned: PlannedEntry<TarEntry> | undefined,
  entry: TarEntry,
  tree: RestoreTree,
  reader: PieceReader,
): Promise<void> {
  if (planned !== undefined && entry.kind === "file") await restoreFile(planned, tree, reader);
  else for await (const piece of reader.readPieces(entry.bytes)) void piece;
  if (planned !== undefined && entry.kind === "directory") await tree.makeDirectory(planned.target);
  await reader.read(paddingBytes(entry.bytes));
}

async function restoreFile(
  { entry, target }: PlannedEntry<TarEntry>,
  tree: RestoreTree,
  reader: PieceReader,
): Promise<void> {
  if (entry.bytes <= SMALL_FILE_BYTES) {
    await tree.writeSmallFile(target, await reader.read(entry.bytes), entry);
    return;
  }
  const file = await tree.createFile(target);
  try {
    for await (const piece of reader.readPieces(entry.bytes)) await file.write(piece);
    await file.finish(entry);
  } catch (error) {
    await file.abandon();
    throw error;
  }
}

function damage(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  if (CacheArchiveError.isInstance(error) || errno === undefined) return error;
  if (errno === "Z_BUF_ERROR") {
    return new CacheArchiveError({ code: "truncated", message: `${printablePath(path)} was cut off`, cause: error });
  }
  if (!errno.startsWith("Z_") && !errno.startsWith("ZSTD_")) return error;
  const message = `${printablePath(path)} cannot be unpacked (${errno})`;
  return new CacheArchiveError({ code: "malformed", message, cause: error });
}
