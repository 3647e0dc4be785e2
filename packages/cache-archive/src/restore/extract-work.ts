import type { ArchivedEntry } from "../archived-entry.ts";
import { toArchiveError } from "../errors.ts";
import type { CacheArchiveError } from "../errors.ts";
import type { ArchiveFile } from "../archive-file.ts";
import { printablePath } from "../path-bytes.ts";
import type { RestoreLimits } from "./restore-plan.ts";

/** One extraction, as the readers of the formats get it. */
export interface ExtractWork {
  readonly file: ArchiveFile;
  readonly root: string;
  readonly concurrency: number;
  readonly maxInlineMs: number;
  readonly limits: RestoreLimits;
  readonly restoreSpecialBits: boolean;
  readonly signal: AbortSignal | undefined;
}

/** What came of it. */
export interface Extraction {
  /** How many entries the archive has. */
  readonly entries: number;
  /** Why the staging folder is not gone although everything was restored. */
  readonly stagingError: CacheArchiveError | undefined;
}

/** Does one entry's part; an error gets the entry's name. */
export async function named<T>(
  entry: ArchivedEntry,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  try {
    return await work();
  } catch (error) {
    const name = printablePath(entry.name);
    throw toArchiveError(error, `restore "${name}"`, name);
  }
}
