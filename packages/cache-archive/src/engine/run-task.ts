import { Turn } from "../turn.ts";
import { JobControl } from "./control.ts";
import type { SharedControl } from "./control.ts";
import { participate } from "./participate.ts";
import { sharedPool } from "./pool.ts";
import type { Task, TaskHandler } from "./task.ts";
import type { UnitRunner } from "./unit-runner.ts";

/** Work and what is known about its size. */
export interface TaskRun<T extends Task> {
  readonly task: T;
  /** Whoever does it when it stays on this thread. */
  readonly handler: TaskHandler<T>;
  readonly control: SharedControl;
  readonly concurrency: number;
  /** How long one thread would take, roughly. */
  readonly estimatedMs: number;
  /** What may stay on this thread. */
  readonly maxInlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Up to this, one thread is done before others would have started. */
export const DEFAULT_MAX_INLINE_MS: number = 60;
/** Up to this, even a thread that waits for work is no gain. */
const MAX_TINY_MS = 3;

/** What an entry costs beside its bytes, roughly. */
export const MS_PER_ENTRY: number = 0.03;

/** Starts threads while the work for them is still planned, when so many entries are certain to need them. */
export function prepareThreads(entries: number, concurrency: number, maxInlineMs: number): void {
  prepareThreadsFor(entries * MS_PER_ENTRY, concurrency, maxInlineMs);
}

/** The same for work that is planned, while something else is done before it can begin. */
export function prepareThreadsFor(estimatedMs: number, concurrency: number, maxInlineMs: number): void {
  if (estimatedMs > maxInlineMs) sharedPool.prepare(concurrency);
}

/** Of all jobs that are on the main thread now. */
let inlineMs = 0;

/**
 * Runs a task on the pool's threads, or right here when it is short: starting threads takes longer than restoring a
 * thousand files. Several short ones at the same time count together.
 *
 * @returns what the task computes; most tasks compute nothing
 * @throws WorkersUnavailable when it is not short and this host has no threads; nothing was done then
 */
export async function runTask<T extends Task>(run: TaskRun<T>): Promise<unknown> {
  const { task, control, concurrency, estimatedMs, maxInlineMs, signal } = run;
  const isTiny = estimatedMs <= Math.min(MAX_TINY_MS, maxInlineMs);
  if (!isTiny && (sharedPool.hasIdle || inlineMs + estimatedMs > maxInlineMs)) {
    return await sharedPool.run({ task, control, concurrency, signal });
  }
  inlineMs += estimatedMs;
  try {
    return await runInline(run);
  } finally {
    inlineMs -= estimatedMs;
  }
}

/** Runs a task on this thread, in turns. */
export async function runInline<T extends Task>({
  task,
  handler,
  control,
  signal,
}: Pick<TaskRun<T>, "task" | "handler" | "control" | "signal">): Promise<unknown> {
  signal?.throwIfAborted();
  const turn = new Turn();
  const own = new JobControl(control);
  // A unit may take more than one turn.
  const abort = (): void => own.abort();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    const open = (): UnitRunner => handler.open(task, own);
    const result = await participate(open, own, 0, () => (turn.isOver ? turn.next() : undefined));
    if (!own.isFinal) signal?.throwIfAborted();
    return result;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
