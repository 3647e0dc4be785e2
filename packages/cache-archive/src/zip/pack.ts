import { PackPlan } from "../engine/pack-plan.ts";
import type { PackTables } from "../engine/pack-plan.ts";
import { runPackTask } from "../engine/run-pack-task.ts";
import { MS_PER_ENTRY } from "../engine/run-task.ts";
import { WHOLE_FILE_BYTES } from "../source-file.ts";
import type { ArchiveEntry } from "../types.ts";
import { blockBytesFor } from "./block-index.ts";
import type { PackMethod } from "./codec.ts";
import { METHOD_ZSTD } from "./constants.ts";
import { zipPackHandler } from "./pack-task.ts";

export interface PackZipOptions {
  readonly root: string;
  /** In byte order of the paths, which is the order in the archive. */
  readonly entries: AsyncIterable<readonly ArchiveEntry[]>;
  /** Where they are kept; empty. */
  readonly tables: PackTables;
  /** Open for writing, and empty. */
  readonly descriptor: number;
  readonly method: PackMethod;
  readonly concurrency: number;
  readonly maxInlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Writes a zip archive into a file, on as many threads as it is worth. */
export async function packZip(options: PackZipOptions): Promise<void> {
  const { root, entries, tables, descriptor, method, concurrency, maxInlineMs, signal } = options;
  // A Zstandard entry is one frame for readers that know no more, and with one worker the reference's layout counts.
  const isCut = concurrency > 1 && method.method !== METHOD_ZSTD;
  const plan = new PackPlan(tables, {
    unitEntries: 32,
    unitBytes: WHOLE_FILE_BYTES,
    blockBytes: (fileBytes) => (isCut ? blockBytesFor(fileBytes) : undefined),
  });
  await runPackTask({
    plan,
    entries,
    task: {
      kind: "pack-zip" as const,
      root,
      plan: plan.shared,
      descriptor,
      ...method,
      storesGrowing: concurrency > 1,
    },
    handler: zipPackHandler,
    concurrency,
    estimateMs: ({ entries: count, bytes }) =>
      count * MS_PER_ENTRY + (bytes / 1e6) * MS_PER_MEGABYTE * (1 + method.level),
    maxInlineMs,
    signal,
  });
}

/** Rough cost of one thread, to choose where to work. */
const MS_PER_MEGABYTE = 6;
