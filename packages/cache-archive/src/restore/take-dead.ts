import { errnoOf } from "../errors.ts";
import { readJournalHead } from "./journal.ts";
import { allowOurselves, isOurs, KEPT, LOCK, lookAt, removeIfEmpty, TREE } from "./staging-files.ts";
import { isOddLock, takeFolder } from "./staging-lock.ts";
import type { FolderLock, LockOptions } from "./staging-lock.ts";

/**
 * Takes the lock of a staging folder whose process is dead, to complete it or to clear it away. There is none, and nothing to release, of what no process
 * of ours has made, and where no lock can be written although only clearing away is left to do: the folder may be what fills the disk.
 *
 * @returns `undefined` for what is nobody's to touch: a living process has it, it is gone, or it is another user's
 * @throws what keeps the lock from being taken of a folder that may hold a part of the root
 */
export async function takeDead(root: string, folder: string, options: LockOptions): Promise<FolderLock | undefined> {
  if (lookAt(folder)?.isDirectory() !== true) return NO_LOCK;
  let wasHeld = false;
  try {
    allowOurselves(folder);
    // Before the lock is looked at: these are made under the lock, so who has not got it afterwards does not get it any more.
    wasHeld = [TREE, KEPT].some((name) => lookAt(`${folder}/${name}`) !== undefined);
    return await takeFolder(folder, options);
  } catch (error) {
    const errno = errnoOf(error) ?? "";
    if (isOddLock(error)) return NO_LOCK;
    if (errno === "EACCES") {
      // Whoever may not look at another's folder may not touch it either.
      if (!isOurs(folder)) return undefined;
      // Ours can be read by whom they belong to.
      if (lookAt(`${folder}/${LOCK}`)?.uid === process.geteuid?.()) return NO_LOCK;
    }
    if (!UNWRITABLE.has(errno) || readJournalHead(root, folder) !== "nothing") throw error;
    if (wasHeld) return NO_LOCK;
    removeIfEmpty(folder);
    return undefined;
  }
}

const NO_LOCK: FolderLock = { release: async (): Promise<void> => {} };

/** A full disk, one to read only, and one without hard links. */
const UNWRITABLE: ReadonlySet<string> = new Set([
  "EDQUOT",
  "ENOSPC",
  "ENOSYS",
  "ENOTSUP",
  "EPERM",
  "EROFS",
  "no-hard-links",
]);
