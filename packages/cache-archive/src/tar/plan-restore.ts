import type { ArchiveFile } from "../archive-file.ts";
import { makeControl } from "../engine/control.ts";
import type { SharedControl } from "../engine/control.ts";
import { CacheArchiveError } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import { RestorePlanner } from "../restore/restore-plan.ts";
import type { PlannedEntry, RestoreLimits } from "../restore/restore-plan.ts";
import { addEnding, sortFolders } from "../restore/ending.ts";
import type { SharedRestoreJob } from "../restore/restore-runner.ts";
import { RestoreTable } from "../restore/restore-table.ts";
import { shareNumbers } from "../restore/share-numbers.ts";
import { RestoreUnits, SHORT } from "../restore/units.ts";
import { LONG_FILE_FRAME_BYTES, readFrameIndex } from "./frame-index.ts";
import type { Frame, FrameIndex, IndexedEntry } from "./frame-index.ts";
import { BLOCK_BYTES } from "./header.ts";
import { paddingBytes } from "./read.ts";

/** Everything about the restore of an indexed archive that does not depend on where to. */
export interface TarSchedule {
  readonly shared: Pick<SharedRestoreJob, "table" | "order" | "units" | "counters"> & {
    readonly frames: SharedArrayBuffer;
  };
  readonly control: SharedControl;
  readonly entries: number;
  /** Length of all files together. */
  readonly bytes: number;
}

/** Two empty blocks. */
const END_BYTES = 2 * BLOCK_BYTES;
const ENTRIES_PER_STEP = 500;

/**
 * Reads the index of a tar archive, checks it, and cuts the work into units. In steps of less than a few milliseconds.
 *
 * @returns undefined for an archive without index
 * @throws {CacheArchiveError} the archive is damaged, forged or too large
 */
export function* planTarRestore(file: ArchiveFile, limits: RestoreLimits): Generator<void, TarSchedule | undefined> {
  const index = yield* readFrameIndex(file);
  if (index === undefined) return undefined;
  const planner = new RestorePlanner<IndexedEntry>(limits, file.size);
  let described = 0;
  for (const [nth, entry] of index.entries.entries()) {
    if (nth % ENTRIES_PER_STEP === ENTRIES_PER_STEP - 1) yield;
    checkPlace(entry, index);
    planner.add(entry);
    described += entry.headerBytes + entry.bytes + paddingBytes(entry.bytes);
  }
  if (described + END_BYTES !== index.frames.reduce((sum, frame) => sum + frame.bytes, 0)) {
    const message = `${printablePath(file.path)} is damaged: its frames hold something else than the index describes`;
    throw new CacheArchiveError({ code: "malformed", message });
  }
  yield;
  const { files, symlinks, directories } = planner.finish();
  const folders = sortFolders(directories);
  const planned = [...files, ...symlinks, ...folders.sorted];
  const units = new RestoreUnits();
  addFiles(files, units);
  addEnding(units, planned.length, symlinks.length, folders);
  yield;
  const table = yield* RestoreTable.share(planned, ({ crc, headerBytes, offset, frame }) => ({
    crc,
    compressedBytes: headerBytes,
    offset,
    method: 0,
    flags: 0,
    frame,
  }));
  const shared = {
    table,
    order: shareNumbers([...planned.keys()]),
    units: units.share(),
    counters: new SharedArrayBuffer(units.length * 8),
    frames: shareFrames(index.frames),
  };
  const control = makeControl(units.length, units.phases);
  return { shared, control, entries: index.entries.length, bytes: planner.bytes };
}

/** An entry lies in its frame as a whole; a long file begins a frame and fills the frames after it. */
function checkPlace(entry: IndexedEntry, { frames }: FrameIndex): void {
  const { frame, offset, headerBytes, bytes } = entry;
  const first = frames[frame];
  const content = isLong(entry) ? Math.min(LONG_FILE_FRAME_BYTES, bytes) : bytes + paddingBytes(bytes);
  let fits =
    first !== undefined && offset + headerBytes + content <= first.bytes && (entry.kind === "file" || bytes === 0);
  for (let block = 1; fits && isLong(entry) && block < blocksOf(entry); block += 1) {
    const wanted = Math.min(LONG_FILE_FRAME_BYTES, bytes - block * LONG_FILE_FRAME_BYTES);
    fits = (frames[frame + block]?.bytes ?? 0) >= wanted;
  }
  // Two frames' worth is more than any writer of this index makes, and a participant holds a frame in memory.
  if (fits && first !== undefined && first.bytes <= MAX_FRAME_BYTES) return;
  const entryName = printablePath(entry.name);
  const message = `entry "${entryName}" does not lie where the index says`;
  throw new CacheArchiveError({ code: "malformed", message, entryName });
}

const MAX_FRAME_BYTES = 256 * 1024 * 1024;

function addFiles(files: readonly PlannedEntry<IndexedEntry>[], units: RestoreUnits): void {
  let first = 0;
  const close = (end: number): void => {
    if (end > first) units.add(SHORT, first, end - first);
    first = end;
  };
  for (const [index, { entry }] of files.entries()) {
    if (isLong(entry)) {
      close(index);
      const blocks = blocksOf(entry);
      for (let block = 0; block < blocks; block += 1) {
        units.addBlock(index, { block, blocks, packedStart: 0, packedBytes: 0 });
      }
      first = index + 1;
    } else if (files[first]?.entry.frame !== entry.frame) {
      close(index);
    }
  }
  close(files.length);
}

function isLong({ bytes, offset, kind }: IndexedEntry): boolean {
  return kind === "file" && offset === 0 && bytes > LONG_FILE_BYTES;
}

/** Files up to this length share frames with others. */
const LONG_FILE_BYTES = 1024 * 1024;

function blocksOf({ bytes }: IndexedEntry): number {
  return Math.ceil(bytes / LONG_FILE_FRAME_BYTES);
}

function shareFrames(frames: readonly Frame[]): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(frames.length * 3 * 8);
  const rows = new Float64Array(shared);
  for (const [nth, { offset, packedBytes, bytes }] of frames.entries()) {
    rows[3 * nth] = offset;
    rows[3 * nth + 1] = packedBytes;
    rows[3 * nth + 2] = bytes;
  }
  return shared;
}
