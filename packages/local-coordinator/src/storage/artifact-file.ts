import { createHash } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";

/** Bytes that have arrived in full but are not yet an artifact. */
export interface ReceivedFile {
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
  /** Gives the file its place; resolves with its path. */
  keep(name: string): Promise<string>;
  discard(): Promise<void>;
}

/**
 * Writes a stream into a temporary file of a folder.
 *
 * @param isLasting - whether the file is to survive a power cut
 * @returns undefined when it is longer than `maxBytes`; nothing stays on disk then, nor when the stream breaks
 */
export async function receiveFile(
  directory: string,
  temporaryName: string,
  content: AsyncIterable<Uint8Array>,
  maxBytes: number,
  isLasting: boolean,
): Promise<ReceivedFile | undefined> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const temporaryPath = join(directory, temporaryName);
  const hash = createHash("sha256");
  let bytes = 0;
  const file = await open(temporaryPath, "wx", 0o600);
  const discard = (): Promise<void> => rm(temporaryPath, { force: true });
  try {
    for await (const chunk of content) {
      if (bytes + chunk.length > maxBytes) {
        await discard();
        return undefined;
      }
      hash.update(chunk);
      for (let written = 0; written < chunk.length;) {
        written += (await file.write(chunk, written, chunk.length - written)).bytesWritten;
      }
      bytes += chunk.length;
    }
    if (isLasting) await file.datasync();
  } catch (error) {
    await discard();
    throw error;
  } finally {
    await file.close();
  }
  return {
    bytes,
    sha256: hash.digest("hex"),
    keep: async (name) => {
      const path = join(directory, name);
      await rename(temporaryPath, path);
      return path;
    },
    discard,
  };
}
