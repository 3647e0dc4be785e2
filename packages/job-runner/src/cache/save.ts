import { parseArchiveFormat, parseCompressionLevel, parseConcurrency, printablePath } from "@fleetfoot/cache-archive";
import type { ArchiveEntry, ArchiveSummary, CreateArchiveOptions, TreeState } from "@fleetfoot/cache-archive";
import { resolveCacheKeys } from "@fleetfoot/cache-key";
import type { JobCache } from "@fleetfoot/coordinator-client";

import { forgetArchive, hasTreeManifest, treeManifestPath } from "./archive-files.ts";
import { realArchiver, warnOfManifest } from "./archiver.ts";
import { fitsOutcome, hasFiles, isWhole, policyOf } from "./entries.ts";
import type { CachePolicy } from "./entries.ts";
import { failureText } from "./failure-text.ts";
import { formatBytes } from "./format-bytes.ts";
import { removeLeftovers } from "./leftovers.ts";
import { findLocalArchive, makeArchiveDirectory } from "./local-archive.ts";
import type { LocalArchive } from "./local-archive.ts";
import { locate } from "./location.ts";
import type { CacheLocation } from "./location.ts";
import { describeArchive, forgetMetadata, readMetadata, writeMetadata } from "./metadata.ts";
import type { CacheMetadata } from "./metadata.ts";
import { ownPlaces } from "./own-places.ts";
import { askIfStored, headArchive } from "./remote-objects.ts";
import { uploadArchive } from "./upload-archive.ts";
import { uploadLimitBytes } from "./transfer-settings.ts";
import type { CacheStageOptions, SaveCachesOptions } from "./types.ts";

/**
 * Saves the caches of a job, one entry after the other: makes an archive where something changed, and uploads it where there
 * is a store. Whatever fails is told to the log; the archive that was there stays, and the next entry gets its turn.
 *
 * @throws {JobConfigurationError} an entry has a policy that does not exist
 * @throws the signal's reason when it aborts
 */
export async function saveCaches(options: SaveCachesOptions): Promise<void> {
  for (const [index, entry] of options.entries.entries()) {
    options.signal.throwIfAborted();
    if (hasFiles(entry) && fitsOutcome(entry, options.succeeded)) await saveEntry(options, entry, index);
  }
}

async function saveEntry(options: CacheStageOptions, entry: JobCache, index: number): Promise<void> {
  const { job, lookup, hashKeys, log, signal, events = () => {} } = options;
  // Only the key itself is saved to; the other names are none of this stage's business.
  const { primary, warnings } = resolveCacheKeys({
    key: entry.key,
    job,
    lookup,
    lookupContent: () => undefined,
    hashKeys,
  });
  for (const warning of warnings) log.warning(`Cache: ${warning}`);
  if (primary === undefined) {
    events({ kind: "failed", entry: index, key: entry.key });
    return;
  }
  const key = primary.readable;
  const policy = policyOf(entry, lookup);
  if (!policy.saves) {
    log.plain(`Not saving cache ${key}: its policy only restores`);
    return;
  }
  const location = locate(options, primary);
  try {
    if (policy.onlyIfAbsent && (await isThere(options, location))) {
      log.plain(`Not saving cache ${key}: there is one, and its policy only saves the first`);
      return;
    }
    const saved = await save(options, entry, location, policy);
    if (saved !== undefined) events({ ...saved, entry: index, key });
  } catch (error) {
    signal.throwIfAborted();
    log.warning(`Cache ${key} could not be ${failureText(error, "uploaded", "saved in", location.localPath)}`);
    events({ kind: "failed", entry: index, key });
  }
}

interface Saved {
  readonly kind: "saved" | "unchanged";
  readonly bytes: number;
}

