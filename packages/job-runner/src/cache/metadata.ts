import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";

import type { JobCache } from "@fleetfoot/coordinator-client";

import { metadataPath } from "./archive-files.ts";
import { readPlainFile, replacePlainFile } from "../plain-files.ts";
import type { CacheStageOptions } from "./types.ts";

/** Text pairs that belong to an archive, on disk and in a store alike. */
export type CacheMetadata = Readonly<Record<string, string>>;

/** Describes an archive that this host makes: its key, its platform, and which list of paths it is for. */
export function describeArchive(entry: JobCache, key: string, { platform }: CacheStageOptions): CacheMetadata {
  return {
    arch: platform.arch,
    // Stores keep such pairs in headers, which take no control characters.
    cachekey: key.toWellFormed().replaceAll(/\p{Cc}/gu, " "),
    os: platform.os,
    paths: digestOfPaths(entry),
  };
}

/** Digests what an entry declares, so that another entry under the same key can be told apart. Order does not matter. */
export function digestOfPaths({ paths = [], untracked = false }: JobCache): string {
  const declared = { paths: [...new Set(paths)].sort(), untracked };
  return createHash("sha256").update(JSON.stringify(declared)).digest("hex");
}

/** Writes `metadata.json` beside an archive. */
export async function writeMetadata(archivePath: string, metadata: CacheMetadata): Promise<void> {
  await replacePlainFile(metadataPath(archivePath), formatMetadata(metadata), 0o640);
}

/**
 * Removes `metadata.json`. To be done before another archive takes the place of the one that it is about: without it an archive speaks for itself,
 * with that of another one it would be refused, or pass for what it is not.
 */
export async function forgetMetadata(archivePath: string): Promise<void> {
  await rm(metadataPath(archivePath), { force: true });
}

/** Reads `metadata.json` beside an archive; empty when there is none, or none that can be understood. */
export async function readMetadata(archivePath: string): Promise<CacheMetadata> {
  const text = await readPlainFile(metadataPath(archivePath));
  return text === undefined ? {} : parseMetadata(text);
}

/** Whether anything is known of an archive, be it that nothing is to be said of it. */
export async function hasMetadata(archivePath: string): Promise<boolean> {
  return (await readPlainFile(metadataPath(archivePath))) !== undefined;
}

/** One line with sorted names, escaped as Go does it, since both runners may share a directory. */
export function formatMetadata(metadata: CacheMetadata): string {
  const sorted = Object.fromEntries(Object.entries(metadata).sort(([left], [right]) => (left < right ? -1 : 1)));
  return JSON.stringify(sorted).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function parseMetadata(text: string): CacheMetadata {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // A torn or foreign file says nothing about the archive, which speaks for itself.
    return {};
  }
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === "string"),
  );
}
