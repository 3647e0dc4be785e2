import { createHash } from "node:crypto";
import { lstat, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import { isAbsent } from "../system-errors.ts";

/** What an archive on this host is called, whatever its format. */
export const ARCHIVE_NAME = "cache.zip";

const METADATA_NAME = "metadata.json";
const STORED_NAME = "manifest.json";
const TREE_MANIFEST = /^tree-[0-9a-f]{16}\.manifest$/;
/** As `@fleetfoot/cache-archive` and `@fleetfoot/cache-backend` name what they write before it is complete. */
const INCOMPLETE =
  /^(?:archive_[0-9a-f-]{36}|tree-[0-9a-f]{16}\.manifest\.[0-9a-f-]{36}|(?:metadata|manifest)\.json\.[0-9a-f-]{36}\.new|cache-.+-\d+-[0-9a-f-]{36}\.part)$/;

/** Where the text pairs of an archive are kept: its key, its platform, its paths. */
export function metadataPath(archivePath: string): string {
  return join(dirname(archivePath), METADATA_NAME);
}

/** Where it is kept which object of a store an archive is. */
export function storedPath(archivePath: string): string {
  return join(dirname(archivePath), STORED_NAME);
}

/** Where it is kept how the files of an archive are in one project directory; jobs that run at the same time have one each. */
export function treeManifestPath(archivePath: string, projectDirectory: string): string {
  const name = createHash("sha256").update(projectDirectory).digest("hex").slice(0, 16);
  return join(dirname(archivePath), `tree-${name}.manifest`);
}

/** What is left of a writer whose process was killed. */
export function isIncomplete(name: string): boolean {
  return INCOMPLETE.test(name);
}

/** What follows an archive to another name. Manifests of trees do not: they know it by its change time, which a new name changes. */
export const FOLLOWING_NAMES: readonly string[] = [METADATA_NAME, STORED_NAME, ARCHIVE_NAME];

/** What tells an archive from every other one that lay or will lie in its place; `undefined` when there is none. */
export async function archiveIdentity(archivePath: string): Promise<string | undefined> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await lstat(archivePath, { bigint: true });
    return `${archivePath} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch {
    // Gone in the meantime: then nothing can be from it.
    return undefined;
  }
}

/** Whether it is known of any project directory how the files of the archive are there. */
export async function hasTreeManifest(archivePath: string): Promise<boolean> {
  return (await namesBeside(archivePath)).some((name) => TREE_MANIFEST.test(name));
}

/**
 * Removes what is known of an archive that has been replaced, or is about to be.
 *
 * @param except - a manifest that is of the new one already
 */
export async function forgetArchive(archivePath: string, except?: string): Promise<void> {
  await removeBeside(archivePath, (name) => name === STORED_NAME || TREE_MANIFEST.test(name), except);
}

/** Removes everything that is kept beside an archive. */
export async function removeCompanions(archivePath: string): Promise<void> {
  await removeBeside(archivePath, (name) => name === METADATA_NAME || name === STORED_NAME || TREE_MANIFEST.test(name));
}

async function removeBeside(archivePath: string, isMeant: (name: string) => boolean, except?: string): Promise<void> {
  for (const name of await namesBeside(archivePath)) {
    const path = join(dirname(archivePath), name);
    if (isMeant(name) && path !== except) await rm(path, { force: true });
  }
}

async function namesBeside(archivePath: string): Promise<readonly string[]> {
  try {
    return await readdir(dirname(archivePath));
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}
