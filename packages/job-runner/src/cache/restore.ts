import { rm } from "node:fs/promises";
import { CacheArchiveError, parseConcurrency } from "@fleetfoot/cache-archive";
import type { CacheArchiveErrorCode, RestoreSummary } from "@fleetfoot/cache-archive";
import { resolveCacheKeys } from "@fleetfoot/cache-key";
import type { JobCache } from "@fleetfoot/coordinator-client";

import { parseBoolean } from "../variables/settings.ts";
import { archiveIdentity, removeCompanions, treeManifestPath } from "./archive-files.ts";
import { realArchiver, warnOfManifest, warnOfStaging } from "./archiver.ts";
import { removeLiteralPaths } from "./clean-up-failed.ts";
import { hasFiles, policyOf } from "./entries.ts";
import { failureText } from "./failure-text.ts";
import { formatBytes } from "./format-bytes.ts";
import { findLocalArchive } from "./local-archive.ts";
import { locate } from "./location.ts";
import type { CacheLocation } from "./location.ts";
import { digestOfPaths, readMetadata } from "./metadata.ts";
import type { CacheMetadata } from "./metadata.ts";
import { fetchArchive } from "./fetch-archive.ts";
import { removeUnusable } from "./remove-unusable.ts";
import type { StoredArchive } from "./stored-archive.ts";
import type { CacheStageOptions } from "./types.ts";

/**
 * Restores the caches of a job, one entry after the other. Of each entry's keys the first one that has a usable archive is
 * taken; that there is none is fine. Whatever fails is told to the log, and the job goes on without that cache.
 *
 * @throws {JobConfigurationError} an entry has a policy that does not exist
 * @throws the signal's reason when it aborts
 */
export async function restoreCaches(options: CacheStageOptions): Promise<void> {
  const restored: { readonly entry: JobCache; readonly archivePath: string }[] = [];
  for (const [index, entry] of options.entries.entries()) {
    options.signal.throwIfAborted();
    const archivePath = hasFiles(entry) ? await restoreEntry(options, entry, index) : undefined;
    if (archivePath === undefined) await options.keptTrees?.remove(entry);
    else restored.push({ entry, archivePath });
  }
  await options.keptTrees?.remember(restored);
}

/** @returns path of the archive that was restored, or `undefined` when there was none */
async function restoreEntry(options: CacheStageOptions, entry: JobCache, index: number): Promise<string | undefined> {
  const { job, lookup, lookupContent, hashKeys, log, events = () => {} } = options;
  const { key, fallback_keys: fallbackKeys } = entry;
  const resolved = resolveCacheKeys({ key, fallbackKeys, job, lookup, lookupContent, hashKeys });
  const readable = resolved.primary?.readable ?? key;
  for (const warning of resolved.warnings) log.warning(`Cache: ${warning}`);
  if (!policyOf(entry, lookup).restores) {
    log.plain(`Not restoring cache ${readable}: its policy only saves`);
    return undefined;
  }

  const names = resolved.primary === undefined ? resolved.fallbacks : [resolved.primary, ...resolved.fallbacks];
  let hasFailed = false;
  for (const name of names) {
    const location = locate(options, name);
    const outcome = await tryName(options, entry, location);
    if (typeof outcome === "number") {
      events({ kind: "hit", entry: index, key: name.readable, bytes: outcome });
      return location.localPath;
    }
    hasFailed ||= outcome === "failed";
  }
  const tried = `${readable}${names.length > 1 ? ` or its ${names.length - 1} fallback keys` : ""}`;
  log.plain(`No ${hasFailed ? "usable " : ""}cache for ${tried}, going on without`);
  events({ kind: "miss", entry: index, key: readable, ...(hasFailed ? { hasFailed } : {}) });
  return undefined;
}

/** @returns the length of the archive, or why it was not restored */
async function tryName(
  options: CacheStageOptions,
  entry: JobCache,
  location: CacheLocation,
): Promise<number | "absent" | "failed"> {
  const { log, signal, archiver = realArchiver } = options;
  const key = location.name.readable;
  try {
    const found = await obtainArchive(options, location);
    if (found === undefined) {
      log.plain(`Cache ${key} not found`);
      return "absent";
    }
    const metadata = await readMetadata(location.localPath);
    if (!acceptsPlatform(options, key, metadata)) return "absent";
    if (await options.keptTrees?.isRestored(entry, location.localPath, { signal, archiver })) {
      log.info(`Restored cache ${key}: the files of the job before are unchanged`);
      return found.bytes;
    }
    // What is left of another archive must not pass for files of this one.
    if ((await options.keptTrees?.remove(entry)) === false) return "failed";
    const { entries, wasInPlace } = await extract(options, location, found.object);
    const what = `${entries} entries ${wasInPlace ? "were there, unchanged, as in" : "from"}`;
    log.info(`Restored cache ${key}: ${what} ${formatBytes(found.bytes)}, ${found.from}`);
    await tellOtherWriter(options, entry, key, metadata);
    return found.bytes;
  } catch (error) {
    signal.throwIfAborted();
    log.warning(`Cache ${key} could not be ${failureText(error, "downloaded", "restored from", location.localPath)}`);
    await cleanUp(options, entry);
    return "failed";
  }
}

