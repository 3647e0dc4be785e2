import { randomUUID } from "node:crypto";
import { mkdir, open, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";

/**
 * Puts a script where a shell can read it from its standard input: a file that has lost its name before anyone else could
 * open it.
 *
 * Not a pipe: a shell must not take a byte from a pipe that its commands may want, so bash reads pipes byte by byte. The
 * exports of an ordinary job cost it more time that way than its own start.
 *
 * @returns the file, at its first byte; the caller closes it
 */
export async function openScript(script: string, directory: string): Promise<FileHandle> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, `.script-${randomUUID()}`);
  const file = await open(path, "wx+", 0o600);
  try {
    await unlink(path);
    // A positioned write leaves the offset, which the shell inherits, at 0.
    await writeAt(file, Buffer.from(script, "utf8"));
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function writeAt(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let offset = 0; offset < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, offset, bytes.length - offset, offset);
    offset += bytesWritten;
  }
}
