import { createHash } from "node:crypto";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";

import type { ArchiveEntry } from "@fleetfoot/cache-archive";

import { isAbsent } from "./system-errors.ts";

/**
 * What `cache.zip` was made of, kept beside it as a digest. Times alone do not show that a file went away, or came with an
 * old time, as package managers unpack them.
 */
interface Manifest {
  /** Of the archive that the manifest belongs to; another file of that name was made or downloaded by somebody else. */
  readonly archiveBytes: number;
  readonly archiveModifiedAtMs: number;
  readonly digest: string;
  /** The object that a store made of the archive. */
  readonly stored?: StoredArchive;
}

/** An object that is known to be the same as the archive on this host. */
export interface StoredArchive {
  readonly objectName: string;
  readonly version: string;
}

/** Writes the manifest of an archive that was just made. */
export async function writeManifest(archivePath: string, entries: readonly ArchiveEntry[]): Promise<void> {
  const { size, mtimeMs } = await stat(archivePath);
  const manifest: Manifest = {
    archiveBytes: size,
    archiveModifiedAtMs: mtimeMs,
    digest: await digestOfEntries(entries),
  };
  await writeFile(manifestPath(archivePath), JSON.stringify(manifest), { mode: 0o600 });
}

/**
 * Remembers which object an archive became. Its time is later than the archive's, so without this the next restore on this
 * host would download what lies here already.
 *
 * @param archive - the file that was uploaded; another job may have replaced it meanwhile, and its manifest
 */
export async function rememberStored(archivePath: string, archive: ArchiveFacts, stored: StoredArchive): Promise<void> {
  const manifest = await readManifest(archivePath);
  if (manifest === undefined || !belongsTo(manifest, archive)) return;
  await writeFile(manifestPath(archivePath), JSON.stringify({ ...manifest, stored }), { mode: 0o600 });
}

/** The object that an archive became; `undefined` when nothing is known of it. */
export async function recallStored(archivePath: string, archive: ArchiveFacts): Promise<StoredArchive | undefined> {
  const manifest = await readManifest(archivePath);
  return manifest !== undefined && belongsTo(manifest, archive) ? manifest.stored : undefined;
}

/** Removes a manifest, before its archive is replaced by one of which nothing is known. */
export async function removeManifest(archivePath: string): Promise<void> {
  await rm(manifestPath(archivePath), { force: true });
}

/**
 * Whether entries were added, removed or resized, or changed their kind or mode, since the archive was made.
 *
 * @returns `undefined` when nothing is known of the archive
 */
export async function differsFromManifest(
  archivePath: string,
  archive: ArchiveFacts,
  entries: readonly ArchiveEntry[],
): Promise<boolean | undefined> {
  const manifest = await readManifest(archivePath);
  if (manifest === undefined || !belongsTo(manifest, archive)) return undefined;
  return manifest.digest !== (await digestOfEntries(entries));
}

/** The file, as its system tells of it. */
export interface ArchiveFacts {
  readonly size: number;
  readonly mtimeMs: number;
}

function belongsTo(manifest: Partial<Manifest>, { size, mtimeMs }: ArchiveFacts): boolean {
  return manifest.archiveBytes === size && manifest.archiveModifiedAtMs === mtimeMs;
}

async function readManifest(archivePath: string): Promise<Partial<Manifest> | undefined> {
  let text: string;
  try {
    text = await readFile(manifestPath(archivePath), "utf8");
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    // Torn by a crash: then the times decide, as they do without a manifest.
    return undefined;
  }
}

/** @param entries - in byte order of their paths, as they are selected */
async function digestOfEntries(entries: readonly ArchiveEntry[]): Promise<string> {
  const hash = createHash("sha256");
  for (let start = 0; start < entries.length; start += batchLength) {
    // Restored files lack setuid, setgid and sticky, which must not look like a change.
    const lines = entries
      .slice(start, start + batchLength)
      .map(({ path, kind, bytes, mode }) => JSON.stringify([path, kind, bytes, mode & 0o777]));
    hash.update(`${lines.join("\n")}\n`);
    await setImmediate();
  }
  return hash.digest("hex");
}

/** Few enough for the event loop to stay responsive between two batches. */
const batchLength = 4096;

function manifestPath(archivePath: string): string {
  return join(dirname(archivePath), "manifest.json");
}
