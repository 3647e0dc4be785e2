import { realpath, rm } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";

import type { JobCache } from "@fleetfoot/coordinator-client";

import { isAbsent } from "../system-errors.ts";

/**
 * Removes what a failed restore may have left behind: every item of the entry's `paths` as it is written, patterns not
 * resolved. Nothing outside the project is touched, also not through links on the way.
 */
export async function removeLiteralPaths(projectDirectory: string, { paths = [] }: JobCache): Promise<void> {
  const project = await realpath(projectDirectory);
  for (const item of paths) {
    const inside = relative(projectDirectory, resolve(projectDirectory, item));
    if (!isBelow(inside)) continue;
    const parent = await realParent(join(project, inside));
    if (parent === project || (parent !== undefined && isBelow(relative(project, parent)))) {
      await rm(join(project, inside), { recursive: true, force: true });
    }
  }
}

function isBelow(path: string): boolean {
  // On a host with drives a path on another one stays absolute.
  return path !== "" && path !== ".." && !path.startsWith(`..${sep}`) && !isAbsolute(path);
}

async function realParent(path: string): Promise<string | undefined> {
  try {
    return await realpath(dirname(path));
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
