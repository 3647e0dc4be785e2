import type { FileCalls } from "@fleetfoot/directory-lock";

import { callsInTurns } from "./calls-in-turns.ts";
import { readJournalHead } from "./journal.ts";
import { runOnThread } from "./run-staging-task.ts";
import { isGivenUp } from "./staging-files.ts";
import type { LockOptions } from "./staging-lock.ts";
import { stagingFolders } from "./staging-places.ts";
import { takeDead } from "./take-dead.ts";

/**
 * Completes or clears away what restores into this root left behind when their process died. Each of them is settled by one process: the one that
 * takes its lock. What others settle at this moment is left to them, but within a process the next one waits.
 *
 * @param root - without links
 * @returns how many had begun to move their tree into the root, and are complete now
 * @throws what kept one of them from being completed, after all of them were cleared away: the root then holds a part of it. Only
 *   one whose moves could not be taken back is kept, and tried again, since nothing else has the files that it replaced
 * @throws the signal's reason when it aborts; the next one goes on then
 */
export async function settleStaging(root: string, options: LockOptions = {}): Promise<number> {
  for (let others = settling.get(root); others !== undefined; others = settling.get(root)) {
    await unlessAborted(others, options.signal);
  }
  const work = settleNow(root, options);
  const ended = work.then(nothing, nothing).then(() => void settling.delete(root));
  settling.set(root, ended);
  return await work;
}

/** By root, what is going on in this process. */
const settling = new Map<string, Promise<void>>();

async function settleNow(root: string, options: LockOptions): Promise<number> {
  const calls = callsInTurns(LOCK_CALLS_AT_ONCE);
  const turns = callsInTurns(1);
  const folders = await stagingFolders(root);
  // All at once: of those on other machines some may have to be watched for a while.
  const ends = await Promise.allSettled(
    folders.map((folder) => settleFolder(root, folder, { calls, ...options }, turns)),
  );
  const settled = ends.map(settledOf);
  const failures = settled.flatMap(({ failures }) => failures);
  if (failures.length > 0) {
    options.signal?.throwIfAborted();
    throw failures[0];
  }
  return settled.filter(({ isCompleted }) => isCompleted).length;
}

/** To ask the kernel for a lock takes a process, and to start one keeps the main thread for up to 25 ms. */
const LOCK_CALLS_AT_ONCE = 2;

interface Settled {
  readonly isCompleted: boolean;
  readonly failures: readonly unknown[];
}

function settledOf(end: PromiseSettledResult<Settled>): Settled {
  return end.status === "fulfilled" ? end.value : { isCompleted: false, failures: [end.reason] };
}

/** @param turns - the folders of a root are completed one after the other */
async function settleFolder(root: string, folder: string, options: LockOptions, turns: FileCalls): Promise<Settled> {
  const lock = await takeDead(root, folder, options);
  if (lock === undefined) return { isCompleted: false, failures: [] };
  try {
    return await turns.run(() => finishOrClear(root, folder, options));
  } finally {
    await lock.release();
  }
}

async function finishOrClear(root: string, folder: string, { signal }: LockOptions): Promise<Settled> {
  signal?.throwIfAborted();
  const failures: unknown[] = [];
  let isCompleted = false;
  try {
    isCompleted = (await runOnThread({ kind: "finish-placing", root, staging: folder }, signal)) === true;
  } catch (error) {
    signal?.throwIfAborted();
    failures.push(error);
    // It would fail again, and no restore into this root would ever come to its end.
    if (isGivenUp(folder)) return { isCompleted, failures };
  }
  try {
    await runOnThread({ kind: "clear-staging", root, staging: folder }, signal);
  } catch (error) {
    signal?.throwIfAborted();
    // What cannot be removed is in nobody's way: without its journal it is nothing.
    if (readJournalHead(root, folder) !== "nothing") failures.push(error);
  }
  return { isCompleted, failures };
}

function nothing(): void {
  // Whoever asked for the work tells what became of it.
}

function unlessAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const leave = (): void => reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}
