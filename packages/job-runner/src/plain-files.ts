import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { open, rename, rm, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** What a runner keeps for itself is far below this. */
const MAX_RECORD_BYTES = 1024 * 1024;

/**
 * Opens a file to read it, where jobs can write. A link is not followed, since it may lead to what only the runner may read, and the writer of a
 * pipe is not waited for.
 *
 * @returns `undefined` when there is no file, or anything else
 */
export async function openPlainFile(path: string | Buffer): Promise<FileHandle | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (error instanceof Error && "code" in error && NO_FILE.has(error.code)) return undefined;
    throw error;
  }
  try {
    if ((await file.stat()).isFile()) return file;
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
}

/**
 * Reads a text where jobs can write.
 *
 * @returns `undefined` when there is no file, or anything else, or one that is longer than `maxBytes`
 */
export async function readPlainFile(path: string, maxBytes: number = MAX_RECORD_BYTES): Promise<string | undefined> {
  const file = await openPlainFile(path);
  if (file === undefined) return undefined;
  try {
    const { size } = await file.stat();
    if (size > maxBytes) return undefined;
    // A writer may be at it: no more than what was there is read.
    const content = Buffer.alloc(size);
    let filled = 0;
    for (let bytes = -1; filled < content.length && bytes !== 0; filled += bytes) {
      bytes = (await file.read(content, filled, content.length - filled, filled)).bytesRead;
    }
    return content.toString("utf8", 0, filled);
  } finally {
    await file.close();
  }
}

/** How the system names a link, a socket, and a device without driver in the place of a file. */
const NO_FILE: ReadonlySet<unknown> = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENXIO", "ENODEV"]);

/**
 * Puts a text in place of the file of that name, where jobs can write: whoever reads it sees the old one or the new one, and what a link leads to
 * is not written to.
 */
export async function replacePlainFile(path: string, text: string, mode: number = 0o600): Promise<void> {
  const fresh = `${path}.${randomUUID()}.new`;
  try {
    await writeFile(fresh, text, { mode, flag: "wx" });
    await rename(fresh, path);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}
