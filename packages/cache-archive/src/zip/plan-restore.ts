import type { ArchiveFile } from "../archive-file.ts";
import { BlockTable } from "../engine/block-table.ts";
import { makeControl } from "../engine/control.ts";
import type { SharedControl } from "../engine/control.ts";
import { RestorePlanner } from "../restore/restore-plan.ts";
import type { RestoreLimits } from "../restore/restore-plan.ts";
import { addEnding, sortFolders } from "../restore/ending.ts";
import type { SharedRestoreJob } from "../restore/restore-runner.ts";
import { COLUMN, COLUMNS } from "../restore/restore-columns.ts";
import type { RestoreRows } from "../restore/restore-rows.ts";
import { shareNumbers } from "../restore/share-numbers.ts";
import { RestoreUnits, SHORT, STREAM } from "../restore/units.ts";
import { inSteps } from "../turn.ts";
import type { BlockIndex } from "./block-index.ts";
import { METHOD_STORED } from "./constants.ts";
import { WHOLE_ENTRY_BYTES } from "./content.ts";
import { readDirectory, sortByOffset } from "./directory.ts";
import type { ZipDirectory } from "./directory.ts";
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
  /** Most packed bytes that are unpacked with one call, which nothing can interrupt. */
  readonly longestCallBytes: number;
}

/**
 * Packed bytes that the main thread may unpack with one call: when an archive is made for it, a block of 12 bytes holds nothing but codes that have
 * to be prepared, and a megabyte of such blocks takes 50 ms.
 */
export const MAX_INLINE_CALL_BYTES: number = 512 * 1024;

/** Entries of one unit, and archive bytes that they may span. */
const MAX_SHORT_ENTRIES = 128;
const MAX_SHORT_BYTES: number = MAX_INLINE_CALL_BYTES;
const ENTRIES_PER_STEP = 1000;

/**
 * Reads the directory of a zip archive, checks it, and cuts the work into units. In steps of less than a few milliseconds.
 *
 * @throws {CacheArchiveError} the archive is damaged, forged or too large
 */
export function* planZipRestore(file: ArchiveFile, limits: RestoreLimits): Generator<void, RestoreSchedule> {
  const directory = yield* readDirectory(file);
  const { rows } = directory;
  const planner = new RestorePlanner(rows, limits, file.size);
  let workBytes = 0;
  yield* inSteps(rows.count, ENTRIES_PER_STEP, (entry) => {
    if (planner.add(entry)) workBytes += longestBytes(rows, entry);
  });
  const { files, symlinks, directories, empty } = yield* planner.finish();
  yield;
  const sorted = sortByOffset(rows, files);
  yield;
  const folders = sortFolders(rows, directories);
  const units = new RestoreUnits();
  yield;
  const { wholes, shorts, longestCallBytes } = addLong(sorted, directory, units);
  yield;
  const order = wholes.concat(shorts);
  addShort(rows, order, wholes.length, units);
  yield;
  addEnding(units, order.length, symlinks, folders, empty, () => 0);
  return {
    shared: {
      table: rows.share(),
      order: shareNumbers(order, symlinks, folders.sorted, empty),
      units: units.share(),
      counters: new SharedArrayBuffer(units.length * 8),
      blocks: BlockTable.share(units.length),
    },
    control: makeControl(units.length, units.phases),
    entries: rows.count,
    workBytes,
    longestCallBytes,
  };
}

/** Packed or unpacked, whichever is longer. */
function longestBytes(rows: RestoreRows, entry: number): number {
  return Math.max(rows.numbers[entry * COLUMNS + COLUMN.bytes] ?? 0, packedBytes(rows, entry));
}

function packedBytes({ numbers }: RestoreRows, entry: number): number {
  return numbers[entry * COLUMNS + COLUMN.compressedBytes] ?? 0;
}

/** Up to this length a file that only one participant can unpack is unpacked at once. */
const MAX_WHOLE_BYTES = 4 * 1024 * 1024;

