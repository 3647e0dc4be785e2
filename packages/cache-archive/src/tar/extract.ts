import { CacheArchiveError, errnoOf } from "../errors.ts";
import type { Extraction, ExtractWork } from "../restore/extract-work.ts";
import { prepareThreadsFor, runTask } from "../engine/run-task.ts";
import { named } from "../restore/extract-work.ts";
import { pathToBytes, printablePath } from "../path-bytes.ts";
import { RestorePlanner } from "../restore/restore-plan.ts";
import { RestoreRows } from "../restore/restore-rows.ts";
import { RestoreFolders } from "../restore/folders.ts";
import { placeInTurns } from "../restore/place-in-turns.ts";
import { planRestore } from "../restore/plan.ts";
import { restoreStaged } from "../restore/restore-staged.ts";
import type { RestorePlace } from "../restore/restore-staged.ts";
import { SHORT_FILE_BYTES, writeNewFile, writeNewFileInPieces, writeNewLink } from "../restore/write-file.ts";
import type { ModePolicy } from "../restore/write-file.ts";
import { inTurns } from "../turn.ts";
import { readFrames } from "./frames.ts";
import { PieceReader } from "./piece-reader.ts";
import { paddingBytes, readTarEntry } from "./read.ts";
import type { TarEntry } from "./read.ts";
import { tarPlanHandler, tarUnpackHandler } from "./restore-tasks.ts";

/**
 * Restores a tar archive in Zstandard with the rules of zip: what is in the place is removed first, links come after all
 * files, and the metadata of folders last. The reference writes through links here; that is not imitated.
 * @see RFC 8878, cache document 3.4 and 3.6
 */
export async function extractTarZstd(work: ExtractWork): Promise<Extraction> {
  const { file, concurrency, maxInlineMs, signal } = work;
  const schedule = await planRestore(tarPlanHandler, work);
  if (schedule === undefined) return await extractTarSequentially(work);
  const { entries } = schedule;
  const estimatedMs = entries * MS_PER_ENTRY + (schedule.bytes / 1e6) * MS_PER_MEGABYTE;
  prepareThreadsFor(estimatedMs, concurrency, maxInlineMs);
  const stagingError = await restoreStaged(work, async (place) => {
    const task = { kind: "unpack-tar" as const, file, ...schedule.shared, ...place };
    const run = { task, handler: tarUnpackHandler, control: schedule.control };
    await runTask({ ...run, concurrency, estimatedMs, maxInlineMs, signal });
  });
  return { entries, stagingError };
}

/** Rough costs of one thread, to choose where to work. */
const MS_PER_ENTRY = 0.025;
const MS_PER_MEGABYTE = 1.5;

/** For an archive without index, which tells what it holds only on the way. */
export async function extractTarSequentially(work: ExtractWork): Promise<Extraction> {
  let entries = 0;
  const stagingError = await restoreStaged(work, async (place) => {
    entries = await restore(new PieceReader(contentOf(work), work.signal), work, place);
  });
  return { entries, stagingError };
}

/** What the decoder throws is told here from what the file system does, which is no fault of the archive. */
async function* contentOf({ file, signal }: ExtractWork): AsyncGenerator<Buffer> {
  try {
    yield* readFrames(file, signal);
  } catch (error) {
    throw damage(error, file.path);
  }
}

async function restore(reader: PieceReader, work: ExtractWork, place: RestorePlace): Promise<number> {
  const { signal, limits, file } = work;
  const folders = new RestoreFolders(`${place.staging}/tree`, place.root);
  const rows = new RestoreRows();
  const planner = new RestorePlanner(rows, limits, file.size);
  const linkTargets = new Map<number, Buffer>();
  let entries = 0;
  for (;;) {
    signal?.throwIfAborted();
    const entry = await readTarEntry(reader);
    if (entry === undefined) break;
    entries += 1;
    const index = rows.addEntry(pathToBytes(entry.name), entry);
    const target = planner.add(index) ? rows.table.target(index) : undefined;
    if (entry.kind === "symlink") linkTargets.set(index, entry.linkTarget);
    await named(entry, signal, async () => {
      if (target !== undefined && entry.kind === "file") {
        await restoreFile(entry, folders.stage(target), place.policy, reader);
      } else {
        for await (const piece of reader.readPieces(entry.bytes)) void piece;
      }
      if (target !== undefined && entry.kind === "directory") folders.makeMissing(target);
      await reader.read(paddingBytes(entry.bytes));
    });
  }
  await reader.drain();
  const { symlinks, directories } = await inTurns(planner.finish(), signal);
  for (const index of symlinks) {
    const entry = rows.table.entry(index);
    const linkTarget = linkTargets.get(index) ?? EMPTY;
    await named(entry, signal, async () => writeNewLink(folders.stage(rows.table.target(index)), linkTarget, entry));
  }
  await placeInTurns(place, rows, directories, signal);
  return entries;
}

const EMPTY = Buffer.alloc(0);

async function restoreFile(
  entry: TarEntry,
  place: string | Buffer,
  policy: ModePolicy,
  reader: PieceReader,
): Promise<void> {
  if (entry.bytes > SHORT_FILE_BYTES) {
    await writeNewFileInPieces(place, reader.readPieces(entry.bytes), entry, policy);
  } else {
    writeNewFile(place, await reader.read(entry.bytes), 0, entry, policy);
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
