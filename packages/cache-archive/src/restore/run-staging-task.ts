import { makeControl } from "../engine/control.ts";
import { sharedPool, WorkersUnavailable } from "../engine/pool.ts";
import { inTurns } from "../turn.ts";
import { KEPT, lookAt, TREE } from "./staging-files.ts";
import { stepsOf } from "./staging-task.ts";
import type { StagingTask } from "./staging-task.ts";

/**
 * Completes or removes what a dead process has left: on a thread, since it may be tens of thousands of files, and a single one of the system's
 * calls takes long in a folder of so many. Without threads, or for next to nothing, here in turns. After an abort the next one goes on with it.
 */
export async function runOnThread(task: StagingTask, signal: AbortSignal | undefined): Promise<boolean | void> {
  const isLittle = [TREE, KEPT].every((name) => lookAt(`${task.staging}/${name}`) === undefined);
  return isLittle ? await inTurns(stepsOf(task), signal) : await askThread(task, signal);
}

/** The same where a thread waits for work; none is started. */
export async function runOnIdleThread(task: StagingTask): Promise<boolean | void> {
  return sharedPool.hasIdle ? await askThread(task, undefined) : await inTurns(stepsOf(task), undefined);
}

async function askThread(task: StagingTask, signal: AbortSignal | undefined): Promise<boolean | void> {
  try {
    return (await sharedPool.run({ task, control: makeControl(1), concurrency: 1, signal })) as boolean;
  } catch (error) {
    if (!(error instanceof WorkersUnavailable)) throw error;
    return await inTurns(stepsOf(task), signal);
  }
}
