import { constants } from "node:fs";
import { open } from "node:fs/promises";

import { acquireLock, DirectoryLockError, isLockHeld } from "@fleetfoot/directory-lock";

import { errnoOf } from "../errors.ts";
import { toFileSystemPath } from "../path-bytes.ts";
import { LOCK, lookAt } from "./staging-files.ts";

/*
 * Whoever works with a staging folder holds the lock in it: the restore that made it, and after its death the one process that completes it. Only
 * the lock tells whether that process lives: containers that share a folder give the same ids to different processes, and the same names to hosts.
 */

export interface LockOptions {
  /** As of `acquireLock`. */
  readonly silentMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** The right to complete, or to remove, a staging folder. */
export interface FolderLock {
  /** Gives it back. */
  release(): Promise<void>;
}

/**
 * Takes a staging folder.
 *
 * @returns `undefined` when a living process has it, or when it is gone
 */
export async function takeFolder(folder: string, options: LockOptions): Promise<FolderLock | undefined> {
  try {
    const place = await openPlace(folder);
    try {
      const lock = await acquireLock(place.lockPath, definite(options));
      return {
        async release() {
          try {
            await lock.release();
          } finally {
            await place.close();
          }
        },
      };
    } catch (error) {
      await place.close();
      throw error;
    }
  } catch (error) {
    if (isHeldByOther(error) || errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Whether a living process works with a folder. */
export async function isFolderHeld(folder: string, options: LockOptions): Promise<boolean> {
  // A link leads somewhere else, and nobody works with what is no folder.
  if (lookAt(folder)?.isDirectory() !== true) return false;
  try {
    const place = await openPlace(folder);
    try {
      return await isLockHeld(place.lockPath, definite(options));
    } finally {
      await place.close();
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    // Whoever may not look at it may not touch it either.
    return !isOddLock(error);
  }
}

/** Whether there is a folder in the place of the lock, where none of us would make one. */
export function isOddLock(error: unknown): boolean {
  return DirectoryLockError.isInstance(error) && error.code === "lock-unusable";
}

function isHeldByOther(error: unknown): boolean {
  return DirectoryLockError.isInstance(error) && error.code === "lock-held";
}

interface LockPlace {
  readonly lockPath: string;
  readonly close: () => Promise<void>;
}

/** Paths of locks are text. Those of folders need not be, but where they are not, the system has another one for what is open. */
async function openPlace(folder: string): Promise<LockPlace> {
  if (folder.isWellFormed()) return { lockPath: `${folder}/${LOCK}`, close: async () => {} };
  const handle = await open(toFileSystemPath(folder), constants.O_RDONLY | constants.O_DIRECTORY);
  return { lockPath: `/proc/self/fd/${handle.fd}/${LOCK}`, close: () => handle.close() };
}

function definite({ silentMs, signal }: LockOptions): { silentMs?: number; signal?: AbortSignal } {
  return { ...(silentMs === undefined ? {} : { silentMs }), ...(signal === undefined ? {} : { signal }) };
}
