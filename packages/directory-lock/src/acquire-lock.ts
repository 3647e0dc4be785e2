import { randomUUID } from "node:crypto";
import { link, open, readFile, rename, rm, stat, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { setTimeout as wait } from "node:timers/promises";
import { LockHeldError, UnusableLockError } from "./errors.ts";
import { isLockedByKernel, lockByKernel } from "./kernel-lock.ts";
import { isOfSameNamespace, isRunning, ownMark, readMark, writeMark } from "./mark.ts";

/** Ownership of a directory, or of anything else that only one process may use at a time. */
export interface DirectoryLock {
  /** Whether it still lies there: neither removed, for example with the directory, nor replaced by another process. */
  isHeld(): Promise<boolean>;
  /** Gives it back. To be called once. */
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
  /** Makes the calls of the file system that a holder repeats, for those who limit theirs. @default at once */
  readonly limit?: <Result>(call: () => Promise<Result>) => Promise<Result>;
  /** Ends the wait for a sign of life. @default never */
  readonly signal?: AbortSignal;
}

/**
 * Takes a lock that is a file, in a directory that exists. The file names the process that holds it, appears as a whole or not at all, and is
 * taken over from a process that is dead.
 *
 * @param path - of the file, on a file system with hard links
 * @throws {LockHeldError} a living process has it
 * @throws {UnusableLockError} there is a folder in its place
 */
export async function acquireLock(path: string, options: AcquireLockOptions = {}): Promise<DirectoryLock> {
  const own = `${path}.${randomUUID()}`;
  const handle = await open(own, "wx+", 0o600);
  let isTaken = false;
  try {
    const isKernelLocked = await lockByKernel(handle.fd);
    await handle.writeFile(writeMark({ ...(await ownMark()), isKernelLocked }));
    await take(path, own, options);
    isTaken = true;
  } finally {
    await rm(own, { force: true });
    if (!isTaken) await handle.close();
  }
  return hold(path, handle, options);
}

const beatMs = 2000;
const lookMs = 250;

/** Gives signs of life, for processes to which the number of this one means nothing. */
function hold(path: string, handle: FileHandle, options: AcquireLockOptions): DirectoryLock {
  const { limit = (call) => call(), sleep = sleepUnreferenced } = options;
  const stop = new AbortController();
  const isHeld = async (): Promise<boolean> => {
    const [own, there] = await Promise.all([handle.stat({ bigint: true }), statIfThere(path)]);
    return there?.ino === own.ino && there.dev === own.dev;
  };
  const beat = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await sleep(beatMs, stop.signal);
      const now = new Date();
      // What cannot be written now may be the next time.
      await limit(() => handle.utimes(now, now)).catch(() => {});
    }
  };
  // Rejects when it is stopped.
  const beating = beat().catch(() => {});
  return {
    isHeld: () => limit(isHeld),
    async release() {
      stop.abort();
      await beating;
      try {
        if (await isHeld()) await rm(path, { force: true });
      } finally {
        await handle.close();
      }
    },
  };
}

async function take(path: string, own: string, options: AcquireLockOptions): Promise<void> {
  for (;;) {
    if (await linked(own, path)) return;
    const text = await readIfThere(path);
    if (text === undefined) continue;
    await refuseIfHeld(path, text, options);
    if (await takenOver(own, path, text, options)) return;
  }
}

/** Lets one process at a time replace the file: who looked earlier and acts later would replace that of the quicker one. */
async function takenOver(own: string, path: string, deadText: string, options: AcquireLockOptions): Promise<boolean> {
  const permission = `${path}.takeover`;
  if (!(await linked(own, permission))) {
    const other = await readIfThere(permission);
    if (other !== undefined) await refuseIfHeld(permission, other, options);
    await rm(permission, { force: true });
    return false;
  }
  try {
    if ((await readIfThere(path)) !== deadText) return false;
    await rename(own, path);
    return true;
  } finally {
    await unlink(permission);
  }
}

/** Anything but the mark of a living process, such as the empty file that a full disk leaves, is nobody's. */
async function refuseIfHeld(path: string, text: string, options: AcquireLockOptions): Promise<void> {
  const mark = readMark(text);
  if (mark === undefined) return;
  const own = await ownMark();
  if (isOfSameNamespace(mark, own)) {
    if (await isRunning(mark)) throw new LockHeldError(path, mark.processId, false);
    return;
  }
  const isLocked = mark.isKernelLocked ? await isLockedByKernel(path) : undefined;
  // The kernel of another machine may keep its locks to itself.
  if (isLocked === false && mark.bootId === own.bootId) return;
  if (isLocked === true || (await givesSignOfLife(path, options))) throw new LockHeldError(path, mark.processId, true);
}

/** Compares the file's time with itself only: clocks of machines differ. */
async function givesSignOfLife(path: string, options: AcquireLockOptions): Promise<boolean> {
  // Whoever has begun nothing else lives by this wait.
  const { signal, silentMs = 10_000, sleep = sleepReferenced } = options;
  const before = await statIfThere(path);
  for (let waitedMs = 0; waitedMs < silentMs; waitedMs += lookMs) {
    await sleep(lookMs, signal);
    const now = await statIfThere(path);
    // Given back, or taken over: whoever has it now is looked at anew.
    if (now === undefined || now.ino !== before?.ino) return false;
    if (now.mtimeNs !== before.mtimeNs) return true;
  }
  return false;
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw error;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    if (hasCode(error, "EISDIR")) throw new UnusableLockError(path, { cause: error });
    throw error;
  }
}

async function statIfThere(
  path: string,
): Promise<{ readonly ino: bigint; readonly dev: bigint; readonly mtimeNs: bigint } | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

function sleepUnreferenced(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return sleepFor(milliseconds, signal, false);
}

function sleepReferenced(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return sleepFor(milliseconds, signal, true);
}

async function sleepFor(milliseconds: number, signal: AbortSignal | undefined, ref: boolean): Promise<void> {
  try {
    await wait(milliseconds, undefined, { ref, ...(signal === undefined ? {} : { signal }) });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