/** @returns `undefined` when there was nothing to save */
async function save(
  options: CacheStageOptions,
  entry: JobCache,
  location: CacheLocation,
  policy: CachePolicy,
): Promise<Saved | undefined> {
  const { lookup, log, projectDirectory: root, environment, signal, archiver = realArchiver } = options;
  const key = location.name.readable;
  const local = await findLocalArchive(location);
  const { paths = [], untracked = false } = entry;
  const own = await ownPlaces(entry, options, location);
  const exclude = [...excludedPaths(lookup), ...own.exclude];
  let isChanged = false;
  if (local !== undefined && exclude.length === 0 && isWhole(entry)) {
    // One look at each file is enough where nothing has to be chosen.
    const { state } = await compare(options, location, { paths });
    if (state === "unchanged") return await keep(options, entry, location, local, policy);
    isChanged = state === "changed";
  }
  const selection = archiver.openSelection({ root, paths, untracked, exclude, environment, signal });
  const warn = (): void => {
    for (const warning of selection.warnings) log.warning(warning);
    for (const path of own.leftOut(selection.reports))
      log.plain(`Left out of cache ${key}, since caches and what the runner keeps are there: ${printablePath(path)}`);
  };
  if (!(await selection.hasEntries())) {
    warn();
    log.plain(`Nothing to save for cache ${key}`);
    return undefined;
  }
  const metadata = describeArchive(entry, key, options);
  let saved: ArchiveSummary;
  if (local === undefined || isChanged) {
    try {
      saved = await archive(options, location.localPath, selection, metadata);
    } finally {
      warn();
    }
  } else {
    const entries: ArchiveEntry[] = [];
    for await (const batch of selection) entries.push(...batch);
    warn();
    if (!(await hasChanged(options, location, local, entries))) {
      return await keep(options, entry, location, local, policy);
    }
    saved = await archive(options, location.localPath, entries, metadata);
  }
  log.info(`Saved cache ${key}: ${saved.entries} entries in ${formatBytes(saved.bytes)}`);
  await upload(options, location, metadata, saved.bytes, policy);
  return { kind: "saved", bytes: saved.bytes };
}

/** The archive stays; the store gets it if it has none. */
async function keep(
  options: CacheStageOptions,
  entry: JobCache,
  location: CacheLocation,
  local: LocalArchive,
  policy: CachePolicy,
): Promise<Saved> {
  const metadata = await readMetadata(location.localPath);
  const described = { ...describeArchive(entry, location.name.readable, options), ...metadata };
  await uploadWhereMissing(options, location, described, local, policy);
  return { kind: "unchanged", bytes: local.size };
}

/** Whether there is an archive of that key already. What cannot be found out is an error: an archive would be made for nothing. */
async function isThere(options: CacheStageOptions, location: CacheLocation): Promise<boolean> {
  const { store } = options;
  if (store === undefined || location.remote === undefined) return (await findLocalArchive(location)) !== undefined;
  return (await headArchive(options, store, location.remote)) !== undefined;
}

