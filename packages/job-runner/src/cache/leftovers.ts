import type { Dirent } from "node:fs";
import { lstat, readdir, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";

import { isIncomplete } from "./archive-files.ts";
import { isAbsent } from "../system-errors.ts";
import type { CacheStageOptions } from "./types.ts";

/**
 * Removes what processes that were killed left beside an archive: half-made archives and half-done downloads that nobody has
 * touched for a day. That one cannot be removed is told to the log and stops nothing.
 */
export async function removeLeftovers({ log }: Pick<CacheStageOptions, "log">, archivePath: string): Promise<void> {
  const directory = dirname(archivePath);
  const untouchedSinceMs = Date.now() - LONGEST_PAUSE_MS;
  try {
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      if (!isIncomplete(name) || (await untouchedBytes(path, untouchedSinceMs)) === undefined) continue;
      await rm(path, { force: true });
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.warning(`What an earlier job left in ${directory} could not be removed: ${reason}`);
  }
}

/** What processes that were killed left below a cache directory. */
export interface HostLeftovers {
  readonly files: number;
  readonly bytes: number;
}

/**
 * Removes half-made archives and half-done downloads anywhere below a cache directory that nobody has touched for a day, also those of keys that no job
 * uses any more, and the folders that are empty then. A directory that does not exist has none.
 *
 * @param cacheDirectory - absolute; `cache_dir` of a runner
 * @param isDryRun - counts only. @default false
 */
export async function removeHostLeftovers(cacheDirectory: string, isDryRun = false): Promise<HostLeftovers> {
  const untouchedSinceMs = Date.now() - LONGEST_PAUSE_MS;
  let files = 0;
  let bytes = 0;
  const visit = async (folder: string): Promise<void> => {
    const before = files;
    for (const entry of await entriesOf(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) await visit(path);
      if (!entry.isFile() || !isIncomplete(entry.name)) continue;
      const found = await untouchedBytes(path, untouchedSinceMs);
      if (found === undefined) continue;
      if (!isDryRun) await rm(path, { force: true });
      files += 1;
      bytes += found;
    }
    // What is in the way belongs there.
    if (files > before && !isDryRun && folder !== cacheDirectory) await rmdir(folder).catch(() => undefined);
  };
  await visit(cacheDirectory);
  return { files, bytes };
}

async function entriesOf(folder: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

/** Longer than any living writer rests. Its process would tell more, but may be one of another host or container. */
const LONGEST_PAUSE_MS = 24 * 60 * 60 * 1000;

/** Length of a file that nobody has touched since then; `undefined` when somebody has, or it is none. */
async function untouchedBytes(path: string, sinceMs: number): Promise<number | undefined> {
  try {
    const facts = await lstat(path);
    // Not the time of its content: a download gets that of the object before it is complete.
    return facts.isFile() && facts.ctimeMs < sinceMs ? facts.size : undefined;
  } catch (error) {
    // Just completed or removed by its owner.
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
