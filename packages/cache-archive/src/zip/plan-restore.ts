import type { ArchiveFile } from "../archive-file.ts";
import { BlockTable } from "../engine/block-table.ts";
import { makeControl } from "../engine/control.ts";
import type { SharedControl } from "../engine/control.ts";
import { RestorePlanner } from "../restore/restore-plan.ts";
import type { PlannedEntry, RestoreLimits } from "../restore/restore-plan.ts";
import { addEnding, sortFolders } from "../restore/ending.ts";
import type { SharedRestoreJob } from "../restore/restore-runner.ts";
import { RestoreTable } from "../restore/restore-table.ts";
import { shareNumbers } from "../restore/share-numbers.ts";
import { RestoreUnits, SHORT, STREAM } from "../restore/units.ts";
import { inSteps } from "../turn.ts";
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
  /** Of all entries together what is to be unpacked, packed or unpacked, whichever is longer. */
  readonly workBytes: number;
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
  let workBytes = 0;
  yield* inSteps(entries.length, ENTRIES_PER_STEP, (index) => {
    const entry = entries[index];
    if (entry === undefined || planner.add(entry) === undefined) return;
    workBytes += Math.max(entry.bytes, entry.compressedBytes);
  });
  const { files, symlinks, directories, parents } = yield* planner.finish();
  yield;
  const sorted = files.toSorted((a, b) => a.entry.offset - b.entry.offset);
  yield;
  const folders = sortFolders(directories);
  const planned = sorted.concat(symlinks, folders.sorted);
  const units = new RestoreUnits();
  yield;
  const { wholes, shorts } = addLong(sorted, units);
  yield;
  const order = [...wholes, ...shorts];
  addShort(sorted, order, wholes.length, units);
  yield;
  for (let index = sorted.length; index < planned.length; index += 1) order.push(index);
  addEnding(units, order, symlinks.length, folders, parents);
  yield;
  const table = yield* RestoreTable.share(planned, ({ crc, compressedBytes, offset, method, flags }) => ({
    crc,
    compressedBytes,
    offset,
    method,
    flags,
    frame: 0,
  }));
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
    workBytes,
  };
}

/** Up to this length a file that only one participant can unpack is unpacked at once. */
const MAX_WHOLE_BYTES = 4 * 1024 * 1024;

/**
 * Long files first, and the longest of those that one participant unpacks alone.
 *
 * @returns those that are held in memory as a whole: the longer ones, each for itself, and the short ones in the order of the archive
 */
function addLong(
  files: readonly PlannedEntry<ZipEntry>[],
  units: RestoreUnits,
): { wholes: number[]; shorts: number[] } {
  const shorts: number[] = [];
  const wholes: number[] = [];
  const streams: number[] = [];
  const cut: number[] = [];
  for (const [index, { entry }] of files.entries()) {
    const longest = Math.max(entry.bytes, entry.compressedBytes);
    if (longest <= WHOLE_ENTRY_BYTES) shorts.push(index);
    else if (entry.blocks !== undefined || isStoredWhole(entry)) cut.push(index);
    else if (longest <= MAX_WHOLE_BYTES && !isMostlyEmpty(entry)) wholes.push(index);
    else streams.push(index);
  }
  const bytesOf = (index: number): number => files[index]?.entry.bytes ?? 0;
  const longestFirst = (a: number, b: number): number => bytesOf(b) - bytesOf(a);
  for (const index of streams.sort(longestFirst)) units.add(STREAM, index, 1);
  for (const index of cut) {
    const entry = files[index]?.entry;
    if (entry !== undefined) addBlocks(index, entry, units);
  }
  for (const [nth] of wholes.sort(longestFirst).entries()) units.add(SHORT, nth, 1);
  return { wholes, shorts };
}

/** Whether the data is longer than any that was packed to become shorter: blocks without content, which take time and show nothing for it. */
function isMostlyEmpty({ bytes, compressedBytes }: ZipEntry): boolean {
  return compressedBytes > 2 * bytes;
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
function addShort(
  files: readonly PlannedEntry<ZipEntry>[],
  order: readonly number[],
  from: number,
  units: RestoreUnits,
): void {
  let first = from;
  let start = 0;
  for (let nth = from; nth < order.length; nth += 1) {
    const entry = files[order[nth] ?? -1]?.entry;
    if (entry === undefined) continue;
    if (nth === first) start = entry.offset;
    const span = entry.offset + entry.compressedBytes - start;
    if (nth > first && (nth - first >= MAX_SHORT_ENTRIES || span > MAX_SHORT_BYTES)) {
      units.add(SHORT, first, nth - first);
      first = nth;
      start = entry.offset;
    }
  }
  if (order.length > first) units.add(SHORT, first, order.length - first);
}
