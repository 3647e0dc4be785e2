import { readlink } from "node:fs/promises";
import { Readable } from "node:stream";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";

import { entryPath, openSource, readWholeFile, sourceError, WHOLE_FILE_BYTES } from "../source-file.ts";
import type { ArchiveEntry } from "../types.ts";
import { ExactZipArchive } from "./zip-archive.ts";

export interface StreamZipOptions {
  readonly root: string;
  /** In byte order of the paths, which is the order in the archive. */
  readonly entries: readonly ArchiveEntry[];
  readonly sink: Writable;
  /** Of deflate; 0 stores. */
  readonly level: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Writes a zip archive to a sink that need not seek, with archiver. The sink ends with it.
 *
 * Only the end of the sink counts as success: archiver's own promise resolves for a sink that failed, and never for an entry that did.
 */
export async function streamZip({ root, entries, sink, level, signal }: StreamZipOptions): Promise<void> {
  const archive = new ExactZipArchive(level);
  const sinkEnds = finished(sink, signal === undefined ? {} : { signal });
  const fail = (error: Error): void => {
    sink.destroy(error);
    archive.destroy();
  };
  archive.on("error", fail);
  archive.pipe(sink);
  // The sink's end decides; until then nobody listens to it.
  sinkEnds.catch(() => archive.destroy());
  let adding = Promise.resolve();
  try {
    for (const entry of entries) {
      signal?.throwIfAborted();
      adding = addEntry(archive, root, entry);
      await Promise.race([adding, sinkEnds]);
    }
    await Promise.race([archive.finalize(), sinkEnds]);
    await sinkEnds;
  } catch (error) {
    archive.unpipe(sink);
    sink.destroy();
    archive.destroy();
    // It ends with the archive, and closes its file.
    await adding.catch(() => undefined);
    signal?.throwIfAborted();
    throw error;
  }
}

async function addEntry(archive: ExactZipArchive, root: string, entry: ArchiveEntry): Promise<void> {
  if (entry.kind === "directory") {
    await archive.add(entry, Buffer.alloc(0));
  } else if (entry.kind === "symlink") {
    await archive.add(entry, await linkTarget(root, entry));
  } else {
    const content = entry.bytes <= WHOLE_FILE_BYTES ? await readWholeFile(root, entry) : undefined;
    if (content === undefined) await addLongFile(archive, root, entry);
    else await archive.add(entry, content);
  }
}

async function addLongFile(archive: ExactZipArchive, root: string, entry: ArchiveEntry): Promise<void> {
  const source = await openSource(root, entry);
  const stream = Readable.from(source.pieces, { objectMode: false });
  try {
    // A failure of the source would end the archive as if it were whole.
    const failed = new Promise<never>((_resolve, reject) => stream.on("error", reject));
    await Promise.race([archive.add(entry, stream), failed]);
  } finally {
    stream.destroy();
    await source[Symbol.asyncDispose]();
  }
}

async function linkTarget(root: string, entry: ArchiveEntry): Promise<Buffer> {
  try {
    return await readlink(entryPath(root, entry), { encoding: "buffer" });
  } catch (error) {
    throw sourceError(error, entry);
  }
}
