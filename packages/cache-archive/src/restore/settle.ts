import { errnoOf } from "../errors.ts";
import { readJournalHead } from "./journal.ts";
import { runOnThread } from "./run-staging-task.ts";
import { isGivenUp, lookAt } from "./staging-files.ts";
import { isFolderHeld, isOddLock, takeFolder } from "./staging-lock.ts";
import type { FolderLock, LockOptions } from "./staging-lock.ts";
import { stagingFolders } from "./staging-places.ts";

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
  const folders = await stagingFolders(root);
  // All at once: of those on other machines some may have to be watched for a while.
  const areHeld = await Promise.all(folders.map((folder) => isFolderHeld(folder, options)));
  const settled: Settled[] = [];
  for (const [index, folder] of folders.entries()) {
    options.signal?.throwIfAborted();
    if (areHeld[index] !== true) settled.push(await settleFolder(root, folder, options));
  }
  const failures = settled.flatMap(({ failures }) => failures);
  if (failures.length > 0) throw failures[0];
  return settled.filter(({ isCompleted }) => isCompleted).length;
}

interface Settled {
  readonly isCompleted: boolean;
  readonly failures: readonly unknown[];
}

async function settleFolder(root: string, folder: string, options: LockOptions): Promise<Settled> {
  const lock = await takePlanted(folder, options);
  if (lock === undefined) return { isCompleted: false, failures: [] };
  try {
    return await finishOrClear(root, folder, options);
  } finally {
    await lock.release();
  }
}

/** The lock of a folder; of what no process of ours has made there is none, and nothing to release. */
async function takePlanted(folder: string, options: LockOptions): Promise<FolderLock | undefined> {
  if (lookAt(folder)?.isDirectory() !== true) return noLock;
  try {
    return await takeFolder(folder, options);
  } catch (error) {
    if (isOddLock(error) || errnoOf(error) === "EACCES") return noLock;
    throw error;
  }
}

const noLock: FolderLock = { release: async (): Promise<void> => {} };

async function finishOrClear(root: string, folder: string, { signal }: LockOptions): Promise<Settled> {
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
