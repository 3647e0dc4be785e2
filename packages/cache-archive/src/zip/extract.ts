import { DEFAULT_MAX_INLINE_MS, prepareThreadsFor, runTask } from "../engine/run-task.ts";
import type { Extraction, ExtractWork } from "../restore/extract-work.ts";
import { planRestore } from "../restore/plan.ts";
import { restoreStaged } from "../restore/restore-staged.ts";
import { MAX_INLINE_CALL_BYTES } from "./plan-restore.ts";
import { zipPlanHandler, zipUnpackHandler } from "./restore-tasks.ts";

/** Rough costs of one thread, to choose where to work. */
const MS_PER_ENTRY = 0.025;
const MS_PER_MEGABYTE = 4;

export async function extractZip(work: ExtractWork): Promise<Extraction> {
  const { file, concurrency, maxInlineMs, signal } = work;
  const { shared, control, entries, workBytes, longestCallBytes } = await planRestore(zipPlanHandler, work);
  const callMs = longestCallBytes > MAX_INLINE_CALL_BYTES ? DEFAULT_MAX_INLINE_MS : 0;
  const estimatedMs = entries * MS_PER_ENTRY + (workBytes / 1e6) * MS_PER_MEGABYTE + callMs;
  prepareThreadsFor(estimatedMs, concurrency, maxInlineMs);
  const stagingError = await restoreStaged(work, async (place) => {
    const task = { kind: "unpack-zip" as const, file, ...shared, ...place };
    await runTask({ task, handler: zipUnpackHandler, control, concurrency, estimatedMs, maxInlineMs, signal });
  });
  return { entries, stagingError };
}
