import { makeControl } from "../engine/control.ts";
import { sharedPool } from "../engine/pool.ts";
import type { ExtractWork } from "./extract-work.ts";
import { inTurns } from "../turn.ts";
import type { PlanHandler, PlanTask } from "./plan-runner.ts";

/** No thread is needed for a shorter archive, or it is not known yet. */
const MAX_INLINE_ARCHIVE_BYTES = 16 * 1024 * 1024;

/**
 * Plans the restore of an archive: on a thread that waits for work, else right here in turns, since the plan is made before a thread has
 * started. So both processors have something to do meanwhile.
 */
export async function planRestore<T>(handler: PlanHandler<T>, work: ExtractWork): Promise<T> {
  const {
    kinds: [kind = ""],
    steps,
    isShort,
  } = handler;
  const { file, limits, concurrency, maxInlineMs, signal } = work;
  const isShortArchive = file.size <= MAX_INLINE_ARCHIVE_BYTES;
  const isInline = maxInlineMs > 0 && (isShortArchive || !sharedPool.hasIdle) && isShort(file);
  if (!isInline || !isShortArchive) sharedPool.prepare(concurrency);
  if (isInline) return await inTurns(steps(file, limits), signal);
  const task: PlanTask = { kind, file, limits };
  return (await sharedPool.run({ task, control: makeControl(1), concurrency: 1, signal })) as T;
}
