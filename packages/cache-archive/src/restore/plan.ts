import { makeControl } from "../engine/control.ts";
import { sharedPool } from "../engine/pool.ts";
import type { ExtractWork } from "./extract-work.ts";
import { inTurns } from "../turn.ts";
import type { PlanHandler, PlanTask } from "./plan-runner.ts";

/** The plan of a shorter archive is made before a thread has started. */
const MAX_INLINE_ARCHIVE_BYTES = 16 * 1024 * 1024;

/** Plans the restore of an archive, on a thread or right here. */
export async function planRestore<T>(handler: PlanHandler<T>, work: ExtractWork): Promise<T> {
  const {
    kinds: [kind = ""],
    steps,
    isShort,
  } = handler;
  const { file, limits, concurrency, maxInlineMs, signal } = work;
  const isInline = maxInlineMs > 0 && file.size <= MAX_INLINE_ARCHIVE_BYTES && isShort(file);
  if (isInline) return await inTurns(steps(file, limits), signal);
  sharedPool.prepare(concurrency);
  const task: PlanTask = { kind, file, limits };
  return (await sharedPool.run({ task, control: makeControl(1), concurrency: 1, signal })) as T;
}
