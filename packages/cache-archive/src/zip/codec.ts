import type { Transform } from "node:stream";
import { constants, createZstdDecompress, zstdDecompressSync } from "node:zlib";
import type { ArchiveFormat, CompressionLevel } from "../types.ts";
import { METHOD_DEFLATE, METHOD_STORED, METHOD_ZSTD } from "./constants.ts";

/** Pieces of long files; the default of 16 KiB would mean a write for each. */
export const STREAM_CHUNK_BYTES: number = 128 * 1024;

/** Windows up to 128 MiB, the most that the reference's reader accepts for a zip entry. */
const ZSTD_WINDOW_LOG_MAX = 27;

/** How one archive's regular files are compressed. */
export interface PackMethod {
  readonly method: number;
  /** On the scale of the method's own library. */
  readonly level: number;
}

/**
 * Method and effort for a format and level.
 *
 * `zipzstd` at `fastest` compresses at the lowest effort; the reference takes its default there, against its own name. `default` of zip is the
 * library's level 1, which is nearest to what the reference makes at its level 5 in length, and takes a third of the time.
 *
 * @see https://docs.gitlab.com/ci/runners/configure_runners/ (cache document 3.1)
 */
export function packMethodFor(format: Exclude<ArchiveFormat, "tarzstd">, level: CompressionLevel): PackMethod {
  if (format === "zipzstd") return { method: METHOD_ZSTD, level: ZSTD_LEVELS[level] };
  const deflateLevel = DEFLATE_LEVELS[level];
  return { method: deflateLevel === 0 ? METHOD_STORED : METHOD_DEFLATE, level: deflateLevel };
}

/** Effort of the Zstandard encoder for a level's name. */
export const ZSTD_LEVELS: Readonly<Record<CompressionLevel, number>> = {
  fastest: 1,
  fast: 1,
  default: 3,
  slow: 7,
  slowest: 11,
};

const DEFLATE_LEVELS: Readonly<Record<CompressionLevel, number>> = {
  fastest: 0,
  fast: 1,
  default: 1,
  slow: 6,
  slowest: 9,
};

/** Unpacks stored or Zstandard data that is whole in memory, and throws what zlib throws. Never makes more than a byte above `bytes`, or `roomBytes`. */
export function unpackBytes(method: number, data: Buffer, bytes: number, roomBytes: number = 0): Buffer {
  if (method !== METHOD_ZSTD) return data;
  // zlib refuses a limit of 0, and one byte more shows data that is longer than declared.
  const maxOutputLength = bytes + 1;
  // One chunk that surely fits spares zlib from gathering many.
  return zstdDecompressSync(data, {
    maxOutputLength,
    chunkSize: Math.max(maxOutputLength, roomBytes, 64),
    params: ZSTD_DECODER,
  });
}

/** Unpacks Zstandard data that comes in pieces; undefined for other methods. */
export function decompressStream(method: number): Transform | undefined {
  if (method === METHOD_ZSTD) return createFrameDecoder();
  return undefined;
}

/** For one frame of Zstandard data. */
export function createFrameDecoder(): Transform {
  return createZstdDecompress({ params: ZSTD_DECODER, chunkSize: STREAM_CHUNK_BYTES });
}

export function isKnownMethod(method: number): boolean {
  return method === METHOD_STORED || method === METHOD_DEFLATE || method === METHOD_ZSTD;
}

const ZSTD_DECODER = { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX };
