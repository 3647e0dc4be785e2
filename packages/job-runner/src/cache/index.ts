export { cacheProblem, hasCacheToSave, hasCacheWork } from "./entries.ts";
export { openRemoteCache } from "./open-remote-cache.ts";
export type { OpenRemoteCacheOptions } from "./open-remote-cache.ts";
export { restoreCaches } from "./restore.ts";
export { saveCaches } from "./save.ts";
export type {
  CacheArchiver,
  CacheEvent,
  CacheStageOptions,
  CacheTransfer,
  RemoteCache,
  SaveCachesOptions,
} from "./types.ts";
export { KeptTrees } from "./kept-trees.ts";
export { listHostArchives, removeHostArchive } from "./host-archives.ts";
export type { HostArchive } from "./host-archives.ts";
export { removeHostLeftovers } from "./leftovers.ts";
export type { HostLeftovers } from "./leftovers.ts";
