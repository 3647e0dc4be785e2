import { readlink } from "node:fs/promises";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress } from "node:zlib";

import { changed, entryPath, openSource, readWholeFile, sourceError, WHOLE_FILE_BYTES } from "../source-file.ts";
import type { ArchiveEntry, CompressionLevel } from "../types.ts";
import { STREAM_CHUNK_BYTES, ZSTD_LEVELS } from "../zip/codec.ts";
import { BLOCK_BYTES, encodeHeader, padding, tarName } from "./header.ts";
import type { TarHeader } from "./header.ts";

export interface WriteTarOptions {
  readonly root: string;
  /** In byte order of the paths, which is the order in the archive. */
  readonly entries: readonly ArchiveEntry[];
  readonly level: CompressionLevel;
  readonly signal: AbortSignal | undefined;
}

/** Writes a tar archive in one Zstandard frame with a checksum, to a sink that ends with it. When this settles, no file is open any more. @see RFC 8878, cache document 3.4 */
export async function writeTarZstdTo(sink: Writable, options: WriteTarOptions): Promise<void> {
  const { level, signal } = options;
  const compress = createZstdCompress({
    chunkSize: STREAM_CHUNK_BYTES,
    params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVELS[level], [constants.ZSTD_c_checksumFlag]: 1 },
  });
  const blocks = gathered(tarBlocks(options));
  try {
    await pipeline(blocks, compress, sink, signal === undefined ? {} : { signal });
  } finally {
    // A pipeline that failed does not wait for its source to end.
    await blocks.return(undefined);
  }
}

/** Pieces this long go into the compressor: a call for each header would cost more than the copy. */
const GATHERED_BYTES = 256 * 1024;

async function* gathered(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for await (const piece of source) {
    waiting.push(piece);
    bytes += piece.length;
    if (bytes < GATHERED_BYTES) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(waiting);
}

async function* tarBlocks({ root, entries, signal }: WriteTarOptions): AsyncGenerator<Buffer> {
  for (const entry of entries) {
    signal?.throwIfAborted();
    if (entry.kind === "file") yield* fileBlocks(root, entry);
    else yield encodeHeader(await otherHeader(root, entry));
  }
  yield Buffer.alloc(2 * BLOCK_BYTES);
}

async function otherHeader(root: string, entry: ArchiveEntry): Promise<TarHeader> {
  if (entry.kind === "directory") return tarHeader(entry, 0, EMPTY);
  try {
    return tarHeader(entry, 0, await readlink(entryPath(root, entry), { encoding: "buffer" }));
  } catch (error) {
    throw sourceError(error, entry);
  }
}

async function* fileBlocks(root: string, entry: ArchiveEntry): AsyncGenerator<Buffer> {
  const content = entry.bytes <= WHOLE_FILE_BYTES ? await readWholeFile(root, entry) : undefined;
  if (content !== undefined) {
    yield encodeHeader(tarHeader(entry, content.length, EMPTY));
    yield content;
    yield padding(content.length);
    return;
  }
  await using source = await openSource(root, entry);
  yield encodeHeader(tarHeader(entry, source.bytes, EMPTY));
  let left = source.bytes;
  for await (const piece of source.pieces) {
    left -= piece.length;
    yield piece;
  }
  // The header is written, and says more than there is.
  if (left > 0) throw changed(entry);
  yield padding(source.bytes);
}

const EMPTY = Buffer.alloc(0);

/** What the header of an entry says. */
export function tarHeader(entry: ArchiveEntry, bytes: number, linkTarget: Buffer): TarHeader {
  return {
    name: tarName(entry.path, entry.kind === "directory"),
    type: entry.kind,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    bytes,
    mtime: tarSeconds(entry.mtimeMs),
    linkTarget,
  };
}

/** The reference rounds here, where zip cuts. */
export function tarSeconds(milliseconds: number): number {
  return Math.round(milliseconds / 1000);
}
