import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { lstat, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { LockHeldError, UnusableLockError } from "./errors.ts";
import type { FileCalls } from "./file-calls.ts";
import { isLockedByKernel } from "./kernel-lock.ts";
import { isOfSameNamespace, isRunning, ownMark, readMark } from "./mark.ts";
import { openPlainly } from "./open-plainly.ts";
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

/**
 * A link, a pipe or a device says nothing: none of us has made it.
 *
 * @throws {UnusableLockError} it is a folder
 */
export async function findFile(path: string, calls: FileCalls): Promise<FoundFile | undefined> {
  try {
    return await calls.run(async () => {
      const handle = await openPlainly(path);
      if (handle === undefined) return describe(await lstat(path, { bigint: true }), "");
      try {
        const facts = await handle.stat({ bigint: true });
        if (facts.isDirectory()) throw new UnusableLockError(path);
        return describe(facts, facts.isFile() ? await readText(handle) : "");
      } finally {
        await handle.close();
      }
    });
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

function describe({ dev, ino }: BigIntStats, text: string): FoundFile {
  return { text, identity: createHash("sha256").update(`${dev} ${ino} ${text}`).digest("hex") };
}

async function readText(handle: FileHandle): Promise<string> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(maxMarkBytes), 0, maxMarkBytes, 0);
  return buffer.toString("utf8", 0, bytesRead);
}

/** More than any mark has. */
const maxMarkBytes = 1024;

/** Who has a lock. */
interface Holder {
  readonly processId: number;
  readonly isElsewhere: boolean;
}

/** @throws {LockHeldError} */
export async function refuseIfHeld(path: string, found: FoundFile, options: HolderOptions): Promise<void> {
  const holder = await holderOf(path, found, options);
  if (holder !== undefined) throw new LockHeldError(options.lockPath, holder.processId, holder.isElsewhere);
}

/**
 * Anything but the mark of a living process, such as the empty file that a full disk leaves, is nobody's.
 *
 * @param path - of the file that was found: the lock's, or of a right to take that over
 */
async function holderOf(path: string, { text }: FoundFile, options: HolderOptions): Promise<Holder | undefined> {
  const { calls } = options;
  const mark = readMark(text);
  if (mark === undefined) return undefined;
  const { processId } = mark;
  const own = await ownMark();
  if (isOfSameNamespace(mark, own)) return (await isRunning(mark)) ? { processId, isElsewhere: false } : undefined;
  const isLocked = mark.isKernelLocked ? await calls.run(() => isLockedByKernel(path)) : undefined;
  // The kernel of another machine may keep its locks to itself.
  if (isLocked === false && mark.bootId === own.bootId) return undefined;
  const isAlive = isLocked === true || (await givesSignOfLife(path, options));
  return isAlive ? { processId, isElsewhere: true } : undefined;
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
