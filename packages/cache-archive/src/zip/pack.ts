import { BlockTable } from "../engine/block-table.ts";
import { makeControl } from "../engine/control.ts";
import { EntryTable } from "../engine/entry-table.ts";
import { MS_PER_ENTRY, runTask } from "../engine/run-task.ts";
import { cutIntoUnits, UnitList } from "../engine/units.ts";
import { WHOLE_FILE_BYTES } from "../source-file.ts";
import type { ArchiveEntry } from "../types.ts";
import { blockBytesFor } from "./block-index.ts";
import type { PackMethod } from "./codec.ts";
import { METHOD_ZSTD } from "./constants.ts";
import { zipPackHandler } from "./tasks.ts";

export interface PackZipOptions {
  readonly root: string;
  /** In byte order of the paths, which is the order in the archive. */
  readonly entries: readonly ArchiveEntry[];
  /** Open for writing, and empty. */
  readonly descriptor: number;
  readonly method: PackMethod;
  readonly concurrency: number;
  readonly maxInlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Writes a zip archive into a file, on as many threads as it is worth. */
export async function packZip(options: PackZipOptions): Promise<void> {
  const { root, entries, descriptor, method, concurrency, maxInlineMs, signal } = options;
  // A Zstandard entry is one frame for readers that know no more, and with one worker the reference's layout counts.
  const isCut = concurrency > 1 && method.method !== METHOD_ZSTD;
  const units = cutIntoUnits(entries, {
    unitEntries: 32,
    unitBytes: WHOLE_FILE_BYTES,
    blockBytes: (fileBytes) => (isCut ? blockBytesFor(fileBytes) : undefined),
  });
  const count = new UnitList(units).length;
  const task = {
    kind: "pack-zip" as const,
    root,
    entries: await EntryTable.share(entries, signal),
    units,
    blocks: BlockTable.share(count),
    choices: new SharedArrayBuffer(count * 4),
    descriptor,
    ...method,
    storesGrowing: concurrency > 1,
  };
  await runTask({
    task,
    handler: zipPackHandler,
    control: makeControl(count),
    concurrency,
    estimatedMs: estimate(entries, method),
    maxInlineMs,
    signal,
  });
}

function estimate(entries: readonly ArchiveEntry[], { level }: PackMethod): number {
  let bytes = 0;
  for (const entry of entries) bytes += entry.bytes;
  return entries.length * MS_PER_ENTRY + (bytes / 1e6) * MS_PER_MEGABYTE * (1 + level);
}

const MS_PER_MEGABYTE = 6;
