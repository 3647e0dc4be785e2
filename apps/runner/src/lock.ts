import { link, mkdir, readFile, rename, rm, unlink, writeFile } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { dirname } from "node:path";

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
 * Takes a lock that is a file with the number of the process that holds it.
 *
 * The file appears as a whole or not at all, and one that a dead process left behind is taken over, so that neither two processes nor none
 * can end up with the lock.
 *
 * @throws {LockedError} a living process has it
 */
export async function acquireLock(
  path: string,
  isAlive: (processId: number) => boolean = processIsAlive,
): Promise<Lock> {
  await mkdir(dirname(path), { recursive: true });
  const own = `${path}.${randomUUID()}`;
  await writeFile(own, `${process.pid}\n`);
  const lock: Lock = { release: () => unlink(path) };
  try {
    for (;;) {
      if (await linked(own, path)) return lock;
      const holder = await readHolder(path);
      if (holder === undefined) continue;
      if (isAlive(holder)) throw new LockedError(path, holder);
      if (await takeOver({ own, path, holder, isAlive })) return lock;
    }
  } finally {
    await rm(own, { force: true });
  }
}

/**
 * Replaces the lock of a dead process. A second file makes sure that only one does so at a time: whoever looked earlier and acts later
 * would otherwise replace the lock of the one who was quicker.
 */
async function takeOver(attempt: {
  readonly own: string;
  readonly path: string;
  readonly holder: number;
  readonly isAlive: (processId: number) => boolean;
}): Promise<boolean> {
  const { own, path, holder, isAlive } = attempt;
  const permission = `${path}.takeover`;
  if (!(await linked(own, permission))) {
    const other = await readHolder(permission);
    if (other !== undefined && isAlive(other)) throw new LockedError(path, other);
    await rm(permission, { force: true });
    return false;
  }
  try {
    if ((await readHolder(path)) !== holder) return false;
    await rename(own, path);
    return true;
  } finally {
    await unlink(permission);
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

async function readHolder(path: string): Promise<number | undefined> {
  try {
    return Number.parseInt(await readFile(path, "utf8"), 10);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

function processIsAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    // Another user's process may not be signalled, but it is there.
    return hasCode(error, "EPERM");
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
