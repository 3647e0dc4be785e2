import { readlink } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { crc32 } from "node:zlib";
import { createLimiter } from "../limiter.ts";
import type { ArchiveOutput } from "../output-file.ts";
import { entryPath, openSource, readWholeFile, sourceError, WHOLE_FILE_BYTES } from "../source-file.ts";
import type { ArchiveEntry } from "../types.ts";
import type { Compressor } from "./codec.ts";
import { METHOD_STORED } from "./constants.ts";
import { centralHeader, dataDescriptor, endRecords, entryHeader, localHeader } from "./records.ts";
import type { EntryData, EntryHeader } from "./records.ts";

export interface WriteZipOptions {
  readonly root: string;
  /** In byte order of the paths, which is the order in the archive. */
  readonly entries: readonly ArchiveEntry[];
  readonly output: ArchiveOutput;
  readonly compressor: Compressor;
  /** Files compressed at once. Above 1, what does not shrink is stored. */
  readonly concurrency: number;
  readonly signal: AbortSignal | undefined;
}

/** How far reading runs ahead of writing, in entries and in bytes per file that is compressed at once. */
const AHEAD_ENTRIES = 32;
const AHEAD_BYTES = 2 * WHOLE_FILE_BYTES;
/** After so many entries other work gets its turn. */
const ENTRIES_PER_TURN = 256;

/**
 * Writes a zip archive to an output that only appends.
 *
 * Small files are read and compressed ahead of their turn, several at once; the order in the archive stays that of
 * `entries`, so that the same tree gives the same bytes. A long file is compressed when its turn comes.
 */
export async function writeZip(options: WriteZipOptions): Promise<void> {
  const { entries, output, signal } = options;
  const ahead = new ReadAhead(options);
  const directory: Buffer[] = [];
  try {
    for (const [index, entry] of entries.entries()) {
      signal?.throwIfAborted();
      if (index % ENTRIES_PER_TURN === ENTRIES_PER_TURN - 1) await nextTurn();
      const body = await ahead.take(index);
      const offset = output.offset;
      const { header, data } = body === undefined ? await writeLongFile(entry, options) : await writeBody(body, output);
      directory.push(centralHeader(header, data, offset));
    }
  } finally {
    await ahead.stop();
  }
  await writeDirectory(directory, output, signal);
}

/** An entry that is whole in memory. */
interface Body {
  readonly header: EntryHeader;
  readonly data: EntryData;
  readonly content: Uint8Array;
  readonly describedAfter: boolean;
}

const NOTHING: EntryData = { crc: 0, compressedBytes: 0, bytes: 0 };
const EMPTY = Buffer.alloc(0);

class ReadAhead {
  readonly #options: WriteZipOptions;
  readonly #limit: <T>(work: () => Promise<T>) => Promise<T>;
  /** By index; each was started and not yet taken. */
  readonly #started = new Map<number, Promise<Body | undefined>>();
  #next = 0;
  #bytes = 0;

  constructor(options: WriteZipOptions) {
    this.#options = options;
    this.#limit = createLimiter(options.concurrency);
  }

  /** The entry's body, or undefined when it is a long file. */
  async take(index: number): Promise<Body | undefined> {
    this.#start(index);
    const body = this.#started.get(index);
    this.#started.delete(index);
    this.#bytes -= this.#weight(index);
    return await body;
  }

