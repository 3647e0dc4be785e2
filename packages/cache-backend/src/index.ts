export { canDelete, canList, canPresign, canPutConditionally, canReadRanges } from "./abilities.ts";
export { bodyFrom, readChunks, readExactly } from "./bodies.ts";
export type { BodyFacts } from "./bodies.ts";
export { downloadToFile } from "./download.ts";
export type { DownloadOptions, DownloadResult } from "./download.ts";
export { CacheStoreError } from "./errors.ts";
export type { CacheStoreErrorCode, CacheStoreFailure } from "./errors.ts";
export { createMemoryStore } from "./memory-store.ts";
export type { MemoryStore, MemoryStoreOptions } from "./memory-store.ts";
export { checkListPrefix, checkMetadata, checkObjectName } from "./object-name.ts";
export type { CheckedCall } from "./object-name.ts";
export { retryTransfer } from "./retry.ts";
export type { RetryOptions } from "./retry.ts";
export type {
  ByteRange,
  CacheStore,
  DeletesObjects,
  ListedObject,
  ListsObjects,
  ObjectFacts,
  OperationOptions,
  PresignRequest,
  PresignedRequest,
  PresignsObjects,
  PutBody,
  PutCondition,
  PutOptions,
  PutsConditionally,
  ReadsRanges,
  StoredObject,
} from "./store.ts";
