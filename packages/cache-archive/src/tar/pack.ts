import { PackPlan } from "../engine/pack-plan.ts";
import type { PackTables } from "../engine/pack-plan.ts";
import { runPackTask } from "../engine/run-pack-task.ts";
import { MS_PER_ENTRY } from "../engine/run-task.ts";
import type { ArchiveEntry } from "../types.ts";
import { LONG_FILE_FRAME_BYTES } from "./frame-index.ts";
import { tarPackHandler } from "./pack-task.ts";

export interface PackTarOptions {
  readonly root: string;
  /** In byte order of the paths, which is the order in the archive. */
  readonly entries: AsyncIterable<readonly ArchiveEntry[]>;
  /** Where they are kept; empty. */
  readonly tables: PackTables;
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
  const { root, entries, tables, descriptor, level, concurrency, maxInlineMs, signal } = options;
  const plan = new PackPlan(tables, {
    unitEntries: 1024,
    unitBytes: LONG_FILE_FRAME_BYTES,
    blockBytes: () => LONG_FILE_FRAME_BYTES,
  });
  await runPackTask({
    plan,
    entries,
    task: { kind: "pack-tar" as const, root, plan: plan.shared, descriptor, level },
    handler: tarPackHandler,
    concurrency,
    estimateMs: ({ entries: count, bytes }) =>
      count * MS_PER_ENTRY + (bytes / 1e6) * MS_PER_MEGABYTE * Math.max(1, level / 3),
    maxInlineMs,
    signal,
  });
}
