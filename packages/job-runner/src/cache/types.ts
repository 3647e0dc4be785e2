import type { compareTree, createArchive, extractArchive, openSelection, selectFiles } from "@fleetfoot/cache-archive";
import type { CacheStore, TransferProgress } from "@fleetfoot/cache-backend";
import type { JobCache } from "@fleetfoot/coordinator-client";

import type { KeptTrees } from "./kept-trees.ts";
import type { JobLog } from "../job-log.ts";

/** What the two cache stages of a job work with. */
export interface CacheStageOptions {
  readonly entries: readonly JobCache[];
  readonly job: { readonly name: string; readonly ref: string; readonly projectId: number };
  /** Prepared variables; file variables give their path. */
  readonly lookup: (name: string) => string | undefined;
  /** The same, but file variables give their content. */
  readonly lookupContent: (name: string) => string | undefined;
  /** Variables that `paths` may use, shell style. */
  readonly environment: Readonly<Record<string, string>>;
  /** Absolute path. */
  readonly projectDirectory: string;
  /** Absolute path of the project's caches on this host: the cache directory and the project's slug, without a key. */
  readonly cacheDirectory: string;
  /** Absolute paths of what else the runner keeps; what of it lies in the project is in no cache. @default nothing */
  readonly ownDirectories?: readonly string[] | undefined;
  /** Where caches lie beyond this host. @default caches stay on this host */
  readonly store?: RemoteCache | undefined;
  /** Caches that the working copy holds already. @default it holds none */
  readonly keptTrees?: KeptTrees | undefined;
  /** Whether names are hashes of keys, the flag `FF_HASH_CACHE_KEYS`. */
  readonly hashKeys: boolean;
  /** Of the place where the scripts run, spelled as in `CI_RUNNER_EXECUTABLE_ARCH`: `linux`, `amd64`. */
  readonly platform: { readonly os: string; readonly arch: string };
  /** What an archive that was made on another platform counts as. @default "warn" */
  readonly foreignArchitecture?: "warn" | "miss" | undefined;
  readonly log: JobLog;
  /** Told what became of each entry. Must not throw. @default nobody listens */
  readonly events?: ((event: CacheEvent) => void) | undefined;
  /** Told how far the transfers with the store are. Must not throw. @default nobody listens */
  readonly onTransfer?: ((transfer: CacheTransfer) => void) | undefined;
  readonly signal: AbortSignal;
  /** How long the job may take, in milliseconds. @default what stores take for a transfer */
  readonly jobTimeoutMs?: number | undefined;
  /** Pauses between the tries of a transfer. @default a timer */
  readonly sleep?: ((milliseconds: number, signal?: AbortSignal) => Promise<void>) | undefined;
  /** Chooses files, writes and restores archives. @default those of `@fleetfoot/cache-archive` */
  readonly archiver?: CacheArchiver | undefined;
}

export interface SaveCachesOptions extends CacheStageOptions {
  /** Whether the job's scripts succeeded; each entry's `when` is compared with it. */
  readonly succeeded: boolean;
}

/** A store that several hosts can reach, and how this runner names its objects there. */
export interface RemoteCache {
  readonly store: CacheStore;
  /** Prefix of all names, `Path` of the runner's configuration. */
  readonly path: string;
  /** Whether all runners use the caches, not only the one with this token. */
  readonly shared: boolean;
  readonly runnerShortToken: string;
  /** A longer archive stays on this host; 0 is no limit. */
  readonly maxUploadedArchiveBytes: number;
}

/** How far an archive is on its way from or to the store. */
export interface CacheTransfer extends TransferProgress {
  readonly direction: "download" | "upload";
  /** As people know it, expanded. */
  readonly key: string;
}

/** What became of a cache entry. */
export interface CacheEvent {
  readonly kind: "hit" | "miss" | "saved" | "unchanged" | "failed";
  /** Position in the job's list, from 0. */
  readonly entry: number;
  /** As people know it, expanded; for a hit the one that was found. */
  readonly key: string;
  /** Length of the archive. */
  readonly bytes?: number;
  /** For a miss: there was an archive, or perhaps one, but it could not be fetched or restored. @default there was none */
  readonly hasFailed?: boolean;
}

/** The part of `@fleetfoot/cache-archive` that caches need. */
export interface CacheArchiver {
  readonly selectFiles: typeof selectFiles;
  readonly openSelection: typeof openSelection;
  readonly createArchive: typeof createArchive;
  readonly extractArchive: typeof extractArchive;
  readonly compareTree: typeof compareTree;
}