interface Obtained {
  readonly bytes: number;
  /** For the log. */
  readonly from: string;
  /** What was downloaded for this job. */
  readonly object?: StoredArchive | undefined;
}

async function obtainArchive(options: CacheStageOptions, location: CacheLocation): Promise<Obtained | undefined> {
  const { store } = options;
  if (store === undefined || location.remote === undefined) {
    const local = await findLocalArchive(location);
    return local && { bytes: local.size, from: "kept on this host" };
  }
  const { outcome, bytes, object, joined } = await fetchArchive(options, store, location.remote, location);
  if (outcome === "absent") return undefined;
  if (outcome === "up-to-date") return { bytes, from: "still up to date on this host" };
  return { bytes, object, from: `downloaded from ${store.store.kind}${joined ? " together with another job" : ""}` };
}

/** An archive without a record of its platform is taken as it is. */
function acceptsPlatform(options: CacheStageOptions, key: string, { os, arch }: CacheMetadata): boolean {
  const { platform, foreignArchitecture = "warn", log } = options;
  if (os === undefined || arch === undefined || (os === platform.os && arch === platform.arch)) return true;
  const both = `was made on ${os}/${arch}, and this is ${platform.os}/${platform.arch}`;
  log.warning(`Cache ${key} ${both}${foreignArchitecture === "miss" ? "; it is not used" : ""}`);
  return foreignArchitecture === "warn";
}

const CONCURRENCY = "FASTZIP_EXTRACTOR_CONCURRENCY";

/** All or nothing, also when the process dies: the next job on the host completes what was begun. */
async function extract(
  options: CacheStageOptions,
  { localPath }: CacheLocation,
  object: StoredArchive | undefined,
): Promise<RestoreSummary> {
  const { projectDirectory: root, lookup, signal, log, archiver = realArchiver } = options;
  const concurrency = parseConcurrency(lookup(CONCURRENCY), CONCURRENCY);
  const opened = await archiveIdentity(localPath);
  try {
    const chosen = concurrency === undefined ? {} : { concurrency };
    const manifestPath = treeManifestPath(localPath, root);
    const summary = await archiver.extractArchive({ archivePath: localPath, root, manifestPath, signal, ...chosen });
    warnOfManifest(log, summary);
    warnOfStaging(log, summary);
    return summary;
  } catch (error) {
    const code = CacheArchiveError.isInstance(error) ? error.code : undefined;
    if (code !== undefined && (damages.has(code) || strangeFormats.has(code))) {
      await removeUnlessReplaced(localPath, opened);
    }
    if (code !== undefined && damages.has(code) && object !== undefined && options.store !== undefined) {
      await removeUnusable(options, options.store.store, object);
    }
    throw error;
  }
}

/** An unusable archive would look newer than every file, so the next save would keep it. One that another job put in its place stays. */
async function removeUnlessReplaced(archivePath: string, identity: string | undefined): Promise<void> {
  if (identity === undefined || (await archiveIdentity(archivePath)) !== identity) return;
  await rm(archivePath, { force: true });
  await removeCompanions(archivePath);
}

/** Tells when what is missing is missing because another entry with the same key saved last. */
async function tellOtherWriter(
  options: CacheStageOptions,
  entry: JobCache,
  key: string,
  metadata: CacheMetadata,
): Promise<void> {
  if (metadata["paths"] === undefined || metadata["paths"] === digestOfPaths(entry)) return;
  const { projectDirectory: root, environment, signal, log, archiver = realArchiver } = options;
  const { reports } = await archiver.selectFiles({ root, paths: entry.paths ?? [], environment, signal });
  const missing = reports.filter(({ kind, count }) => kind === "path" && count === 0).map(({ item }) => item);
  if (missing.length === 0) return;
  log.warning(`Cache ${key} was saved by another entry with the same key and has nothing for ${missing.join(", ")}`);
}

/** Only on demand: a job may have files of its own at these paths. */
async function cleanUp({ lookup, projectDirectory, log }: CacheStageOptions, entry: JobCache): Promise<void> {
  if (parseBoolean(lookup("FF_CLEAN_UP_FAILED_CACHE_EXTRACT") ?? "") !== true) return;
  try {
    await removeLiteralPaths(projectDirectory, entry);
  } catch (error) {
    log.warning(`What the cache left behind could not be removed: ${describe(error)}`);
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Failures of archives that are of no use to anybody; a fresh one would not have them. */
const damages: ReadonlySet<CacheArchiveErrorCode> = new Set([
  "checksum",
  "duplicate-name",
  "header-mismatch",
  "malformed",
  "size-mismatch",
  "truncated",
]);

/** Failures that a fresh archive would not have either, but that a runner of another kind may read. */
const strangeFormats: ReadonlySet<CacheArchiveErrorCode> = new Set([
  "encrypted",
  "unsupported-format",
  "unsupported-method",
]);
