import { chmod, lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

/**
 * Removes a file, or a folder with all that is in it; that there is none is fine. Folders that their owner may not write to go, too: caches
 * have them, for example those of Go's modules, and so no ordinary user could remove what is in them.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (!isRefused(error)) throw error;
    await openFolders(path);
    await rm(path, { recursive: true, force: true });
  }
}

async function openFolders(top: string): Promise<void> {
  const waiting = [top];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const { mode } = await lstat(path);
    if ((mode & OWNERS) !== OWNERS) await chmod(path, (mode & 0o777) | OWNERS);
    for (const entry of await readdir(path, { withFileTypes: true })) {
      if (entry.isDirectory()) waiting.push(join(path, entry.name));
    }
  }
}

/** All that the owner of a folder may do. */
const OWNERS = 0o700;

function isRefused(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EACCES" || error.code === "EPERM");
}
