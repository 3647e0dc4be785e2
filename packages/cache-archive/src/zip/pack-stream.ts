import { Readable } from "node:stream";
import type { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, crc32, createDeflateRaw, createZstdCompress } from "node:zlib";

import { JobAborted } from "../engine/job-aborted.ts";
import { writeAll } from "../engine/ordered-output.ts";
import { openSource } from "../source-file.ts";
import type { ArchiveEntry } from "../types.ts";
import { METHOD_STORED, METHOD_ZSTD } from "./constants.ts";
import type { EntryData } from "./records.ts";

/** Pieces of long files; the default of 16 KiB would mean a write for each. */
const CHUNK_BYTES = 128 * 1024;

/** Compresses a long file as one stream into a place of the archive. */
export async function streamLongFile(
  root: string,
  entry: ArchiveEntry,
  { method, level }: { readonly method: number; readonly level: number },
  target: { readonly descriptor: number; readonly position: number; readonly isAborted: () => boolean },
): Promise<EntryData> {
  let crc = 0;
  let bytes = 0;
  let compressedBytes = 0;
  const source = await openSource(root, entry);
  async function* measured(): AsyncGenerator<Buffer> {
    for await (const piece of source.pieces) {
      if (target.isAborted()) throw new JobAborted();
      crc = crc32(piece, crc);
      bytes += piece.length;
      yield piece;
    }
  }
  const write = async (packed: AsyncIterable<Buffer>): Promise<void> => {
    for await (const piece of packed) {
      writeAll(target.descriptor, piece, target.position + compressedBytes);
      compressedBytes += piece.length;
    }
  };
  try {
    const transform = compressStream(method, level);
    await (transform === undefined ? write(measured()) : pipeline(Readable.from(measured()), transform, write));
  } finally {
    await source[Symbol.asyncDispose]();
  }
  return { crc, compressedBytes, bytes };
}

function compressStream(method: number, level: number): Transform | undefined {
  if (method === METHOD_STORED) return undefined;
  if (method === METHOD_ZSTD) {
    return createZstdCompress({ chunkSize: CHUNK_BYTES, params: { [constants.ZSTD_c_compressionLevel]: level } });
  }
  return createDeflateRaw({ level, chunkSize: CHUNK_BYTES });
}
