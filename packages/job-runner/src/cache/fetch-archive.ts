import { CacheStoreError, downloadToFile } from "@fleetfoot/cache-backend";
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
import type { LocalArchive } from "./local-archive.ts";
import type { CacheLocation, RemoteLocation } from "./location.ts";
import { forgetMetadata, hasMetadata, writeMetadata } from "./metadata.ts";
import { headObject } from "./remote-objects.ts";
import { removeUnusable } from "./remove-unusable.ts";
import { SharedWork } from "./shared-work.ts";
import { recallStored } from "./stored-archive.ts";
import type { StoredArchive } from "./stored-archive.ts";
import { partSettings, trySettings } from "./transfer-settings.ts";
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
  const { log, signal, onTransfer } = options;
  const key = location.name.readable;
  // Before another job's download is joined: what is wrong with these is this job's own affair.
  const settings = { ...trySettings(options), ...partSettings(options) };
  const { result, joined } = await downloadsOf(store).run(location.localPath, {
    signal,
    start: (stop, onProgress) => {
      const own = { ...options, signal: stop };
      return fetchNewer(own, store, remote, location, { ...settings, signal: stop, onProgress });
    },
    onJoin: () => log.plain(`Waiting for the download of cache ${key} by another job`),
    onProgress: (progress) => onTransfer?.({ ...progress, direction: "download", key }),
  });
  return { ...result, joined };
}

type Downloads = SharedWork<FetchResult, TransferProgress>;

/** The downloads of this process; other processes have directories of their own or replace the archive as a whole. */
const downloads = new WeakMap<CacheStore, Downloads>();

function downloadsOf(store: CacheStore): Downloads {
  const known = downloads.get(store) ?? new SharedWork<FetchResult, TransferProgress>();
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
  const beforeReplace = (): Promise<void> => forgetMetadata(localPath);
  const wanted = { ...settings, newerThanMs: local?.mtimeMs, unlessVersion, beforeReplace };
  const result = await downloadToFile(store, name, localPath, wanted).catch((error: unknown) =>
    withoutDamaged(options, store, name, error),
  );
  if (result.outcome === "absent") return { outcome: "absent", bytes: 0 };
  const { outcome, facts } = result;
  if (outcome === "downloaded") {
    await forgetArchive(localPath);
    await writeMetadata(localPath, facts.metadata);
  }
  if (outcome === "up-to-date") {
    const isSame = facts.version === unlessVersion || isDownloadOf(facts, local);
    if (isSame && !(await hasMetadata(localPath))) await writeMetadata(localPath, facts.metadata);
    return { outcome, bytes: local?.size ?? facts.bytes };
  }
  return { outcome, bytes: facts.bytes, object: { objectName: name, version: facts.version } };
}

/** Nothing but a download has the time of the object. One whose process died right after it has no metadata yet. */
function isDownloadOf({ bytes, modifiedAtMs }: ObjectFacts, local: LocalArchive | undefined): boolean {
  return local?.size === bytes && Math.round(local.mtimeMs) === modifiedAtMs;
}

/** An archive that is not what was stored is of no use to anybody, so the next job that saves it must not find it there. */
async function withoutDamaged(
  options: CacheStageOptions,
  store: CacheStore,
  objectName: string,
  error: unknown,
): Promise<DownloadResult> {
  if (!CacheStoreError.isInstance(error) || error.code !== "digest-mismatch") throw error;
  options.log.warning(`${error.message}; this counts as a miss`);
  if (error.version !== undefined) await removeUnusable(options, store, { objectName, version: error.version });
  return { outcome: "absent" };
}

/** The alternate object counts when it is the only one, or the newer one; when nothing is known, the name itself does. */
async function newerObject(options: CacheStageOptions, store: CacheStore, remote: RemoteLocation): Promise<string> {
  const { objectName, alternateObjectName } = remote;
  if (alternateObjectName === undefined) return objectName;
  const [primary, alternate] = await Promise.allSettled([
    headObject(options, store, objectName),
    headObject(options, store, alternateObjectName),
  ]);
  options.signal.throwIfAborted();
  const own = primary.status === "fulfilled" ? primary.value : undefined;
  const other = alternate.status === "fulfilled" ? alternate.value : undefined;
  if (other === undefined) return objectName;
  return own === undefined || other.modifiedAtMs > own.modifiedAtMs ? alternateObjectName : objectName;
}
