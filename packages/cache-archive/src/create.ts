import { Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setImmediate as nextTurn } from "node:timers/promises";

import { CacheArchiveError, toArchiveError } from "./errors.ts";
import { EntryTable } from "./engine/entry-table.ts";
import { FoundTable } from "./engine/found-table.ts";
import { WorkersUnavailable } from "./engine/pool.ts";
import { DEFAULT_MAX_INLINE_MS, prepareThreads } from "./engine/run-task.ts";
import { warnOfStreaming } from "./warn-of-streaming.ts";
import { observeTree, recordTree } from "./manifest/tree-manifest.ts";
import type { ObservedTree, TreeJob } from "./manifest/tree-manifest.ts";
import { openOutputFile } from "./output-file.ts";
import type { OutputFile } from "./output-file.ts";
import { comparePathBytes, isCleanPath, printablePath, sortByPathBytes } from "./path-bytes.ts";
import { checkedConcurrency } from "./settings.ts";
import { packTar } from "./tar/pack.ts";
import { writeTarZstdTo } from "./tar/write.ts";
import { Turn } from "./turn.ts";
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

/** As the package has it, loaded when it is needed. */
export async function createArchive(options: CreateArchiveOptions): Promise<ArchiveSummary> {
  const { root, archivePath, format = "zip", level = "default", engine = "parallel", signal } = options;
  const { manifestPath, maxInlineMs = DEFAULT_MAX_INLINE_MS } = options;
  const concurrency = checkedConcurrency(options.concurrency);
  signal?.throwIfAborted();
  if (engine === "parallel" && concurrency > 1 && isList(options.entries)) {
    prepareThreads(options.entries.length, concurrency, maxInlineMs);
  }
  const attempt = `write archive ${archivePath}`;
  try {
    const planned = planEntries(options.entries, signal);
    const tree = manifestPath === undefined ? undefined : { root, manifestPath, maxInlineMs, signal };
    const output = await openOutputFile(archivePath);
    try {
      const work = { root, planned, tree, output, format, level, concurrency, maxInlineMs, signal };
      const { entries, observed } = await (engine === "streaming" ? packStreaming(work) : packParallel(work));
      signal?.throwIfAborted();
      const { descriptor, size } = await output.commit(options.beforeReplace);
      const summary = { entries, bytes: size };
      if (tree === undefined) return summary;
      const isTar = format === "tarzstd";
      const file = { path: archivePath, descriptor, size };
      const manifestError = await recordTree({ ...tree, file, isTar, observed, entries });
      return manifestError === undefined ? summary : { ...summary, manifestError };
    } finally {
      await output.release();
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw toArchiveError(error, attempt);
  }
}

/** As the package has it, loaded when it is needed. */
export async function writeArchive(options: WriteArchiveOptions): Promise<ArchiveSummary> {
  const { root, sink, format = "zip", level = "default", signal } = options;
  signal?.throwIfAborted();
  try {
    const entries = await listOf(planEntries(options.entries, signal));
    if (sink.errored instanceof Error) throw sink.errored;
    let bytes = 0;
    const counted = new Transform({
      transform(piece: Buffer, _encoding, done) {
        bytes += piece.length;
        done(null, piece);
      },
    });
    // A sink that has failed or is closed ends it before what writes into it is loaded.
    counted.on("error", () => undefined);
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
  readonly planned: AsyncIterable<readonly ArchiveEntry[]>;
  /** Present when it is to be kept how everything was found. */
  readonly tree: Omit<TreeJob, "file" | "manifestPath"> | undefined;
  readonly output: OutputFile;
  readonly format: ArchiveFormat;
  readonly level: CompressionLevel;
  readonly concurrency: number;
  readonly maxInlineMs: number;
  readonly signal: AbortSignal | undefined;
}

interface Packed {
  /** How many the archive has. */
  readonly entries: number;
  readonly observed: ObservedTree | undefined;
}

async function packParallel(work: PackWork): Promise<Packed> {
  const { planned, tree, output, format, level, concurrency } = work;
  // One frame, as the reference writes it.
  if (format === "tarzstd" && concurrency === 1) return await packStreaming(work);
  const takenAtMs = Date.now();
  const entries = EntryTable.share();
  const found = tree === undefined ? undefined : FoundTable.share();
  const parts = { ...work, entries: planned, tables: { entries, found }, descriptor: output.descriptor };
  try {
    if (format === "tarzstd") await packTar({ ...parts, level: ZSTD_LEVELS[level] });
    else await packZip({ ...parts, method: packMethodFor(format, level) });
    const observed = found === undefined ? undefined : { takenAtMs, rows: { entries, found } };
    return { entries: new EntryTable(entries).count, observed };
  } catch (error) {
    if (!(error instanceof WorkersUnavailable)) throw error;
    warnOfStreaming();
    await output.rewind(0);
    return await packStreaming({ ...work, planned: inBatches(entriesOf(new EntryTable(entries))) });
  }
}

async function packStreaming({ planned, tree, ...work }: PackWork): Promise<Packed> {
  const entries = await listOf(planned);
  const observed = tree === undefined ? undefined : await observeTree(tree, entries);
  const sink = new Writable({
    write(piece: Buffer, _encoding, done) {
      work.output.write(piece).then(() => done(), done);
    },
  });
  await streamTo({ ...work, entries }, sink);
  return { entries: entries.length, observed };
}

interface StreamWork extends Pick<PackWork, "root" | "format" | "level" | "signal"> {
  readonly entries: readonly ArchiveEntry[];
}

async function streamTo(work: StreamWork, sink: Writable): Promise<void> {
  const { format, level } = work;
  if (format === "tarzstd") {
    await writeTarZstdTo(sink, work);
    return;
  }
  // Loaded when it is needed: its libraries take longer to load than a short archive takes to write.
  const { streamZip } = await import("./streaming/pack.ts");
  await streamZip({ ...work, sink, level: packMethodFor("zip", level).level });
}

/** Entries of one turn. */
const ENTRIES_PER_BATCH = 1000;

/** Puts a list in order, and refuses what would not come back to the same place. */
async function* planEntries(
  entries: CreateArchiveOptions["entries"],
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly ArchiveEntry[]> {
  const turn = new Turn();
  let before: string | undefined;
  for await (const found of isList(entries) ? sorted(entries) : entries) {
    for await (const batch of inBatches(found)) {
      if (turn.isOver) await turn.next();
      signal?.throwIfAborted();
      for (const entry of batch) {
        checkEntry(entry, before);
        before = entry.path;
      }
      yield batch;
    }
  }
}

async function* sorted(entries: readonly ArchiveEntry[]): AsyncGenerator<readonly ArchiveEntry[]> {
  // Other work that waits gets its turn after the start of threads.
  if (entries.length > ENTRIES_PER_BATCH) await nextTurn();
  yield sortByPathBytes(entries, ({ path }) => path);
}

async function* inBatches(entries: readonly ArchiveEntry[]): AsyncGenerator<readonly ArchiveEntry[]> {
  for (let start = 0; start < entries.length; start += ENTRIES_PER_BATCH) {
    yield entries.slice(start, start + ENTRIES_PER_BATCH);
  }
}

async function listOf(batches: AsyncIterable<readonly ArchiveEntry[]>): Promise<ArchiveEntry[]> {
  const entries: ArchiveEntry[] = [];
  for await (const batch of batches) for (const entry of batch) entries.push(entry);
  return entries;
}

function entriesOf(table: EntryTable): ArchiveEntry[] {
  return Array.from({ length: table.count }, (_, index) => table.entry(index));
}

function isList(entries: CreateArchiveOptions["entries"]): entries is readonly ArchiveEntry[] {
  return Array.isArray(entries);
}

function checkEntry(entry: ArchiveEntry, before: string | undefined): void {
  if (!isInside(entry)) throw refusal("outside-root", entry, "it is not inside the root");
  if (before === undefined) return;
  const order = comparePathBytes(before, entry.path);
  if (order === 0) throw refusal("duplicate-name", entry, "it is listed twice");
  if (order > 0) throw refusal("invalid-option", entry, "batches of entries have to come in byte order of the paths");
}

function isInside({ path, kind }: ArchiveEntry): boolean {
  return path === "." ? kind === "directory" : isCleanPath(path);
}

function refusal(
  code: "duplicate-name" | "invalid-option" | "outside-root",
  entry: ArchiveEntry,
  what: string,
): CacheArchiveError {
  const entryName = printablePath(entry.path);
  return new CacheArchiveError({ code, message: `archive "${entryName}": ${what}`, entryName });
}