  /** Waits until nothing is being read any more. */
  async stop(): Promise<void> {
    await Promise.allSettled(this.#started.values());
  }

  #start(index: number): void {
    const { entries, concurrency } = this.#options;
    const maxBytes = AHEAD_BYTES * concurrency;
    for (; this.#next < entries.length; this.#next += 1) {
      if (this.#next > index && (this.#next - index >= AHEAD_ENTRIES || this.#bytes >= maxBytes)) return;
      const entry = entries[this.#next];
      if (entry === undefined) return;
      const body = this.#prepare(entry);
      // A failure is reported when the entry's turn comes, and must not count as unhandled until then.
      body.catch(() => undefined);
      this.#started.set(this.#next, body);
      this.#bytes += this.#weight(this.#next);
    }
  }

  #weight(index: number): number {
    const bytes = this.#options.entries[index]?.bytes ?? 0;
    return bytes <= WHOLE_FILE_BYTES ? bytes : 0;
  }

  async #prepare(entry: ArchiveEntry): Promise<Body | undefined> {
    if (entry.kind === "directory") return directoryBody(entry);
    if (entry.kind === "symlink") return await linkBody(this.#options.root, entry);
    if (entry.bytes > WHOLE_FILE_BYTES) return undefined;
    return await this.#fileBody(entry);
  }

  async #fileBody(entry: ArchiveEntry): Promise<Body | undefined> {
    const { root, compressor, concurrency } = this.#options;
    const content = await readWholeFile(root, entry);
    if (content === undefined) return undefined;
    const crc = crc32(content);
    const stored = {
      header: entryHeader(entry, METHOD_STORED, "owner-first"),
      data: { crc, compressedBytes: content.length, bytes: content.length },
      content,
      describedAfter: true,
    };
    if (content.length === 0 || compressor.method === METHOD_STORED) return stored;
    const compressed = await this.#limit(async () => await compressor.compress(content));
    if (concurrency > 1 && compressed.length > content.length) return stored;
    return {
      header: entryHeader(entry, compressor.method, concurrency > 1 ? "time-first" : "owner-first"),
      data: { crc, compressedBytes: compressed.length, bytes: content.length },
      content: compressed,
      describedAfter: true,
    };
  }
}

function directoryBody(entry: ArchiveEntry): Body {
  const header = entryHeader(entry, METHOD_STORED, "owner-first");
  return { header, data: NOTHING, content: EMPTY, describedAfter: false };
}

async function linkBody(root: string, entry: ArchiveEntry): Promise<Body> {
  try {
    const target = await readlink(entryPath(root, entry), { encoding: "buffer" });
    const data = { crc: crc32(target), compressedBytes: target.length, bytes: target.length };
    return { header: entryHeader(entry, METHOD_STORED, "time-first"), data, content: target, describedAfter: false };
  } catch (error) {
    throw sourceError(error, entry);
  }
}

async function writeBody(body: Body, output: ArchiveOutput): Promise<Body> {
  const { header, data, content, describedAfter } = body;
  await output.write(localHeader(header, describedAfter ? undefined : data));
  if (content.length > 0) await output.write(content);
  if (describedAfter) await output.write(dataDescriptor(data));
  return body;
}

interface Written {
  readonly header: EntryHeader;
  readonly data: EntryData;
}

async function writeLongFile(entry: ArchiveEntry, options: WriteZipOptions): Promise<Written> {
  const { output, compressor, concurrency } = options;
  const start = output.offset;
  const order = concurrency > 1 && compressor.method !== METHOD_STORED ? "time-first" : "owner-first";
  const written = await streamFile(entry, entryHeader(entry, compressor.method, order), compressor, options);
  if (concurrency === 1 || written.data.compressedBytes <= written.data.bytes) return written;
  await output.rewind(start);
  return await streamFile(entry, entryHeader(entry, METHOD_STORED, "owner-first"), undefined, options);
}

async function streamFile(
  entry: ArchiveEntry,
  header: EntryHeader,
  compressor: Compressor | undefined,
  { root, output, signal }: WriteZipOptions,
): Promise<Written> {
  await output.write(localHeader(header));
  const start = output.offset;
  let crc = 0;
  let bytes = 0;
  await using source = await openSource(root, entry);
  async function* measured(): AsyncGenerator<Buffer> {
    for await (const piece of source.pieces) {
      crc = crc32(piece, crc);
      bytes += piece.length;
      yield piece;
    }
  }
  const write = async (packed: AsyncIterable<Buffer>): Promise<void> => {
    for await (const piece of packed) await output.write(piece);
  };
  const transform = compressor?.stream();
  const stop = signal === undefined ? {} : { signal };
  await (transform === undefined ? pipeline(measured, write, stop) : pipeline(measured, transform, write, stop));
  const data = { crc, compressedBytes: output.offset - start, bytes };
  await output.write(dataDescriptor(data));
  return { header, data };
}

async function writeDirectory(
  directory: readonly Buffer[],
  output: ArchiveOutput,
  signal: AbortSignal | undefined,
): Promise<void> {
  const start = output.offset;
  for (const [index, record] of directory.entries()) {
    if (index % ENTRIES_PER_TURN === ENTRIES_PER_TURN - 1) await nextTurn();
    signal?.throwIfAborted();
    await output.write(record);
  }
  await output.write(endRecords(directory.length, output.offset - start, start));
}
