import { lstat, mkdir, realpath, rm } from "node:fs/promises";
import { join } from "node:path";

/**
 * Makes a directory below a root of this host, so that no part of its path is a link: what is in the way is removed. What
 * scripts wrote came here as it was, links to anywhere included.
 *
 * @param relative - clean path without `..`; empty is the root itself
 * @returns its absolute path
 */
export async function ensureRealDirectory(root: string, relative: string): Promise<string> {
  await mkdir(root, { recursive: true });
  let place = root;
  for (const part of relative.split("/").filter((name) => name !== "" && name !== ".")) {
    place = join(place, part);
    const facts = await lstatIfThere(place);
    if (facts?.isDirectory() === true) continue;
    if (facts !== undefined) await rm(place, { force: true });
    await mkdir(place);
  }
  return place;
}

/** Whether every part of a path below a root is a real directory, and its last part is there at all. */
export async function isRealPath(root: string, relative: string): Promise<boolean> {
  const parts = relative.split("/").filter((name) => name !== "" && name !== ".");
  let place = root;
  for (const [index, part] of parts.entries()) {
    place = join(place, part);
    const facts = await lstatIfThere(place);
    if (facts === undefined) return false;
    if (index < parts.length - 1 && !facts.isDirectory()) return false;
  }
  return true;
}

/** Removes a link that leads out of a root; the stages of the runner would follow it. */
export async function dropOutwardLink(root: string, relative: string): Promise<void> {
  const place = join(root, relative);
  const facts = await lstatIfThere(place);
  if (facts?.isSymbolicLink() !== true) return;
  const [real, target] = await Promise.all([realpath(root), realpath(place).catch(() => undefined)]);
  if (target === undefined || (target !== real && !target.startsWith(`${real}/`))) await rm(place, { force: true });
}

export async function lstatIfThere(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
