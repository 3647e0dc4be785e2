import { lstat, readdir, rm } from "node:fs/promises";
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
      if (isIncomplete(name) && (await isUntouched(path, untouchedSinceMs))) await rm(path, { force: true });
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.warning(`What an earlier job left in ${directory} could not be removed: ${reason}`);
  }
}

/** Longer than any living writer rests. Its process would tell more, but may be one of another host or container. */
const LONGEST_PAUSE_MS = 24 * 60 * 60 * 1000;

async function isUntouched(path: string, sinceMs: number): Promise<boolean> {
  try {
    const facts = await lstat(path);
    // Not the time of its content: a download gets that of the object before it is complete.
    return facts.isFile() && facts.ctimeMs < sinceMs;
  } catch (error) {
    // Just completed or removed by its owner.
    if (isAbsent(error)) return false;
    throw error;
  }
}
