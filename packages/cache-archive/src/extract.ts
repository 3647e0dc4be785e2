import { open } from "node:fs/promises";

import { CacheArchiveError, toArchiveError } from "./errors.ts";
import { checkedConcurrency } from "./settings.ts";
import { sniffFormat } from "./sniff.ts";
import { extractTarZstd } from "./tar/extract.ts";
import type { ArchiveSummary, ExtractArchiveOptions } from "./types.ts";
import { extractZip } from "./zip/extract.ts";

const DEFAULT_MAX_BYTES = 1024 ** 4;
const DEFAULT_MAX_RATIO = 40_000;

/**
 * Restores an archive below the root, whatever its name says about its format.
 *
 * Files replace what is in their place; folders are added to. Nothing is written outside the root, whatever the archive
 * holds and whatever links lie in the root. All or nothing: the first error stops everything, and the root is as it was.
 *
 * @throws {CacheArchiveError} `unsupported-format` for gzip; every other code for archives that are damaged, forged or
 *   too large, with the entry's name where there is one; `io` and `no-space` when writing failed
 * @throws the signal's reason when it aborts
 * @see cache document 3.5, 3.6
 */
export async function extractArchive(options: ExtractArchiveOptions): Promise<ArchiveSummary> {
  const { archivePath, root, signal, maxBytes = DEFAULT_MAX_BYTES, maxRatio = DEFAULT_MAX_RATIO } = options;
  const { restoreSpecialBits = false } = options;
  const concurrency = checkedConcurrency(options.concurrency);
  signal?.throwIfAborted();
  try {
    const format = await sniffFormat(archivePath);
    if (format === "gzip") {
      const message = `${archivePath} is compressed with gzip, which is not an archive format for caches`;
      throw new CacheArchiveError({ code: "unsupported-format", message });
    }
    const handle = await open(archivePath, "r");
    try {
      const file = { path: archivePath, descriptor: handle.fd, size: (await handle.stat()).size };
      const work = { file, root, concurrency, limits: { maxBytes, maxRatio }, restoreSpecialBits, signal };
      const entries = format === "tarzstd" ? await extractTarZstd(work) : await extractZip(work);
      return { entries, bytes: file.size };
    } finally {
      await handle.close();
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw toArchiveError(error, `extract ${archivePath}`);
  }
}
