import { createWriteStream } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

import { CacheArchiveError, toArchiveError } from "./errors.ts";
import { checkedConcurrency } from "./settings.ts";
import { sniffFormat } from "./sniff.ts";
import { WorkersUnavailable } from "./engine/pool.ts";
import { DEFAULT_MAX_INLINE_MS } from "./engine/run-task.ts";
import { warnOfStreaming } from "./warn-of-streaming.ts";
import type { Extraction, ExtractWork } from "./restore/extract-work.ts";
import { finishRestores } from "./restore/finish-restores.ts";
import { entriesInPlace, recordTree } from "./manifest/tree-manifest.ts";
import { extractTarSequentially, extractTarZstd } from "./tar/extract.ts";
import type { ArchiveEngine, ExtractArchiveOptions, ReadArchiveOptions, RestoreSummary } from "./types.ts";
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
export async function extractArchive(options: ExtractArchiveOptions): Promise<RestoreSummary> {
  const { archivePath, root, signal, maxBytes = DEFAULT_MAX_BYTES, maxRatio = DEFAULT_MAX_RATIO } = options;
  const {
    manifestPath,
    restoreSpecialBits = false,
    engine = "parallel",
    maxInlineMs = DEFAULT_MAX_INLINE_MS,
  } = options;
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
      const work = { file, root, concurrency, maxInlineMs, limits: { maxBytes, maxRatio }, restoreSpecialBits, signal };
      const tree = manifestPath === undefined ? undefined : { file, root, manifestPath, maxInlineMs, signal };
      // What was begun would take the place of what is found now, later.
      if (tree !== undefined) await finishRestores(root, signal === undefined ? {} : { signal });
      const inPlace = tree === undefined ? undefined : await entriesInPlace(tree);
      if (inPlace !== undefined) return { entries: inPlace, bytes: file.size, wasInPlace: true };
      const { entries, stagingError } = await extractAs(format, engine, work);
      const leftOver = stagingError === undefined ? {} : { stagingError };
      const summary = { entries, bytes: file.size, wasInPlace: false, ...leftOver };
      if (tree === undefined) return summary;
      const isTar = format === "tarzstd";
      const manifestError = await recordTree({ ...tree, isTar, observed: undefined, entries });
      return manifestError === undefined ? summary : { ...summary, manifestError };
    } finally {
      await handle.close();
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw toArchiveError(error, `extract ${archivePath}`);
  }
}

/**
 * Restores an archive that comes as a stream, such as a download. It is kept in a temporary file first: the directory of a zip archive
 * comes last, and nothing is restored before all of it was checked.
 *
 * @throws as {@link extractArchive}
 */
export async function extractArchiveFrom({ source, ...options }: ReadArchiveOptions): Promise<RestoreSummary> {
  const { signal } = options;
  signal?.throwIfAborted();
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-archive-"));
  try {
    const archivePath = join(folder, "archive");
    await pipeline(source, createWriteStream(archivePath, { mode: 0o600 }), signal === undefined ? {} : { signal });
    return await extractArchive({ ...options, archivePath });
  } catch (error) {
    signal?.throwIfAborted();
    throw toArchiveError(error, "extract an archive from a stream");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function extractAs(format: "tarzstd" | "zip", engine: ArchiveEngine, work: ExtractWork): Promise<Extraction> {
  const isTar = format === "tarzstd";
  if (engine === "parallel") {
    try {
      return await (isTar ? extractTarZstd(work) : extractZip(work));
    } catch (error) {
      if (!(error instanceof WorkersUnavailable)) throw error;
      warnOfStreaming();
    }
  }
  if (isTar) return await extractTarSequentially(work);
  // Loaded when it is needed: its libraries take longer to load than a short archive takes to restore.
  const { extractZipStreaming } = await import("./streaming/extract.ts");
  return await extractZipStreaming(work);
}
