import { constants } from "node:fs";
import { open } from "node:fs/promises";

import { acquireLock, DirectoryLockError } from "@fleetfoot/directory-lock";
import type { AcquireLockOptions } from "@fleetfoot/directory-lock";

import { errnoOf } from "../errors.ts";
import { toFileSystemPath } from "../path-bytes.ts";
import { LOCK } from "./staging-files.ts";

/*
 * Whoever works with a staging folder holds the lock in it: the restore that made it, and after its death the one process that completes it. Only
 * the lock tells whether that process lives: containers that share a folder give the same ids to different processes, and the same names to hosts.
 */

/** As of `acquireLock`. */
export interface LockOptions extends Pick<AcquireLockOptions, "calls" | "silentMs" | "sleep"> {
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
 * @throws what the system refuses; whatever writing the lock is refused with, nobody had it before
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

function definite({ signal, ...options }: LockOptions): AcquireLockOptions {
  return signal === undefined ? options : { ...options, signal };
}
