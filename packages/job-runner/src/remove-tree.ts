import { chmod, lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import { isAbsent } from "./system-errors.ts";

/**
 * Removes a file, or a folder with all that is in it; that there is none is fine. Folders that their owner may not write to go, too: caches
 * have them, for example those of Go's modules, and so no ordinary user could remove what is in them.
 */
export async function removeTree(path: string): Promise<void> {
  // Not only after a failure: what `rm` does at the same time elsewhere in the tree goes on after it has failed.
  if (process.geteuid?.() !== 0) await openFolders(path);
  await rm(path, { recursive: true, force: true });
}

/**
 * Lets the owner of a folder, and of all folders below it, do everything there.
 *
 * @param except - paths relative to the folder that stay as they are, with all that is in them
 * @returns whether any was not open
 */
export async function openFolders(top: string, except: readonly string[] = []): Promise<boolean> {
  const closed = new Set(except.map((path) => join(top, path).replace(/\/+$/, "")));
  const waiting = (await isFolder(top)) ? [top] : [];
  let found = false;
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const { mode } = await lstat(path);
    if ((mode & OWNERS) !== OWNERS) {
      await chmod(path, (mode & 0o777) | OWNERS);
      found = true;
    }
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const below = join(path, entry.name);
      if (entry.isDirectory() && !closed.has(below)) waiting.push(below);
    }
  }
  return found;
}

/** All that the owner of a folder may do. */
const OWNERS = 0o700;

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}
