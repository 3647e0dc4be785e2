import { readdir, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";

import { ARCHIVE_NAME, removeCompanions } from "./archive-files.ts";
import { readMetadata } from "./metadata.ts";
import { isAbsent } from "../system-errors.ts";

/** An archive that a runner keeps on its host. */
export interface HostArchive {
  /** Project and key, for example `group/project/gems-main`. */
  readonly name: string;
  /** Absolute path of the archive. */
  readonly path: string;
  readonly bytes: number;
  /** When it was saved, here or where it was downloaded from. */
  readonly modifiedAtMs: number;
  /** When it was last saved, downloaded or restored, as well as the file system remembers. */
  readonly usedAtMs: number;
  /** What was stored with it: key, platform, paths. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Finds the archives below a cache directory, in byte order of their names. A directory that does not exist has none.
 *
 * @param cacheDirectory - absolute; `cache_dir` of a runner
 */
export async function* listHostArchives(cacheDirectory: string): AsyncGenerator<HostArchive, void, void> {
  yield* archivesBelow(cacheDirectory, cacheDirectory);
}

/** Removes an archive, what is kept beside it, and the folders that are empty then. */
export async function removeHostArchive(cacheDirectory: string, { path }: HostArchive): Promise<void> {
  await rm(path, { force: true });
  await removeCompanions(path);
  for (let folder = dirname(path); folder.startsWith(cacheDirectory + sep); folder = dirname(folder)) {
    // A job may save there at this moment, or another key lie below.
    if (!(await removeEmpty(folder))) return;
  }
}

async function* archivesBelow(top: string, folder: string): AsyncGenerator<HostArchive, void, void> {
  for (const entry of await entriesOf(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* archivesBelow(top, path);
    else if (entry.isFile() && entry.name === ARCHIVE_NAME) {
      const archive = await describe(top, path);
      if (archive !== undefined) yield archive;
    }
  }
}

async function describe(top: string, path: string): Promise<HostArchive | undefined> {
  try {
    const { size, mtimeMs, atimeMs, ctimeMs } = await stat(path);
    return {
      name: relative(top, dirname(path)).split(sep).join("/"),
      path,
      bytes: size,
      modifiedAtMs: mtimeMs,
      usedAtMs: Math.max(atimeMs, ctimeMs),
      metadata: await readMetadata(path),
    };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

async function entriesOf(
  folder: string,
): Promise<readonly { name: string; isDirectory(): boolean; isFile(): boolean }[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.toSorted((left, right) => Buffer.compare(Buffer.from(left.name), Buffer.from(right.name)));
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

async function removeEmpty(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    return true;
  } catch {
    return false;
  }
}
