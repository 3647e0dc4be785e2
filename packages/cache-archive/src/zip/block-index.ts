import { EXTRA_BLOCKS } from "./constants.ts";

/**
 * Where the blocks of a long deflate entry begin, so that several readers can unpack it at once. It stands in an extra
 * field of the central header that other readers pass over: u32 length of a block when unpacked, then u32 packed length of
 * each block.
 */
export interface BlockIndex {
  readonly blockBytes: number;
  readonly packedBytes: readonly number[];
}

const MIN_BLOCK_BYTES = 1024 * 1024;
/** An extra field ends at 65535 bytes, and other fields want a place, too. */
const MAX_BLOCKS = 15_000;

/** Length of the blocks of a file: 1 MiB, and more where there would be too many. */
export function blockBytesFor(fileBytes: number): number {
  let blockBytes = MIN_BLOCK_BYTES;
  while (fileBytes / blockBytes > MAX_BLOCKS) blockBytes *= 2;
  return blockBytes;
}

export function encodeBlockIndex({ blockBytes, packedBytes }: BlockIndex): Buffer {
  const field = Buffer.alloc(8 + 4 * packedBytes.length);
  field.writeUInt16LE(EXTRA_BLOCKS, 0);
  field.writeUInt16LE(field.length - 4, 2);
  field.writeUInt32LE(blockBytes, 4);
  for (const [block, length] of packedBytes.entries()) field.writeUInt32LE(length, 8 + 4 * block);
  return field;
}

/**
 * Reads the field's content. It comes from outside: one that does not fit the entry is not used.
 *
 * @param bytes - length of the entry when unpacked
 * @param compressedBytes - length of the entry's data
 */
export function decodeBlockIndex(data: Buffer, bytes: number, compressedBytes: number): BlockIndex | undefined {
  if (data.length < 8 || data.length % 4 !== 0) return undefined;
  const blockBytes = data.readUInt32LE(0);
  if (blockBytes < MIN_BLOCK_BYTES || blockBytes > MAX_READ_BLOCK_BYTES) return undefined;
  const packedBytes = Array.from({ length: data.length / 4 - 1 }, (_, block) => data.readUInt32LE(4 + 4 * block));
  const total = packedBytes.reduce((sum, length) => sum + length, 0);
  if (packedBytes.length !== Math.ceil(bytes / blockBytes) || total !== compressedBytes) return undefined;
  const longest = blockBytes + MAX_OVERHEAD_BYTES + (blockBytes >> 8);
  return packedBytes.every((length) => length <= longest) ? { blockBytes, packedBytes } : undefined;
}

/** Each participant holds a block in memory. Larger ones occur in files beyond 200 GB only. */
const MAX_READ_BLOCK_BYTES = 16 * MIN_BLOCK_BYTES;
const MAX_OVERHEAD_BYTES = 1024;
