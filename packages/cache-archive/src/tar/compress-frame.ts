import { constants, zstdCompressSync } from "node:zlib";

/** Parameters of the encoder by number. @see https://facebook.github.io/zstd/zstd_manual.html */
export type EncoderParameters = Readonly<Record<number, number>>;

/** The fastest strategy of the encoder, with a table that stays in the cache of one processor and matches at least so long. */
export function fastEncoder(minMatch: number): EncoderParameters {
  return {
    [constants.ZSTD_c_strategy]: constants.ZSTD_fast,
    [constants.ZSTD_c_hashLog]: 16,
    [constants.ZSTD_c_minMatch]: minMatch,
  };
}

/** One frame with this content, which is packed straight from there to where it stays: all of it fits, whatever it is. */
export function compressFrame(content: Buffer, params: EncoderParameters): Buffer {
  return zstdCompressSync(content, { chunkSize: content.length + Math.ceil(content.length / 256) + 1024, params });
}
