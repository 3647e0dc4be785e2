import { setTimeout as wait } from "node:timers/promises";
import { callsAtOnce } from "./file-calls.ts";
import type { FileCalls } from "./file-calls.ts";
import { findFile, refuseIfHeld } from "./holder.ts";
import type { FoundFile, HolderOptions } from "./holder.ts";
import { OwnFile, removeLeftovers } from "./own-file.ts";
import { hasCode } from "./system-error.ts";
import { take } from "./take.ts";

/** Ownership of a directory, or of anything else that only one process may use at a time. */
export interface DirectoryLock {
  /** Whether it still lies there: neither removed, for example with the directory, nor replaced by another process. */
  isHeld(): Promise<boolean>;
  /** Gives it back, once, however often it is called. */
  release(): Promise<void>;
}

export interface AcquireLockOptions {
  /**
   * How long the file may stay as it is before a holder of whom nothing else can be known is taken for dead, in milliseconds.
   *
   * @default 10000
   */
  readonly silentMs?: number;
  /** Waits: between own signs of life, and for those of a holder. @default timers of Node; the first kind keeps no process alive */
  readonly sleep?: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
  /** Makes every call of the file system, for those who limit theirs; what comes of one too late is undone. @default at once, however long it takes */
  readonly calls?: FileCalls;
  /** Ends the wait for a sign of life. @default never */
  readonly signal?: AbortSignal;
}

/**
 * Takes a lock that is a file, in a directory that exists. The file names the process that holds it, appears as a whole or not at all, and is
 * taken over from a process that is dead, by one process alone. What killed processes have left beside it goes. A link or a pipe in its place is
 * nobody's, and is neither followed nor waited for. Nothing is written before it is known that nobody has the lock.
 *
 * @param path - of the file, on a file system with hard links
 * @throws {LockHeldError} a living process has it, or is just taking it over
 * @throws {UnusableLockError} there is a folder in its place
 * @throws {NoHardLinksError} nothing is left of the attempt
 */
export async function acquireLock(path: string, options: AcquireLockOptions = {}): Promise<DirectoryLock> {
  // Whoever has begun nothing else lives by the wait for a holder.
  const { calls = callsAtOnce, signal, silentMs = 10_000, sleep = sleepReferenced } = options;
  const holderOptions = { lockPath: path, calls, signal, silentMs, sleep };
  for (;;) {
    const dead = await findDead(holderOptions);
    const own = await OwnFile.create(path, calls);
    try {
      await take(own, dead, holderOptions);
    } catch (error) {
      await own.close();
      // Somebody who has the lock now has tidied up around it. Without the directory there can be no own file either, which ends this.
      if (hasCode(error, "ENOENT")) continue;
      throw error;
    }
    // What cannot be removed now is by the next one.
    await own.removeFirstName().catch(() => {});
    await removeLeftovers(path, calls).catch(() => {});
    return hold(path, own, options.sleep ?? sleepUnreferenced);
  }
}

/** What a dead process has left in the place of the lock. @throws {LockHeldError | UnusableLockError} */
async function findDead(options: HolderOptions): Promise<FoundFile | undefined> {
  const found = await findFile(options.lockPath, options.calls);
  if (found !== undefined) await refuseIfHeld(options.lockPath, found, options);
  return found;
}

const beatMs = 2000;

/** Gives signs of life, for processes to which the number of this one means nothing. */
function hold(path: string, own: OwnFile, sleep: NonNullable<AcquireLockOptions["sleep"]>): DirectoryLock {
  const stop = new AbortController();
  let released: Promise<void> | undefined;
  const beat = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await sleep(beatMs, stop.signal);
      // What cannot be written now may be the next time.
      await own.touch().catch(() => {});
    }
  };
  // Rejects when it is stopped.
  beat().catch(() => {});
  return {
    isHeld: () => own.hasName(path),
    release() {
      stop.abort();
      released ??= own.close(path);
      return released;
    },
  };
}

function sleepUnreferenced(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return sleepFor(milliseconds, signal, false);
}

function sleepReferenced(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return sleepFor(milliseconds, signal, true);
}

/** @param ref - whether the wait keeps the process alive */
async function sleepFor(milliseconds: number, signal: AbortSignal | undefined, ref: boolean): Promise<void> {
  try {
    await wait(milliseconds, undefined, { ref, ...(signal === undefined ? {} : { signal }) });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
