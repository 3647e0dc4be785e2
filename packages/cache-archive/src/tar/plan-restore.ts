import type { ArchiveFile } from "../archive-file.ts";
import { makeControl } from "../engine/control.ts";
import type { SharedControl } from "../engine/control.ts";
import { RestorePlanner } from "../restore/restore-plan.ts";
import type { RestoreLimits } from "../restore/restore-plan.ts";
import { addEnding, sortFolders } from "../restore/ending.ts";
import type { SharedRestoreJob } from "../restore/restore-runner.ts";
import { COLUMN, COLUMNS } from "../restore/restore-columns.ts";
import type { RestoreRows } from "../restore/restore-rows.ts";
import { shareNumbers } from "../restore/share-numbers.ts";
import { JOURNAL, RestoreUnits, SHORT } from "../restore/units.ts";
import { inSteps } from "../turn.ts";
import { checkLayout, framesOf, hasFramesAlone } from "./check-layout.ts";
import { LONG_FILE_FRAME_BYTES, readFrameIndex } from "./frame-index.ts";
import type { FrameIndex, Frames } from "./frame-index.ts";
import { LinkTargets } from "./link-targets.ts";
import type { SharedLinkTargets } from "./link-targets.ts";

/** Everything about the restore of an indexed archive that does not depend on where to. */
export interface TarSchedule {
  readonly shared: Pick<SharedRestoreJob, "table" | "order" | "units" | "counters"> & {
    readonly frames: SharedArrayBuffer;
    readonly links: SharedLinkTargets;
  };
  readonly control: SharedControl;
  readonly entries: number;
  /** Length of all files together. */
  readonly bytes: number;
}

/** A participant holds a frame in memory. Only files that grew while they were saved, or many endless names, make longer ones. */
const MAX_FRAME_BYTES = 2 * LONG_FILE_FRAME_BYTES;
const ENTRIES_PER_STEP = 1000;
/** More are written down while files are restored: when they are moved into their place, only one participant works. */
const MAX_PLACED_FOLDERS = 200;

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
  const { frames, rows } = index;
  if (yield* hasLongFrames(frames)) return undefined;
  const planner = new RestorePlanner(rows, limits, file.size);
  yield* inSteps(rows.count, ENTRIES_PER_STEP, (entry) => void planner.add(entry));
  const { files, symlinks, directories, empty } = yield* planner.finish();
  yield;
  const units = new RestoreUnits();
  const folders = sortFolders(rows, directories);
  if (directories.length > MAX_PLACED_FOLDERS) {
    units.add(JOURNAL, files.length + symlinks.length, directories.length);
  }
  yield* addFiles(files, index, units);
  addEnding(units, files.length, symlinks, folders, empty, (link) => frameOf(rows, link));
  const shared = {
    table: rows.share(),
    order: shareNumbers(files, symlinks, folders.sorted, empty),
    units: units.share(),
    counters: new SharedArrayBuffer(units.length * 8),
    frames: frames.shared,
    links: LinkTargets.share(symlinks),
  };
  const control = makeControl(units.length, units.phases);
  return { shared, control, entries: rows.count, bytes: planner.bytes };
}

function* hasLongFrames(frames: Frames): Generator<void, boolean> {
  let longest = 0;
  yield* inSteps(frames.count, ENTRIES_PER_STEP, (frame) => {
    longest = Math.max(longest, frames.bytes(frame));
  });
  return longest > MAX_FRAME_BYTES;
}

function* addFiles(files: Int32Array, { frames, rows }: FrameIndex, units: RestoreUnits): Generator<void> {
  let first = 0;
  let frame = -1;
  const close = (end: number): void => {
    if (end > first) units.add(SHORT, first, end - first);
    first = end;
  };
  yield* inSteps(files.length, ENTRIES_PER_STEP, (nth) => {
    const entry = files[nth] ?? 0;
    if (hasFramesAlone(rows, entry, frames)) {
      close(nth);
      const blocks = framesOf(rows.table.bytes(entry));
      for (let block = 0; block < blocks; block += 1) {
        units.addBlock(entry, { block, blocks, packedStart: 0, packedBytes: 0 });
      }
      first = nth + 1;
    } else if (frameOf(rows, entry) !== frame) {
      close(nth);
    }
    frame = frameOf(rows, entry);
  });
  close(files.length);
}

function frameOf({ numbers }: RestoreRows, entry: number): number {
  return numbers[entry * COLUMNS + COLUMN.frame] ?? 0;
}
