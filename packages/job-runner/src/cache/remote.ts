import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

import {
  CacheStoreError,
  CONTENT_DIGEST,
  bodyOfFile,
  canDelete,
  canPutConditionally,
  downloadToFile,
  retryTransfer,
} from "@fleetfoot/cache-backend";
import type {
  CacheStore,
  DownloadOptions,
  DownloadResult,
  ObjectFacts,
  TransferProgress,
} from "@fleetfoot/cache-backend";

import { forgetArchive } from "./archive-files.ts";
import { removeLeftovers } from "./leftovers.ts";
import { findLocalArchive, makeArchiveDirectory } from "./local-archive.ts";
import type { CacheLocation, RemoteLocation } from "./location.ts";
import { writeMetadata } from "./metadata.ts";
import type { CacheMetadata } from "./metadata.ts";
import { SharedWork } from "./shared-work.ts";
import { recallStored, rememberStored } from "./stored-archive.ts";
import type { ArchiveFacts, StoredArchive } from "./stored-archive.ts";
import { downloadSettings, uploadSettings } from "./transfer-settings.ts";
import type { CacheStageOptions, RemoteCache } from "./types.ts";

export interface FetchResult {
  readonly outcome: "absent" | "up-to-date" | "downloaded";
  /** Length of the archive on this host. */
  readonly bytes: number;
  /** What was downloaded. */
  readonly object?: StoredArchive;
}

/**
 * Brings the archive on this host up to date with the store's: downloads it, unless this host's is not older. Without an
 * object there is no cache, whatever lies on this host. Jobs that want the same archive at the same time share one download.
 *
 * @throws {CacheStoreError} when no try succeeds
 */
export async function fetchArchive(
  options: CacheStageOptions,
  { store }: RemoteCache,
  remote: RemoteLocation,
  location: CacheLocation,
): Promise<FetchResult & { readonly joined: boolean }> {
  // Before another job's download is joined: what is wrong with these is this job's own affair.
  const settings = downloadSettings(options);
  const { result, joined } = await downloadsOf(store).run(location.localPath, options.signal, (signal) =>
    fetchNewer({ ...options, signal }, store, remote, location, { ...settings, signal }),
  );
  return { ...result, joined };
}

/** The downloads of this process; other processes have directories of their own or replace the archive as a whole. */
const downloads = new WeakMap<CacheStore, SharedWork<FetchResult>>();

function downloadsOf(store: CacheStore): SharedWork<FetchResult> {
  const known = downloads.get(store) ?? new SharedWork<FetchResult>();
  downloads.set(store, known);
  return known;
}

async function fetchNewer(
  options: CacheStageOptions,
  store: CacheStore,
  remote: RemoteLocation,
  location: CacheLocation,
  settings: DownloadOptions,
): Promise<FetchResult> {
  const { localPath } = location;
  const local = await findLocalArchive(location);
  const name = await newerObject(options, store, remote);
  await makeArchiveDirectory(localPath);
  await removeLeftovers(options, localPath);
  const stored = local && (await recallStored(localPath, local));
  const unlessVersion = stored?.objectName === name ? stored.version : undefined;
  const onProgress = (progress: TransferProgress): void =>
    options.onTransfer?.({ ...progress, direction: "download", key: location.name.readable });
  const wanted = { ...settings, newerThanMs: local?.mtimeMs, unlessVersion, onProgress };
  const result = await downloadToFile(store, name, localPath, wanted).catch((error: unknown) =>
    withoutDamaged(options, store, name, error),
  );
  if (result.outcome === "absent") return { outcome: "absent", bytes: 0 };
  const { outcome, facts } = result;
  if (outcome === "downloaded") {
    await forgetArchive(localPath);
    await writeMetadata(localPath, facts.metadata);
  }
  if (outcome === "up-to-date") return { outcome, bytes: local?.size ?? facts.bytes };
  return { outcome, bytes: facts.bytes, object: { objectName: name, version: facts.version } };
}

/** An archive that is not what was stored is of no use to anybody, so the next job that saves it must not find it there. */
async function withoutDamaged(
  options: CacheStageOptions,
  store: CacheStore,
  object: string,
  error: unknown,
): Promise<DownloadResult> {
  if (!CacheStoreError.isInstance(error) || error.code !== "digest-mismatch") throw error;
  options.log.warning(`${error.message}; this counts as a miss`);
  await deleteObject(options, store, object);
  return { outcome: "absent" };
}

/**
 * Removes an object that was downloaded whole and is no usable archive, so that the next job that saves it does not find it there. One that
 * has been replaced meanwhile stays. A failure is told to the log.
 */
export async function removeUnusable(
  options: CacheStageOptions,
  { store }: RemoteCache,
  { objectName, version }: StoredArchive,
): Promise<void> {
  try {
    if ((await head(options, store, objectName))?.version === version) await deleteObject(options, store, objectName);
  } catch (error) {
    options.signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    options.log.warning(`The archive that cannot be used stays in ${store.kind}: ${reason}`);
  }
}

