import { lstat, mkdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";

import { FOLLOWING_NAMES, forgetArchive } from "./archive-files.ts";
import type { CacheLocation } from "./location.ts";
import { isAbsent } from "../system-errors.ts";

/** The archive on this host, as far as decisions need it. */
export interface LocalArchive {
  readonly size: number;
  readonly mtimeMs: number;
}

/**
 * Looks for the archive on this host. One that was saved while the flag for hashed names stood the other way is moved to
 * where it belongs now.
 *
 * @returns `undefined` when there is none
 */
export async function findLocalArchive({
  localPath,
  alternateLocalPath,
}: CacheLocation): Promise<LocalArchive | undefined> {
  const found = await archiveAt(localPath);
  if (found !== undefined || alternateLocalPath === undefined) return found;
  if ((await archiveAt(alternateLocalPath)) === undefined) return undefined;
  await makeArchiveDirectory(localPath);
  for (const name of FOLLOWING_NAMES) {
    await moveFile(join(dirname(alternateLocalPath), name), join(dirname(localPath), name));
  }
  await forgetArchive(alternateLocalPath);
  return archiveAt(localPath);
}

/** Makes the directory in which an archive is to lie, for the runner's user alone. */
export async function makeArchiveDirectory(archivePath: string): Promise<void> {
  await mkdir(dirname(archivePath), { recursive: true, mode: 0o700 });
}

async function moveFile(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    // It never was there, or another job of this project moved it first.
    if (!isAbsent(error)) throw error;
  }
}

async function archiveAt(path: string): Promise<LocalArchive | undefined> {
  try {
    // A job may have put a link there, or a pipe.
    const facts = await lstat(path);
    return facts.isFile() ? facts : undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
