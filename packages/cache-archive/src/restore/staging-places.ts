import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { readdir } from "node:fs/promises";

import { pathFromBytes, pathToBytes, toFileSystemPath } from "../path-bytes.ts";
import { STAGING_PREFIX } from "./staging-name.ts";

/** Where staging folders of a root may lie, the better place first. */
export function stagingPlaces(root: string): [beside: string, inside: string] {
  return [root.slice(0, Math.max(root.lastIndexOf("/"), 0)) || "/", root];
}

/** Staging folders of a root, or what somebody has put in their place; absolute paths. */
export async function stagingFolders(root: string): Promise<readonly string[]> {
  const folders: string[] = [];
  for (const place of stagingPlaces(root)) {
    for (const name of await namesIn(place)) {
      if (name.startsWith(stagingPrefix(root))) folders.push(`${place}/${name}`);
    }
  }
  return folders;
}

/** Tells roots apart that lie side by side. */
export function stagingPrefix(root: string): string {
  return `${STAGING_PREFIX}${createHash("sha256").update(pathToBytes(root)).digest("hex").slice(0, 16)}-`;
}

/** The root as staging folders know it. */
export function realPathOf(path: string): string {
  return pathFromBytes(realpathSync(toFileSystemPath(path), { encoding: "buffer" }));
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(toFileSystemPath(folder));
  } catch {
    // It cannot be read, so nothing of ours can be in it either.
    return [];
  }
}