async function deleteObject(options: CacheStageOptions, store: CacheStore, object: string): Promise<void> {
  if (!canDelete(store)) return;
  const what = { store: store.kind, operation: "delete", object };
  await retryTransfer(what, (signal) => store.delete(object, { signal }), uploadSettings(options));
}

/**
 * Asks whether the store has the archive of this host, or a newer one.
 *
 * @returns the error when that cannot be found out, for example with credentials that may only write
 */
export async function askIfStored(
  options: CacheStageOptions,
  remoteCache: RemoteCache,
  remote: RemoteLocation,
  archive: ArchiveFacts & { readonly path: string },
): Promise<"stored" | "missing" | CacheStoreError> {
  try {
    const object = await headArchive(options, remoteCache, remote);
    if (object === undefined) return "missing";
    const stored = await recallStored(archive.path, archive);
    if (stored?.objectName === remote.objectName && stored.version === object.version) return "stored";
    // The upload of this one has failed when what is there is from before it was made.
    return object.modifiedAtMs + STORES_TIME_UNIT_MS > archive.mtimeMs ? "stored" : "missing";
  } catch (error) {
    options.signal.throwIfAborted();
    if (CacheStoreError.isInstance(error)) return error;
    throw error;
  }
}

/** Most stores tell times in whole seconds. */
const STORES_TIME_UNIT_MS = 1000;

/**
 * What the store knows of the archive; `undefined` when it has none.
 *
 * @throws {CacheStoreError} when no try succeeds
 */
export async function headArchive(
  options: CacheStageOptions,
  { store }: RemoteCache,
  { objectName }: RemoteLocation,
): Promise<ObjectFacts | undefined> {
  return head(options, store, objectName);
}

/**
 * Uploads an archive. What is sent is one file from start to end, even when another job replaces it meanwhile.
 *
 * @returns false when it may only be the first of its name, and another one came before it, which a store that cannot put on a condition does
 *   not notice
 * @throws {CacheStoreError} when no try succeeds
 */
export async function uploadArchive(
  options: CacheStageOptions,
  { store }: RemoteCache,
  { objectName: object }: RemoteLocation,
  archive: ArchiveToUpload,
): Promise<boolean> {
  const file = await open(archive.path, "r");
  try {
    const { size, mtimeMs } = await file.stat();
    const onProgress = (progress: TransferProgress): void =>
      options.onTransfer?.({ ...progress, direction: "upload", key: archive.key });
    const body = bodyOfFile(file, size);
    const metadata = { ...archive.metadata, [CONTENT_DIGEST]: await digestOf(file, size, options.signal) };
    const put = async (signal: AbortSignal): Promise<ObjectFacts | undefined> => {
      const putOptions = { metadata, signal, onProgress };
      if (!archive.onlyIfAbsent || !canPutConditionally(store)) return store.put(object, body, putOptions);
      return store.putIf(object, body, { absent: true }, putOptions);
    };
    const what = { store: store.kind, operation: "put", object };
    const facts = await retryTransfer(what, put, uploadSettings(options));
    if (facts === undefined) return false;
    await rememberStored(archive.path, { size, mtimeMs }, { objectName: object, version: facts.version });
    return true;
  } finally {
    await file.close();
  }
}

interface ArchiveToUpload {
  readonly key: string;
  readonly path: string;
  readonly metadata: CacheMetadata;
  /** Whether it must not replace another one. */
  readonly onlyIfAbsent: boolean;
}

const digestChunkBytes = 1024 * 1024;

/** Read before the upload, since what is stored with an object is sent ahead of it. */
async function digestOf(file: FileHandle, bytes: number, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(digestChunkBytes);
  for (let position = 0; position < bytes;) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(chunk, 0, chunk.byteLength, position);
    if (bytesRead === 0) break;
    hash.update(chunk.subarray(0, bytesRead));
    position += bytesRead;
  }
  return hash.digest("hex");
}

/** The alternate object counts when it is the only one, or the newer one; when nothing is known, the name itself does. */
async function newerObject(options: CacheStageOptions, store: CacheStore, remote: RemoteLocation): Promise<string> {
  const { objectName, alternateObjectName } = remote;
  if (alternateObjectName === undefined) return objectName;
  const [primary, alternate] = await Promise.allSettled([
    head(options, store, objectName),
    head(options, store, alternateObjectName),
  ]);
  options.signal.throwIfAborted();
  const own = primary.status === "fulfilled" ? primary.value : undefined;
  const other = alternate.status === "fulfilled" ? alternate.value : undefined;
  if (other === undefined) return objectName;
  return own === undefined || other.modifiedAtMs > own.modifiedAtMs ? alternateObjectName : objectName;
}

async function head(options: CacheStageOptions, store: CacheStore, object: string): Promise<ObjectFacts | undefined> {
  const what = { store: store.kind, operation: "head", object };
  return retryTransfer(what, (signal) => store.head(object, { signal }), uploadSettings(options));
}