/**
 * Long files first, and the longest of those that one participant unpacks alone.
 *
 * @returns those that are held in memory as a whole: the longer ones, each for itself, and the short ones in the order of the archive
 */
function addLong(
  files: Iterable<number>,
  { rows, blocks }: ZipDirectory,
  units: RestoreUnits,
): { wholes: number[]; shorts: number[]; longestCallBytes: number } {
  const shorts: number[] = [];
  const wholes: number[] = [];
  const streams: number[] = [];
  const cut: number[] = [];
  let longestCallBytes = MAX_SHORT_BYTES;
  for (const entry of files) {
    const longest = longestBytes(rows, entry);
    if (longest <= WHOLE_ENTRY_BYTES) shorts.push(entry);
    else if (blocks.has(entry) || isStoredWhole(rows, entry)) cut.push(entry);
    else if (longest <= MAX_WHOLE_BYTES && !isMostlyEmpty(rows, entry)) wholes.push(entry);
    else streams.push(entry);
    if (packedBytes(rows, entry) > longestCallBytes && streams.at(-1) !== entry) {
      longestCallBytes = Math.max(longestCallBytes, callBytes(rows, entry, blocks.get(entry)));
    }
  }
  const longestFirst = (a: number, b: number): number => rows.table.bytes(b) - rows.table.bytes(a);
  for (const entry of streams.sort(longestFirst)) units.add(STREAM, entry, 1);
  for (const entry of cut) {
    addBlocks(entry, blocks.get(entry)?.packedBytes ?? storedLengths(rows.table.bytes(entry)), units);
  }
  for (const [nth] of wholes.sort(longestFirst).entries()) units.add(SHORT, nth, 1);
  return { wholes, shorts, longestCallBytes };
}

/** Of an entry that is unpacked at once, or in blocks. Stored data takes no time worth mentioning. */
function callBytes({ table }: RestoreRows, entry: number, index: BlockIndex | undefined): number {
  const { method, compressedBytes } = table.facts(entry);
  if (method === METHOD_STORED) return 0;
  return index === undefined ? compressedBytes : Math.max(...index.packedBytes);
}

/** Whether the data is longer than any that was packed to become shorter: blocks without content, which take time and show nothing for it. */
function isMostlyEmpty({ table }: RestoreRows, entry: number): boolean {
  return table.facts(entry).compressedBytes > 2 * table.bytes(entry);
}

function isStoredWhole({ table }: RestoreRows, entry: number): boolean {
  const { method, compressedBytes } = table.facts(entry);
  return method === METHOD_STORED && table.bytes(entry) === compressedBytes;
}

function addBlocks(entry: number, lengths: readonly number[], units: RestoreUnits): void {
  let packedStart = 0;
  for (const [block, packedBytes] of lengths.entries()) {
    units.addBlock(entry, { block, blocks: lengths.length, packedStart, packedBytes });
    packedStart += packedBytes;
  }
}

function storedLengths(bytes: number): number[] {
  return Array.from({ length: Math.ceil(bytes / STORED_BLOCK_BYTES) }, (_, block) =>
    Math.min(STORED_BLOCK_BYTES, bytes - block * STORED_BLOCK_BYTES),
  );
}

/** Runs of entries that lie close to each other in the archive, so that one call reads them all. */
function addShort({ numbers }: RestoreRows, order: readonly number[], from: number, units: RestoreUnits): void {
  let first = from;
  let start = 0;
  for (let nth = from; nth < order.length; nth += 1) {
    const row = (order[nth] ?? 0) * COLUMNS;
    const offset = numbers[row + COLUMN.offset] ?? 0;
    if (nth === first) start = offset;
    const span = offset + (numbers[row + COLUMN.compressedBytes] ?? 0) - start;
    if (nth > first && (nth - first >= MAX_SHORT_ENTRIES || span > MAX_SHORT_BYTES)) {
      units.add(SHORT, first, nth - first);
      first = nth;
      start = offset;
    }
  }
  if (order.length > first) units.add(SHORT, first, order.length - first);
}
