import { open } from "node:fs/promises";
import { toArchiveError } from "./errors.ts";

/** What the first bytes of a file say; `zip` stands for everything else, so damaged files are found by reading them. */
export type SniffedFormat = "zip" | "tarzstd" | "gzip";

/**
 * Tells an archive's format by its first four bytes; its name says nothing.
 *
 * @throws {CacheArchiveError} `io`: the file cannot be read
 * @see RFC 8878 3.1.1, RFC 1952 2.3.1 (cache document 3.5)
 */
export async function sniffFormat(path: string): Promise<SniffedFormat> {
  try {
    await using file = await open(path, "r");
    const start = Buffer.alloc(4);
    const { bytesRead } = await file.read(start, 0, 4, 0);
    return formatOf(start.subarray(0, bytesRead));
  } catch (error) {
    throw toArchiveError(error, `read ${path}`);
  }
}

function formatOf(start: Buffer): SniffedFormat {
  if (start.length === 4 && start.readUInt32LE(0) === 0xfd2fb528) return "tarzstd";
  if (start[0] === 0x1f && start[1] === 0x8b) return "gzip";
  return "zip";
}
