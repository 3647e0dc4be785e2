import type { ArtifactFile } from "../client.ts";

/** Writes a stream into a file from its start; what was in it is gone. */
export async function writeStream(file: ArtifactFile, body: ReadableStream<Uint8Array>): Promise<void> {
  await file.truncate(0);
  let position = 0;
  for await (const chunk of body) position = await writeAll(file, chunk, position);
}

/** @returns the position after the last byte */
export async function writeAll(file: ArtifactFile, bytes: Uint8Array, position: number): Promise<number> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
  return position + written;
}
