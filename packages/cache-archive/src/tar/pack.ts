import { BlockTable } from "../engine/block-table.ts";
import { makeControl } from "../engine/control.ts";
import { EntryTable } from "../engine/entry-table.ts";
import { MS_PER_ENTRY, runTask } from "../engine/run-task.ts";
import { cutIntoUnits, UnitList } from "../engine/units.ts";
import type { ArchiveEntry } from "../types.ts";
import { LONG_FILE_FRAME_BYTES } from "./frame-index.ts";
import { tarPackHandler } from "./tasks.ts";

export interface PackTarOptions {
  readonly root: string;
  /** In byte order of the paths, which is the order in the archive. */
  readonly entries: readonly ArchiveEntry[];
  /** Open for writing, and empty. */
  readonly descriptor: number;
  /** Of Zstandard. */
  readonly level: number;
  readonly concurrency: number;
  readonly maxInlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Rough cost of one thread, to choose where to work. */
const MS_PER_MEGABYTE = 4;

/** Writes a tar archive into a file, in frames that threads pack on their own, with an index behind them. */
export async function packTar(options: PackTarOptions): Promise<void> {
  const { root, entries, descriptor, level, concurrency, maxInlineMs, signal } = options;
  const units = cutIntoUnits(entries, {
    unitEntries: 1024,
    unitBytes: LONG_FILE_FRAME_BYTES,
    blockBytes: () => LONG_FILE_FRAME_BYTES,
  });
  const count = new UnitList(units).length;
  const task = {
    kind: "pack-tar" as const,
    root,
    entries: await EntryTable.share(entries, signal),
    units,
    frames: BlockTable.share(count),
    descriptor,
    level,
  };
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  const estimatedMs = entries.length * MS_PER_ENTRY + (bytes / 1e6) * MS_PER_MEGABYTE * Math.max(1, level / 3);
  const run = { task, handler: tarPackHandler, control: makeControl(count) };
  await runTask({ ...run, concurrency, estimatedMs, maxInlineMs, signal });
}
