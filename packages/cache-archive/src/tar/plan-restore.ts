import type { ArchiveFile } from "../archive-file.ts";
import { makeControl } from "../engine/control.ts";
import type { SharedControl } from "../engine/control.ts";
import { RestorePlanner } from "../restore/restore-plan.ts";
import type { PlannedEntry, RestoreLimits } from "../restore/restore-plan.ts";
import { addEnding, sortFolders } from "../restore/ending.ts";
import type { SharedRestoreJob } from "../restore/restore-runner.ts";
import { RestoreTable } from "../restore/restore-table.ts";
import { shareNumbers } from "../restore/share-numbers.ts";
import { RestoreUnits, SHORT } from "../restore/units.ts";
import { inSteps } from "../turn.ts";
import { checkLayout, framesOf, hasFramesAlone } from "./check-layout.ts";
import { LONG_FILE_FRAME_BYTES, readFrameIndex } from "./frame-index.ts";
import type { Frame, IndexedEntry } from "./frame-index.ts";

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

/** A participant holds a frame in memory. Only files that grew while they were saved, or many endless names, make longer ones. */
const MAX_FRAME_BYTES = 2 * LONG_FILE_FRAME_BYTES;
const ENTRIES_PER_STEP = 500;

/**
 * Reads the index of a tar archive, checks it, and cuts the work into units. In steps of less than a few milliseconds.
 *
 * @returns undefined for an archive without index, or with frames that are better read from the first to the last
 * @throws {CacheArchiveError} the archive is damaged, forged or too large
 */
export function* planTarRestore(file: ArchiveFile, limits: RestoreLimits): Generator<void, TarSchedule | undefined> {
  const index = yield* readFrameIndex(file);
  if (index === undefined) return undefined;
  yield* checkLayout(file, index);
  if (index.frames.some(({ bytes }) => bytes > MAX_FRAME_BYTES)) return undefined;
  const planner = new RestorePlanner<IndexedEntry>(limits, file.size);
  yield* inSteps(index.entries.length, ENTRIES_PER_STEP, (nth) => {
    const entry = index.entries[nth];
    if (entry !== undefined) planner.add(entry);
  });
  const { files, symlinks, directories, parents } = yield* planner.finish();
  yield;
  const folders = sortFolders(directories);
  const planned = files.concat(symlinks, folders.sorted);
  const units = new RestoreUnits();
  yield* addFiles(files, index.frames, units);
  const order: number[] = [];
  yield* inSteps(planned.length, ENTRIES_PER_STEP, (nth) => void order.push(nth));
  addEnding(units, order, symlinks.length, folders, parents);
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
    order: shareNumbers(order),
    units: units.share(),
    counters: new SharedArrayBuffer(units.length * 8),
    frames: shareFrames(index.frames),
  };
  const control = makeControl(units.length, units.phases);
  return { shared, control, entries: index.entries.length, bytes: planner.bytes };
}

function* addFiles(
  files: readonly PlannedEntry<IndexedEntry>[],
  frames: readonly Frame[],
  units: RestoreUnits,
): Generator<void> {
  let first = 0;
  const close = (end: number): void => {
    if (end > first) units.add(SHORT, first, end - first);
    first = end;
  };
  yield* inSteps(files.length, ENTRIES_PER_STEP, (index) => {
    const entry = files[index]?.entry;
    if (entry === undefined) return;
    if (hasFramesAlone(entry, frames)) {
      close(index);
      const blocks = framesOf(entry);
      for (let block = 0; block < blocks; block += 1) {
        units.addBlock(index, { block, blocks, packedStart: 0, packedBytes: 0 });
      }
      first = index + 1;
    } else if (files[first]?.entry.frame !== entry.frame) {
      close(index);
    }
  });
  close(files.length);
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
