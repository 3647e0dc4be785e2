import { createWriteStream } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setImmediate as nextTurn } from "node:timers/promises";

import type { ArchiveFile } from "./archive-file.ts";
import { CacheArchiveError, toArchiveError } from "./errors.ts";
import { checkedConcurrency } from "./settings.ts";
import { sniffFormat } from "./sniff.ts";
import { WorkersUnavailable } from "./engine/pool.ts";
import { DEFAULT_MAX_INLINE_MS } from "./engine/run-task.ts";
import { warnOfStreaming } from "./warn-of-streaming.ts";
import type { Extraction, ExtractWork } from "./restore/extract-work.ts";
import { prepareForLong } from "./restore/plan.ts";
import type { ArchiveEngine, ExtractArchiveOptions, ReadArchiveOptions, RestoreSummary } from "./types.ts";

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
      if (manifestPath === undefined) {
        // It starts while what plans the restore is loaded.
        if (engine === "parallel" && maxInlineMs > 0) prepareForLong(file);
        return summaryOf(file, await extractAs(format, engine, work));
      }
      const tree = { file, root, manifestPath, maxInlineMs, signal };
      const { entriesInPlace, recordTree } = await import("./manifest/tree-manifest.ts");
      const { finishRestores } = await import("./restore/finish-restores.ts");
      // What was begun would take the place of what is found now, later.
      await finishRestores(root, signal === undefined ? {} : { signal });
      const inPlace = await entriesInPlace(tree);
      if (inPlace !== undefined) return { entries: inPlace, bytes: file.size, wasInPlace: true };
      const extraction = await extractAs(format, engine, work);
      const summary = summaryOf(file, extraction);
      const isTar = format === "tarzstd";
      const manifestError = await recordTree({ ...tree, isTar, observed: undefined, entries: extraction.entries });
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

function summaryOf(file: ArchiveFile, { entries, stagingError }: Extraction): RestoreSummary {
  const leftOver = stagingError === undefined ? {} : { stagingError };
  return { entries, bytes: file.size, wasInPlace: false, ...leftOver };
}

/** What a format needs is loaded here, and not with the package: the other ones, and everything that packs, take as long. */
async function extractAs(format: "tarzstd" | "zip", engine: ArchiveEngine, work: ExtractWork): Promise<Extraction> {
  if (engine === "parallel") {
    try {
      if (format === "zip") return await (await inOwnTurn(() => import("./zip/extract.ts"))).extractZip(work);
      return await (await inOwnTurn(() => import("./tar/extract.ts"))).extractTarZstd(work);
    } catch (error) {
      if (!(error instanceof WorkersUnavailable)) throw error;
      warnOfStreaming();
    }
  }
  if (format === "tarzstd") return await (await import("./tar/extract.ts")).extractTarSequentially(work);
  const { extractZipStreaming } = await import("./streaming/extract.ts");
  return await extractZipStreaming(work);
}

/** Starting a thread, loading code and the first step of a plan keep the thread for up to 20 ms each. */
async function inOwnTurn<T>(load: () => Promise<T>): Promise<T> {
  await nextTurn();
  const loaded = await load();
  await nextTurn();
  return loaded;
}
