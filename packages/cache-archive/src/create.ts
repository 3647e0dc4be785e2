import { setImmediate as nextTurn } from "node:timers/promises";

import { CacheArchiveError, toArchiveError } from "./errors.ts";
import { openOutputFile } from "./output-file.ts";
import { printablePath, sortByPathBytes } from "./path-bytes.ts";
import { checkedConcurrency } from "./settings.ts";
import { writeTarZstd } from "./tar/write.ts";
import type { ArchiveEntry, ArchiveSummary, CreateArchiveOptions } from "./types.ts";
import { packMethodFor } from "./zip/codec.ts";
import { packZip } from "./zip/pack.ts";

/**
 * Writes an archive. It is made beside `archivePath` and takes that place when it is complete; after any failure, also a
 * killed process or a full disk, an older archive is still there, whole.
 *
 * @throws {CacheArchiveError} `outside-root`, `duplicate-name`: entries that cannot be archived; `entry-changed`: a file
 *   vanished since it was listed; `no-space`, `io`: reading or writing failed; `invalid-option`
 * @throws the signal's reason when it aborts
 */
export async function createArchive(options: CreateArchiveOptions): Promise<ArchiveSummary> {
  const { root, archivePath, format = "zip", level = "default", signal } = options;
  const concurrency = checkedConcurrency(options.concurrency);
  signal?.throwIfAborted();
  const entries = await planEntries(options.entries);
  const attempt = `write archive ${archivePath}`;
  try {
    const output = await openOutputFile(archivePath);
    try {
      if (format === "tarzstd") await writeTarZstd({ root, entries, output, level, signal });
      else
        await packZip({
          root,
          entries,
          descriptor: output.descriptor,
          method: packMethodFor(format, level),
          concurrency,
          signal,
        });
      signal?.throwIfAborted();
      const bytes = await output.commit();
      return { entries: entries.length, bytes };
    } finally {
      await output.discard();
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw toArchiveError(error, attempt);
  }
}

/** After so many entries other work gets its turn. */
const ENTRIES_PER_TURN = 2000;

/** Sorts, and refuses what would not come back to the same place. */
async function planEntries(entries: readonly ArchiveEntry[]): Promise<ArchiveEntry[]> {
  const sorted = sortByPathBytes(entries, (entry) => entry.path);
  let before: string | undefined;
  for (const [index, entry] of sorted.entries()) {
    if (index % ENTRIES_PER_TURN === ENTRIES_PER_TURN - 1) await nextTurn();
    if (!isInside(entry)) throw refusal("outside-root", entry, "it is not inside the root");
    if (entry.path === before) throw refusal("duplicate-name", entry, "it is listed twice");
    before = entry.path;
  }
  return sorted;
}

function isInside({ path, kind }: ArchiveEntry): boolean {
  if (path === ".") return kind === "directory";
  // No segment is empty, `.` or `..`.
  return !path.includes("\0") && !/(?:^|\/)\.{0,2}(?:\/|$)/.test(path);
}

function refusal(code: "duplicate-name" | "outside-root", entry: ArchiveEntry, what: string): CacheArchiveError {
  const entryName = printablePath(entry.path);
  return new CacheArchiveError({ code, message: `archive "${entryName}": ${what}`, entryName });
}
