import { constants, deflateRawSync, zstdCompressSync } from "node:zlib";

import type { PackMethod } from "./codec.ts";
import { METHOD_DEFLATE, METHOD_ZSTD } from "./constants.ts";

/** Files and blocks from this length on are probed first: what does not shrink is not worth a full attempt. */
const PROBED_FROM_BYTES = 64 * 1024;
const PROBES = 4;
/** Length of one sample. */
export const PROBE_BYTES = 4096;
/** A probe that keeps more than this of its length does not shrink. */
const HOPELESS_RATIO = 0.98;

/** Longest content of a stored block of a deflate stream. @see RFC 1951 3.2.4 */
const MAX_STORED_BLOCK_BYTES = 0xffff;

/** The whole of `bytes`, compressed. */
export function packBytes({ method, level }: PackMethod, bytes: Buffer): Buffer {
  if (method === METHOD_ZSTD) {
    return zstdCompressSync(bytes, {
      chunkSize: Math.max(bytes.length + 64, 64),
      params: { [constants.ZSTD_c_compressionLevel]: level },
    });
  }
  if (method === METHOD_DEFLATE) return deflateRawSync(bytes, deflateOptions(level, bytes.length));
  return bytes;
}

/**
 * One block of a deflate stream that is put together from blocks which were compressed on their own. All but the last end
 * on a byte, with an empty stored block.
 *
 * @see RFC 1951 3.2.3
 */
export function packBlock(level: number, bytes: Buffer, isLast: boolean): Buffer {
  if (looksIncompressible(bytes)) return storedBlocks(bytes, isLast);
  const finishFlush = isLast ? constants.Z_FINISH : constants.Z_SYNC_FLUSH;
  const packed = deflateRawSync(bytes, { ...deflateOptions(level, bytes.length), finishFlush });
  return packed.length > bytes.length ? storedBlocks(bytes, isLast) : packed;
}

/** Whether samples of the data hardly shrink. Short data is never said to be incompressible. */
export function looksIncompressible(bytes: Buffer): boolean {
  if (bytes.length < PROBED_FROM_BYTES) return false;
  const last = bytes.length - PROBE_BYTES;
  return isHopeless(
    Array.from({ length: PROBES }, (_, probe) => {
      const start = Math.floor((last * probe) / (PROBES - 1));
      return bytes.subarray(start, start + PROBE_BYTES);
    }),
  );
}

/** Whether none of these pieces of a file is worth compressing. */
export function isHopeless(pieces: readonly Buffer[]): boolean {
  const limit = HOPELESS_RATIO * pieces.reduce((sum, piece) => sum + piece.length, 0);
  // What the pieces would come to if none of the rest shrank.
  let most = pieces.reduce((sum, piece) => sum + piece.length + MAX_GROWTH_BYTES, 0);
  for (const piece of pieces) {
    most += deflateRawSync(piece, deflateOptions(1, piece.length)).length - piece.length - MAX_GROWTH_BYTES;
    // One piece that shrinks well answers for the others.
    if (most <= limit) return false;
  }
  return true;
}

/** Deflate makes a sample no longer than this at worst. */
const MAX_GROWTH_BYTES = 16;

/** A window and tables that fit the data: filling larger ones with zeros takes longer than compressing a small file. */
function deflateOptions(
  level: number,
  length: number,
): { level: number; chunkSize: number; windowBits: number; memLevel: number } {
  // One chunk that fits spares zlib from gathering many; that of long data fits unless it hardly shrinks, and is memory soon thrown away.
  if (length > 16384) return { level, chunkSize: (length >> 1) + 64, windowBits: 15, memLevel: 9 };
  return { level, chunkSize: length + (length >> 10) + 64, windowBits: length <= 8192 ? 13 : 14, memLevel: 6 };
}

function storedBlocks(bytes: Buffer, isLast: boolean): Buffer {
  const count = Math.max(1, Math.ceil(bytes.length / MAX_STORED_BLOCK_BYTES));
  const blocks = Buffer.allocUnsafe(bytes.length + 5 * count);
  let at = 0;
  for (let block = 0; block < count; block += 1) {
    const content = bytes.subarray(block * MAX_STORED_BLOCK_BYTES, (block + 1) * MAX_STORED_BLOCK_BYTES);
    at = blocks.writeUInt8(isLast && block === count - 1 ? 1 : 0, at);
    at = blocks.writeUInt16LE(content.length, at);
    at = blocks.writeUInt16LE(~content.length & 0xffff, at);
    at += content.copy(blocks, at);
  }
  return blocks;
}
