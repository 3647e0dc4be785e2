import { lstat, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import type { JobCache } from "@fleetfoot/coordinator-client";

import { isWhole } from "./entries.ts";
import { isAbsent } from "./system-errors.ts";

/**
 * Restores an archive beside the project and moves what came of it to its places, so that what dies or fails half-way leaves nothing in
 * the project that a later job could trust. Where something is in the way, the archive is restored over it.
 *
 * @param places.temporaryDirectory - absolute, on the file system of the project, and removed before the next job
 * @param extract - restores the archive below an absolute path
 */
export async function restoreWhole<T>(
  entry: JobCache,
  places: { readonly projectDirectory: string; readonly temporaryDirectory: string },
  extract: (root: string) => Promise<T>,
): Promise<T> {
  const { projectDirectory: project, temporaryDirectory } = places;
  if (!isWhole(entry) || !(await areFree(project, entry.paths ?? []))) return extract(project);
  const beside = await mkdtemp(join(temporaryDirectory, "restoring-"));
  try {
    const result = await extract(beside);
    const names = await readdir(beside);
    // An archive that another entry saved may hold more than this one asks for.
    if (!(await areFree(project, names))) return await extract(project);
    for (const name of names) await rename(join(beside, name), join(project, name));
    return result;
  } finally {
    await rm(beside, { recursive: true, force: true });
  }
}

async function areFree(project: string, paths: readonly string[]): Promise<boolean> {
  for (const path of paths) if (await isThere(join(project, path.replace(/\/+$/, "")))) return false;
  return true;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}
