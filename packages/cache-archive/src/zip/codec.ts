import type { Transform } from "node:stream";
import { promisify } from "node:util";
import {
  constants,
  createDeflateRaw,
  createInflateRaw,
  createZstdCompress,
  createZstdDecompress,
  deflateRaw,
  deflateRawSync,
  inflateRaw,
  inflateRawSync,
  zstdCompress,
  zstdCompressSync,
  zstdDecompress,
  zstdDecompressSync,
} from "node:zlib";
import type { ArchiveFormat, CompressionLevel } from "../types.ts";
import { METHOD_DEFLATE, METHOD_STORED, METHOD_ZSTD } from "./constants.ts";

/** Up to this length the call itself costs less than handing it to another thread, and blocks for less than a millisecond. */
const SYNC_LIMIT_BYTES = 16 * 1024;

/** Pieces of long files; the default of 16 KiB would mean a write for each. */
export const STREAM_CHUNK_BYTES: number = 128 * 1024;

/** Windows up to 128 MiB, the most that the reference's reader accepts for a zip entry. */
const ZSTD_WINDOW_LOG_MAX = 27;

const deflateRawAsync = promisify<Uint8Array, { level: number; chunkSize: number }, Buffer>(deflateRaw);
const inflateRawAsync = promisify<Uint8Array, { maxOutputLength: number; chunkSize: number }, Buffer>(inflateRaw);
const zstdCompressAsync = promisify<Uint8Array, { params: Record<number, number> }, Buffer>(zstdCompress);
const zstdDecompressAsync = promisify<
  Uint8Array,
  { maxOutputLength: number; chunkSize: number; params: Record<number, number> },
  Buffer
>(zstdDecompress);

/** How one archive's regular files are compressed. */
export interface Compressor {
  readonly method: number;
  /** The whole of `bytes`, compressed. */
  compress(bytes: Uint8Array): Buffer | Promise<Buffer>;
  /** The same for data that comes in pieces; undefined for the stored method. */
  stream(): Transform | undefined;
}

/**
 * Method and effort for a format and level.
 *
 * `zipzstd` at `fastest` compresses at the lowest effort; the reference takes its default there, against its own name.
 *
 * @see https://docs.gitlab.com/ci/runners/configure_runners/ (cache document 3.1)
 */
export function compressorFor(format: Exclude<ArchiveFormat, "tarzstd">, level: CompressionLevel): Compressor {
  if (format === "zipzstd") return zstdCompressor(ZSTD_LEVELS[level]);
  const deflateLevel = DEFLATE_LEVELS[level];
  return deflateLevel === 0 ? STORED : deflateCompressor(deflateLevel);
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
  default: 5,
  slow: 7,
  slowest: 9,
};

/**
 * Unpacks data that is whole in memory. Never makes more than `maxBytes`: beyond that the promise rejects, as for damaged data.
 *
 * @returns undefined for a method that this package does not know
 */
export function decompress(method: number, data: Buffer, maxBytes: number): Buffer | Promise<Buffer> | undefined {
  // zlib refuses a limit of 0, and one byte more shows data that is longer than declared.
  const maxOutputLength = maxBytes + 1;
  const chunkSize = Math.max(maxOutputLength, 64);
  const sync = maxBytes <= SYNC_LIMIT_BYTES && data.length <= SYNC_LIMIT_BYTES;
  switch (method) {
    case METHOD_STORED:
      return data;
    case METHOD_DEFLATE:
      return sync
        ? inflateRawSync(data, { maxOutputLength, chunkSize })
        : inflateRawAsync(data, { maxOutputLength, chunkSize });
    case METHOD_ZSTD: {
      const options = { maxOutputLength, chunkSize, params: ZSTD_DECODER };
      return sync ? zstdDecompressSync(data, options) : zstdDecompressAsync(data, options);
    }
    default:
      return undefined;
  }
}

/** The same for data that comes in pieces; undefined for the stored method and for unknown ones. */
export function decompressStream(method: number): Transform | undefined {
  if (method === METHOD_DEFLATE) return createInflateRaw({ chunkSize: STREAM_CHUNK_BYTES });
  if (method === METHOD_ZSTD) return createZstdDecompress({ params: ZSTD_DECODER, chunkSize: STREAM_CHUNK_BYTES });
  return undefined;
}

export function isKnownMethod(method: number): boolean {
  return method === METHOD_STORED || method === METHOD_DEFLATE || method === METHOD_ZSTD;
}

const ZSTD_DECODER = { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX };

const STORED: Compressor = {
  method: METHOD_STORED,
  compress: (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  stream: () => undefined,
};

function deflateCompressor(level: number): Compressor {
  return {
    method: METHOD_DEFLATE,
    compress(bytes) {
      // One chunk that surely fits spares zlib from gathering many.
      const options = { level, chunkSize: bytes.length + 64 };
      return bytes.length <= SYNC_LIMIT_BYTES ? deflateRawSync(bytes, options) : deflateRawAsync(bytes, options);
    },
    stream: () => createDeflateRaw({ level, chunkSize: STREAM_CHUNK_BYTES }),
  };
}

function zstdCompressor(level: number): Compressor {
  const params = { [constants.ZSTD_c_compressionLevel]: level };
  return {
    method: METHOD_ZSTD,
    compress: (bytes) =>
      bytes.length <= SYNC_LIMIT_BYTES ? zstdCompressSync(bytes, { params }) : zstdCompressAsync(bytes, { params }),
    stream: () => createZstdCompress({ params, chunkSize: STREAM_CHUNK_BYTES }),
  };
}
