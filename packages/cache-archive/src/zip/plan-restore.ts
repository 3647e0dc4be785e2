import type { ArchiveFile } from "../archive-file.ts";
import { BlockTable } from "../engine/block-table.ts";
import { makeControl } from "../engine/control.ts";
import type { SharedControl } from "../engine/control.ts";
import { RestorePlanner } from "../restore-plan.ts";
import type { PlannedEntry, RestoreLimits } from "../restore-plan.ts";
import { addEnding, sortFolders } from "../restore/ending.ts";
import type { SharedRestoreJob } from "../restore/restore-runner.ts";
import { RestoreTable } from "../restore/restore-table.ts";
import { shareNumbers } from "../restore/share-numbers.ts";
import { FOLDERS, RestoreUnits, SHORT, STREAM } from "../restore/units.ts";
import { METHOD_STORED } from "./constants.ts";
import { WHOLE_ENTRY_BYTES } from "./content.ts";
import { readDirectory } from "./directory.ts";
import type { ZipEntry } from "./directory.ts";
import { STORED_BLOCK_BYTES } from "./unpacker.ts";

/** Everything about the restore of an archive that does not depend on where to. */
export interface RestoreSchedule {
  readonly shared: Pick<SharedRestoreJob, "table" | "order" | "units" | "counters"> & {
    readonly blocks: SharedArrayBuffer;
  };
  readonly control: SharedControl;
  /** Of the archive, with those that are not restored. */
  readonly entries: number;
  /** Length of all files together. */
  readonly bytes: number;
}

/** Entries of one unit, and archive bytes that they may span. */
const MAX_SHORT_ENTRIES = 128;
const MAX_SHORT_BYTES = 1024 * 1024;
const ENTRIES_PER_STEP = 500;

/**
 * Reads the directory of a zip archive, checks it, and cuts the work into units. In steps of less than a few milliseconds.
 *
 * @throws {CacheArchiveError} the archive is damaged, forged or too large
 */
export function* planZipRestore(file: ArchiveFile, limits: RestoreLimits): Generator<void, RestoreSchedule> {
  const entries = yield* readDirectory(file);
  const planner = new RestorePlanner<ZipEntry>(limits, file.size);
  for (const [index, entry] of entries.entries()) {
    if (index % ENTRIES_PER_STEP === ENTRIES_PER_STEP - 1) yield;
    planner.add(entry);
  }
  yield;
  const { files, symlinks, directories } = planner.finish();
  yield;
  const sorted = files.toSorted((a, b) => a.entry.offset - b.entry.offset);
  const folders = sortFolders(directories);
  const planned = [...sorted, ...symlinks, ...folders.sorted];
  const units = new RestoreUnits();
  const shorts = addLong(sorted, units);
  addShort(sorted, shorts, units);
  const order = [...shorts, ...planned.keys().drop(sorted.length)];
  units.addRuns(FOLDERS, order.length - directories.length, order.length, MAX_SHORT_ENTRIES);
  addEnding(units, order.length, symlinks.length, folders);
  yield;
  const table = yield* RestoreTable.share(planned, (entry) => ({ ...entry, frame: 0 }));
  return {
    shared: {
      table,
      order: shareNumbers(order),
      units: units.share(),
      counters: new SharedArrayBuffer(units.length * 8),
      blocks: BlockTable.share(units.length),
    },
    control: makeControl(units.length, units.phases),
    entries: entries.length,
    bytes: planner.bytes,
  };
}

/** Long files first, and the longest of those that one participant unpacks alone. @returns the short ones */
function addLong(files: readonly PlannedEntry<ZipEntry>[], units: RestoreUnits): number[] {
  const shorts: number[] = [];
  const streams: number[] = [];
  const cut: number[] = [];
  for (const [index, { entry }] of files.entries()) {
    if (entry.bytes <= WHOLE_ENTRY_BYTES && entry.compressedBytes <= WHOLE_ENTRY_BYTES) shorts.push(index);
    else if (entry.blocks !== undefined || isStoredWhole(entry)) cut.push(index);
    else streams.push(index);
  }
  const bytesOf = (index: number): number => files[index]?.entry.bytes ?? 0;
  for (const index of streams.sort((a, b) => bytesOf(b) - bytesOf(a))) units.add(STREAM, index, 1);
  for (const index of cut) {
    const entry = files[index]?.entry;
    if (entry !== undefined) addBlocks(index, entry, units);
  }
  return shorts;
}

function isStoredWhole({ method, bytes, compressedBytes }: ZipEntry): boolean {
  return method === METHOD_STORED && bytes === compressedBytes;
}

function addBlocks(index: number, entry: ZipEntry, units: RestoreUnits): void {
  const lengths = entry.blocks?.packedBytes ?? storedLengths(entry.bytes);
  let packedStart = 0;
  for (const [block, packedBytes] of lengths.entries()) {
    units.addBlock(index, { block, blocks: lengths.length, packedStart, packedBytes });
    packedStart += packedBytes;
  }
}

function storedLengths(bytes: number): number[] {
  return Array.from({ length: Math.ceil(bytes / STORED_BLOCK_BYTES) }, (_, block) =>
    Math.min(STORED_BLOCK_BYTES, bytes - block * STORED_BLOCK_BYTES),
  );
}

/** Runs of entries that lie close to each other in the archive, so that one call reads them all. */
function addShort(files: readonly PlannedEntry<ZipEntry>[], shorts: readonly number[], units: RestoreUnits): void {
  let first = 0;
  let start = 0;
  for (const [nth, index] of shorts.entries()) {
    const entry = files[index]?.entry;
    if (entry === undefined) continue;
    if (nth === first) start = entry.offset;
    const span = entry.offset + entry.compressedBytes - start;
    if (nth > first && (nth - first >= MAX_SHORT_ENTRIES || span > MAX_SHORT_BYTES)) {
      units.add(SHORT, first, nth - first);
      first = nth;
      start = entry.offset;
    }
  }
  if (shorts.length > first) units.add(SHORT, first, shorts.length - first);
}
