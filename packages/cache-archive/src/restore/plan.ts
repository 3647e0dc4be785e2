import type { ArchiveFile } from "../archive-file.ts";
import { makeControl } from "../engine/control.ts";
import { sharedPool } from "../engine/pool.ts";
import type { ExtractWork } from "./extract-work.ts";
import { inTurns } from "../turn.ts";
import type { PlanHandler, PlanTask } from "./plan-runner.ts";

/** The plan of a shorter archive is made before a thread has started. */
const MAX_INLINE_ARCHIVE_BYTES = 16 * 1024 * 1024;

/**
 * Plans the restore of an archive, on a thread or right here. The plan of a long one is made here only while no thread is there that waits:
 * the first one starts meanwhile, and then goes on with the plan's files while the next one starts.
 */
export async function planRestore<T>(handler: PlanHandler<T>, work: ExtractWork): Promise<T> {
  const {
    kinds: [kind = ""],
    steps,
    isShort,
  } = handler;
  const { file, limits, concurrency, maxInlineMs, signal } = work;
  const needsThreads = isLong(file);
  if (maxInlineMs > 0 && (!needsThreads || !sharedPool.hasReady) && isShort(file)) {
    prepareForLong(file);
    return await inTurns(steps(file, limits), signal);
  }
  sharedPool.prepare(concurrency);
  const task: PlanTask = { kind, file, limits };
  return (await sharedPool.run({ task, control: makeControl(1), concurrency: 1, signal })) as T;
}

/** Starts the first thread for an archive that needs it whatever its entries are. */
export function prepareForLong(file: ArchiveFile): void {
  if (isLong(file)) sharedPool.prepare(1);
}

function isLong({ size }: ArchiveFile): boolean {
  return size > MAX_INLINE_ARCHIVE_BYTES;
}
