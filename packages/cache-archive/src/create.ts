import { Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setImmediate as nextTurn } from "node:timers/promises";

import { CacheArchiveError, toArchiveError } from "./errors.ts";
import { WorkersUnavailable } from "./engine/pool.ts";
import { DEFAULT_MAX_INLINE_MS, prepareThreads } from "./engine/run-task.ts";
import { warnOfStreaming } from "./warn-of-streaming.ts";
import { observeTree, recordTree } from "./manifest/tree-manifest.ts";
import { openOutputFile } from "./output-file.ts";
import type { OutputFile } from "./output-file.ts";
import { printablePath, sortByPathBytes } from "./path-bytes.ts";
import { checkedConcurrency } from "./settings.ts";
import { packTar } from "./tar/pack.ts";
import { writeTarZstd, writeTarZstdTo } from "./tar/write.ts";
import type {
  ArchiveEntry,
  ArchiveFormat,
  ArchiveSummary,
  CompressionLevel,
  CreateArchiveOptions,
  WriteArchiveOptions,
} from "./types.ts";
import { packMethodFor, ZSTD_LEVELS } from "./zip/codec.ts";
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
  const { root, archivePath, format = "zip", level = "default", engine = "parallel", signal } = options;
  const { manifestPath, maxInlineMs = DEFAULT_MAX_INLINE_MS } = options;
  const concurrency = checkedConcurrency(options.concurrency);
  signal?.throwIfAborted();
  if (engine === "parallel" && concurrency > 1) prepareThreads(options.entries.length, concurrency, maxInlineMs);
  const entries = await planEntries(options.entries, signal);
  const attempt = `write archive ${archivePath}`;
  try {
    const tree = manifestPath === undefined ? undefined : { root, manifestPath, maxInlineMs, signal };
    const observed = tree === undefined ? undefined : await observeTree(tree, entries);
    const output = await openOutputFile(archivePath);
    try {
      const work = { root, entries, output, format, level, concurrency, maxInlineMs, signal };
      if (engine === "streaming") await packStreaming(work);
      else await packParallel(work);
      signal?.throwIfAborted();
      const { descriptor, size } = await output.commit(options.beforeReplace);
      const summary = { entries: entries.length, bytes: size };
      if (tree === undefined) return summary;
      const isTar = format === "tarzstd";
      const file = { path: archivePath, descriptor, size };
      const manifestError = await recordTree({ ...tree, file, isTar, observed, entries: entries.length });
      return manifestError === undefined ? summary : { ...summary, manifestError };
    } finally {
      await output.release();
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw toArchiveError(error, attempt);
  }
}

/**
 * Writes an archive to a sink that need not seek, such as an upload. What the sink got before a failure is no archive.
 *
 * @throws as {@link createArchive}
 */
export async function writeArchive(options: WriteArchiveOptions): Promise<ArchiveSummary> {
  const { root, sink, format = "zip", level = "default", signal } = options;
  signal?.throwIfAborted();
  try {
    const entries = await planEntries(options.entries, signal);
    let bytes = 0;
    const counted = new Transform({
      transform(piece: Buffer, _encoding, done) {
        bytes += piece.length;
        done(null, piece);
      },
    });
    const delivered = pipeline(counted, sink, signal === undefined ? {} : { signal });
    // A sink that was closed before leaves what leads to it open.
    delivered.catch((error: Error) => counted.destroy(error));
    const work = [streamTo({ root, entries, format, level, signal }, counted), delivered];
    try {
      await Promise.all(work);
    } finally {
      // The other half notices the failure of the first, and closes what it has open.
      await Promise.allSettled(work);
    }
    return { entries: entries.length, bytes };
  } catch (error) {
    sink.destroy();
    signal?.throwIfAborted();
    throw toArchiveError(error, "write archive to a stream");
  }
}

interface PackWork {
  readonly root: string;
  readonly entries: readonly ArchiveEntry[];
  readonly output: OutputFile;
  readonly format: ArchiveFormat;
  readonly level: CompressionLevel;
  readonly concurrency: number;
  readonly maxInlineMs: number;
  readonly signal: AbortSignal | undefined;
}

async function packParallel(work: PackWork): Promise<void> {
  const { output, format, level, concurrency } = work;
  try {
    if (format !== "tarzstd") {
      await packZip({ ...work, descriptor: output.descriptor, method: packMethodFor(format, level) });
    } else if (concurrency > 1) {
      await packTar({ ...work, descriptor: output.descriptor, level: ZSTD_LEVELS[level] });
    } else {
      // One frame, as the reference writes it.
      await writeTarZstd(work);
    }
  } catch (error) {
    if (!(error instanceof WorkersUnavailable)) throw error;
    warnOfStreaming();
    await output.rewind(0);
    await packStreaming(work);
  }
}

async function packStreaming(work: PackWork): Promise<void> {
  const sink = new Writable({
    write(piece: Buffer, _encoding, done) {
      work.output.write(piece).then(() => done(), done);
    },
  });
  await streamTo(work, sink);
}

async function streamTo(work: Omit<PackWork, "output" | "concurrency" | "maxInlineMs">, sink: Writable): Promise<void> {
  const { format, level } = work;
  if (format === "tarzstd") {
    await writeTarZstdTo(sink, work);
    return;
  }
  // Loaded when it is needed: its libraries take longer to load than a short archive takes to write.
  const { streamZip } = await import("./streaming/pack.ts");
  await streamZip({ ...work, sink, level: packMethodFor("zip", level).level });
}

/** After so many entries other work gets its turn. */
const ENTRIES_PER_TURN = 2000;

/** Sorts, and refuses what would not come back to the same place. */
async function planEntries(entries: readonly ArchiveEntry[], signal: AbortSignal | undefined): Promise<ArchiveEntry[]> {
  // Other work that waits gets its turn after the start of threads.
  if (entries.length > ENTRIES_PER_TURN) await nextTurn();
  const sorted = sortByPathBytes(entries, (entry) => entry.path);
  if (entries.length > ENTRIES_PER_TURN) await nextTurn();
  let before: string | undefined;
  for (const [index, entry] of sorted.entries()) {
    if (index % ENTRIES_PER_TURN === ENTRIES_PER_TURN - 1) {
      await nextTurn();
      signal?.throwIfAborted();
    }
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
