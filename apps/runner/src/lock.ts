import { link, readFile, rename, rm, unlink, writeFile } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { dirname } from "node:path";
import { UsageError } from "./errors.ts";
import { processStatus } from "./process-table.ts";
import { makeFolder } from "./make-folder.ts";

/** Ownership of something that only one process may use at a time. */
export interface Lock {
  /** Gives it back. */
  release(): Promise<void>;
}

/** Another process has the lock. */
export class LockedError extends Error {
  override readonly name = "LockedError";
  /** Process that has it. */
  readonly processId: number;

  constructor(path: string, processId: number) {
    super(`${path} is held by process ${processId}`);
    this.processId = processId;
  }
}

/**
 * Takes a lock that is a file with the number of the process that holds it and the time when that process started.
 *
 * The file appears as a whole or not at all, and one that a dead process left behind is taken over, so that neither two processes nor none
 * can end up with the lock. The time tells the holder from a later process that was given the same number, as happens in every container.
 *
 * @throws {LockedError} a living process has it
 * @throws {UsageError} there is a folder in its place
 */
export async function acquireLock(path: string): Promise<Lock> {
  await makeFolder(dirname(path));
  const own = `${path}.${randomUUID()}`;
  await writeFile(own, `${process.pid} ${(await processStatus(process.pid))?.startTime ?? UNKNOWN_TIME}\n`);
  const lock: Lock = { release: () => unlink(path) };
  try {
    for (;;) {
      if (await linked(own, path)) return lock;
      const text = await readIfThere(path);
      if (text === undefined) continue;
      await refuseIfHeld(path, text);
      if (await takeOver(own, path, text)) return lock;
    }
  } finally {
    await rm(own, { force: true });
  }
}

const UNKNOWN_TIME = "-";

/**
 * Replaces the lock of a dead process. A second file makes sure that only one does so at a time: whoever looked earlier and acts later
 * would otherwise replace the lock of the one who was quicker.
 */
async function takeOver(own: string, path: string, deadText: string): Promise<boolean> {
  const permission = `${path}.takeover`;
  if (!(await linked(own, permission))) {
    const other = await readIfThere(permission);
    if (other !== undefined) await refuseIfHeld(path, other);
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
async function refuseIfHeld(path: string, text: string): Promise<void> {
  const match = /^([1-9]\d*) (\S+)\n$/.exec(text);
  if (match === null) return;
  const processId = Number(match[1]);
  if (!isRunning(processId)) return;
  const startTime = (await processStatus(processId))?.startTime;
  if (startTime === undefined || match[2] === UNKNOWN_TIME || startTime === match[2])
    throw new LockedError(path, processId);
}

function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    // Another user's process may not be signalled, but it is there.
    return hasCode(error, "EPERM");
  }
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
    if (!hasCode(error, "EISDIR")) throw error;
    throw new UsageError(`${path} is a folder, where the file of a lock belongs.`, {
      cure: "Remove the folder, or use another place.",
      cause: error,
    });
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
