import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { open, stat } from "node:fs/promises";
import { setTimeout as wait } from "node:timers/promises";
import { LockHeldError, UnusableLockError } from "./errors.ts";
import type { FileCalls } from "./file-calls.ts";
import { isLockedByKernel } from "./kernel-lock.ts";
import { isOfSameNamespace, isRunning, ownMark, readMark } from "./mark.ts";
import { hasCode } from "./system-error.ts";

export interface HolderOptions {
  readonly lockPath: string;
  readonly calls: FileCalls;
  readonly silentMs: number;
  readonly sleep: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal | undefined;
}

/** A file that is, or was, somebody's. */
export interface FoundFile {
  readonly text: string;
  /** Tells it from every other one that ever had its name, as far as anybody can. */
  readonly identity: string;
}

/** @throws {UnusableLockError} it is a folder */
export async function findFile(path: string, calls: FileCalls): Promise<FoundFile | undefined> {
  try {
    return await calls.run(async () => {
      const handle = await open(path, "r");
      try {
        const { dev, ino } = await handle.stat({ bigint: true });
        const text = await handle.readFile("utf8");
        return { text, identity: createHash("sha256").update(`${dev} ${ino} ${text}`).digest("hex") };
      } finally {
        await handle.close();
      }
    });
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    if (hasCode(error, "EISDIR")) throw new UnusableLockError(path, { cause: error });
    throw error;
  }
}

/**
 * Anything but the mark of a living process, such as the empty file that a full disk leaves, is nobody's.
 *
 * @param path - of the file that was found: the lock's, or of a right to take that over
 * @throws {LockHeldError}
 */
export async function refuseIfHeld(path: string, { text }: FoundFile, options: HolderOptions): Promise<void> {
  const { calls, lockPath } = options;
  const mark = readMark(text);
  if (mark === undefined) return;
  const own = await ownMark();
  if (isOfSameNamespace(mark, own)) {
    if (await isRunning(mark)) throw new LockHeldError(lockPath, mark.processId, false);
    return;
  }
  const isLocked = mark.isKernelLocked ? await calls.run(() => isLockedByKernel(path)) : undefined;
  // The kernel of another machine may keep its locks to itself.
  if (isLocked === false && mark.bootId === own.bootId) return;
  if (isLocked === true || (await givesSignOfLife(path, options)))
    throw new LockHeldError(lockPath, mark.processId, true);
}

/** Compares the file's time with itself only: clocks of machines differ. */
async function givesSignOfLife(path: string, options: HolderOptions): Promise<boolean> {
  const { calls, signal, silentMs, sleep } = options;
  const look = (): Promise<BigIntStats | undefined> => calls.run(() => statIfThere(path));
  const before = await look();
  for (let waitedMs = 0; waitedMs < silentMs; waitedMs += lookMs) {
    await sleep(lookMs, signal);
    const now = await look();
    // Given back, or taken over: whoever has it now is looked at anew.
    if (now === undefined || now.ino !== before?.ino) return false;
    if (now.mtimeNs !== before.mtimeNs) return true;
  }
  return false;
}

async function statIfThere(path: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

const lookMs = 250;

/** @param ref - whether the wait keeps the process alive */
export async function sleepFor(milliseconds: number, signal: AbortSignal | undefined, ref: boolean): Promise<void> {
  try {
    await wait(milliseconds, undefined, { ref, ...(signal === undefined ? {} : { signal }) });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
