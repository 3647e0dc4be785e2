import { Turn } from "../turn.ts";
import { JobControl } from "./control.ts";
import type { SharedControl } from "./control.ts";
import { participate } from "./participate.ts";
import type { Task } from "./participate.ts";
import { sharedPool, WorkersUnavailable } from "./pool.ts";
import type { PoolJob } from "./pool.ts";

/** Work and what is known about its size. */
export interface TaskRun {
  readonly task: Task;
  readonly control: SharedControl;
  readonly concurrency: number;
  /** How long one thread would take, roughly. */
  readonly estimatedMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Up to this, one thread is done before others would have started. */
const MAX_INLINE_MS = 60;
/** Up to this, even a thread that waits for work is no gain. */
const MAX_TINY_MS = 3;

/** Of all jobs that are on the main thread now. */
let inlineMs = 0;

/**
 * Runs a task on the pool's threads, or right here when it is short: starting threads takes longer than restoring a
 * thousand files. Several short ones at the same time count together.
 */
export async function runTask({ task, control, concurrency, estimatedMs, signal }: TaskRun): Promise<void> {
  const isTiny = estimatedMs <= MAX_TINY_MS;
  if (!isTiny && (sharedPool.hasIdle || inlineMs + estimatedMs > MAX_INLINE_MS)) {
    if (await runOnPool({ task, control, concurrency, signal })) return;
  }
  inlineMs += estimatedMs;
  try {
    await runInline(task, control, signal);
  } finally {
    inlineMs -= estimatedMs;
  }
}

/** @returns false when this host has no threads, and nothing was done yet */
async function runOnPool(job: PoolJob): Promise<boolean> {
  try {
    await sharedPool.run(job);
    return true;
  } catch (error) {
    if (!(error instanceof WorkersUnavailable)) throw error;
    new JobControl(job.control).reopen();
    return false;
  }
}

async function runInline(task: Task, control: SharedControl, signal: AbortSignal | undefined): Promise<void> {
  const turn = new Turn();
  await participate(task, new JobControl(control), 0, () => {
    signal?.throwIfAborted();
    return turn.isOver ? turn.next() : undefined;
  });
  signal?.throwIfAborted();
}