/** What the job leaves out of its caches: patterns in `CACHE_EXCLUDE`, one a line. The protocol has no place of its own for them. */
function excludedPaths(lookup: CacheStageOptions["lookup"]): readonly string[] {
  return (lookup("CACHE_EXCLUDE") ?? "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** A tar archive keeps times to the nearest second, so what was restored from it may seem up to half a second too new. */
function isNewer(mtimeMs: number, archiveMtimeMs: number): boolean {
  const isRounded = mtimeMs % 1000 === 0 && mtimeMs - archiveMtimeMs <= 500;
  return mtimeMs > archiveMtimeMs && !isRounded;
}

/** Of an archive that this runner neither made nor restored only the times can tell. */
async function hasChanged(
  options: CacheStageOptions,
  location: CacheLocation,
  local: LocalArchive,
  entries: readonly ArchiveEntry[],
): Promise<boolean> {
  const { state } = await compare(options, location, { entries });
  if (state !== "unknown") return state === "changed";
  if (entries.some(({ mtimeMs }) => isNewer(mtimeMs, local.mtimeMs))) return true;
  // What it knows of the archive is about another project directory: files may be missing here that are there.
  return hasTreeManifest(location.localPath);
}

async function compare(
  { projectDirectory: root, signal, archiver = realArchiver }: CacheStageOptions,
  { localPath: archivePath }: CacheLocation,
  content: { readonly paths: readonly string[] } | { readonly entries: readonly ArchiveEntry[] },
): Promise<TreeState> {
  const manifestPath = treeManifestPath(archivePath, root);
  return await archiver.compareTree({ root, archivePath, manifestPath, signal, ...content });
}

const FORMAT = "CACHE_COMPRESSION_FORMAT";
const LEVEL = "CACHE_COMPRESSION_LEVEL";
const CONCURRENCY = "FASTZIP_ARCHIVER_CONCURRENCY";

async function archive(
  options: CacheStageOptions,
  archivePath: string,
  entries: CreateArchiveOptions["entries"],
  metadata: CacheMetadata,
): Promise<ArchiveSummary> {
  const { projectDirectory: root, lookup, log, signal, archiver = realArchiver } = options;
  const format = parseArchiveFormat(lookup(FORMAT), FORMAT);
  const level = parseCompressionLevel(lookup(LEVEL), LEVEL);
  for (const { warning } of [format, level]) if (warning !== undefined) log.warning(warning);
  const concurrency = parseConcurrency(lookup(CONCURRENCY), CONCURRENCY);
  await makeArchiveDirectory(archivePath);
  await removeLeftovers(options, archivePath);
  const chosen = concurrency === undefined ? {} : { concurrency };
  const manifestPath = treeManifestPath(archivePath, root);
  const beforeReplace = (): Promise<void> => forgetMetadata(archivePath);
  const style = { format: format.value, level: level.value, ...chosen };
  const order = { root, entries, archivePath, manifestPath, beforeReplace, signal, ...style };
  const summary = await archiver.createArchive(order);
  warnOfManifest(log, summary);
  await forgetArchive(archivePath, manifestPath);
  await writeMetadata(archivePath, metadata);
  return summary;
}

async function uploadWhereMissing(
  options: CacheStageOptions,
  location: CacheLocation,
  metadata: CacheMetadata,
  local: LocalArchive,
  policy: CachePolicy,
): Promise<void> {
  const { store, log } = options;
  const key = location.name.readable;
  if (store === undefined || location.remote === undefined) {
    log.plain(`Cache ${key} is unchanged`);
    return;
  }
  const { kind } = store.store;
  const answer = await askIfStored(options, store, location.remote, { ...local, path: location.localPath });
  if (answer === "missing") {
    log.plain(`Cache ${key} is unchanged, but not in ${kind} yet`);
    await upload(options, location, metadata, local.size, policy);
  } else if (answer === "stored") {
    log.plain(`Cache ${key} is unchanged and already uploaded`);
  } else {
    // An archive that did not change is not worth an upload that may be needless every time.
    const said = `Cache ${key} is unchanged; whether ${kind} has it could not be found out: ${answer.message}`;
    // Credentials that may only write are an operator's choice.
    if (answer.code === "access-denied") log.plain(said);
    else log.warning(said);
  }
}

async function upload(
  options: CacheStageOptions,
  location: CacheLocation,
  metadata: CacheMetadata,
  bytes: number,
  { onlyIfAbsent }: CachePolicy,
): Promise<void> {
  const { store, log } = options;
  const key = location.name.readable;
  if (store === undefined || location.remote === undefined) return;
  const limit = uploadLimitBytes(options);
  if (bytes > limit) {
    log.warning(`Cache ${key} stays on this host: ${bytes} bytes are more than the ${limit} that may be uploaded`);
    return;
  }
  const archive = { key, path: location.localPath, metadata, onlyIfAbsent };
  if (!(await uploadArchive(options, store, location.remote, archive))) {
    log.plain(`Not uploading cache ${key}: another job was first, and its policy only saves the first`);
    return;
  }
  log.plain(`Uploaded cache ${key} to ${store.store.kind}: ${formatBytes(bytes)}`);
}
