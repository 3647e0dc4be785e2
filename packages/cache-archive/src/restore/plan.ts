import { makeControl } from "../engine/control.ts";
import { sharedPool } from "../engine/pool.ts";
import type { ExtractWork } from "../extract-work.ts";
import { planTarRestore } from "../tar/plan-restore.ts";
import type { TarSchedule } from "../tar/plan-restore.ts";
import { inTurns } from "../turn.ts";
import { planZipRestore } from "../zip/plan-restore.ts";
import type { RestoreSchedule } from "../zip/plan-restore.ts";

/** The plan of a shorter archive is made before a thread has started. */
const MAX_INLINE_ARCHIVE_BYTES = 16 * 1024 * 1024;

export async function planZip({
  file,
  limits,
  concurrency,
  maxInlineMs,
  signal,
}: ExtractWork): Promise<RestoreSchedule> {
  if (staysHere(file.size, maxInlineMs)) return await inTurns(planZipRestore(file, limits), signal);
  sharedPool.prepare(concurrency);
  const task = { kind: "plan-zip" as const, file, limits };
  return (await sharedPool.run({ task, control: makeControl(1), concurrency: 1, signal })) as RestoreSchedule;
}

/** @returns undefined for an archive without index */
export async function planTar({
  file,
  limits,
  concurrency,
  maxInlineMs,
  signal,
}: ExtractWork): Promise<TarSchedule | undefined> {
  if (staysHere(file.size, maxInlineMs)) return await inTurns(planTarRestore(file, limits), signal);
  sharedPool.prepare(concurrency);
  const task = { kind: "plan-tar" as const, file, limits };
  return (await sharedPool.run({ task, control: makeControl(1), concurrency: 1, signal })) as TarSchedule | undefined;
}

function staysHere(bytes: number, maxInlineMs: number): boolean {
  return maxInlineMs > 0 && bytes <= MAX_INLINE_ARCHIVE_BYTES;
}
