import type { ArchiveEntry } from "../types.ts";
import { JobControl } from "./control.ts";
import type { PackPlan } from "./pack-plan.ts";
import { WorkersUnavailable } from "./pool.ts";
import { runTask } from "./run-task.ts";
import type { TaskRun } from "./run-task.ts";
import type { Task } from "./task.ts";

/** Packing, and what is packed. */
export interface PackRun<T extends Task> extends Omit<TaskRun<T>, "control" | "estimatedMs"> {
  /** Still empty. */
  readonly plan: PackPlan;
  /** In the order of the archive. */
  readonly entries: AsyncIterable<readonly ArchiveEntry[]>;
  /** How long one thread would take for what is in the plan, roughly. */
  readonly estimateMs: (plan: PackPlan) => number;
}

/**
 * Packs entries while they are still being found, as soon as there are so many that threads are worth it. When this settles, all entries were taken
 * or whoever finds them was told to stop.
 *
 * @throws what finding them threw; else as {@link runTask}, and the plan is whole when there are no threads
 */
export async function runPackTask<T extends Task>(run: PackRun<T>): Promise<void> {
  const { plan, maxInlineMs, estimateMs, signal } = run;
  const batches = run.entries[Symbol.asyncIterator]();
  try {
    do {
      await takeBatch(plan, batches);
      signal?.throwIfAborted();
    } while (!plan.isWhole && estimateMs(plan) <= maxInlineMs);
    await packWhileFinding(run, batches);
  } catch (error) {
    if (error instanceof WorkersUnavailable) while (!plan.isWhole) await takeBatch(plan, batches);
    throw error;
  } finally {
    await batches.return?.();
  }
}

async function packWhileFinding<T extends Task>(run: PackRun<T>, batches: Batches): Promise<void> {
  const { plan, estimateMs, signal } = run;
  const pack = async (until: AbortSignal | undefined): Promise<void> => {
    await runTask({ ...run, control: plan.control, estimatedMs: estimateMs(plan), signal: until });
  };
  if (plan.isWhole) return await pack(signal);
  const control = new JobControl(plan.control);
  const stop = new AbortController();
  const abort = (): void => stop.abort(signal?.reason);
  const find = async (): Promise<void> => {
    try {
      while (!plan.isWhole && !control.isAborted) await takeBatch(plan, batches);
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  };
  signal?.addEventListener("abort", abort, { once: true });
  try {
    const [packed, found] = await Promise.allSettled([pack(stop.signal), find()]);
    if (found.status === "rejected") throw found.reason;
    if (packed.status === "rejected") throw packed.reason;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

type Batches = AsyncIterator<readonly ArchiveEntry[]>;

async function takeBatch(plan: PackPlan, batches: Batches): Promise<void> {
  const { done, value } = await batches.next();
  if (done === true) plan.end();
  else plan.take(value);
}
