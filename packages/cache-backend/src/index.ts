export { bodyFromAnswer } from "./answer-body.ts";
export {
  canDelete,
  canList,
  canPresign,
  canPresignParts,
  canPutConditionally,
  canPutInParts,
  canReadRanges,
} from "./abilities.ts";
export { bodyFrom, readChunks, readExactly } from "./bodies.ts";
export type { BodyFacts } from "./bodies.ts";
export { CONTENT_DIGEST, downloadToFile } from "./download.ts";
export type { DownloadOptions, DownloadResult } from "./download.ts";
export { CacheStoreError } from "./errors.ts";
export type { CacheStoreErrorCode, CacheStoreFailure } from "./errors.ts";
export { bodyOfFile } from "./file-body.ts";
export { decodeHeaderText, encodeHeaderText } from "./header-text.ts";
export { createMemoryStore } from "./memory-store.ts";
export type { MemoryStore, MemoryStoreOptions } from "./memory-store.ts";
export { checkListPrefix, checkMetadata, checkObjectName } from "./object-name.ts";
export type { CheckedCall } from "./object-name.ts";
export { createPutMark, withoutPutMark } from "./put-mark.ts";
export type { PutMark } from "./put-mark.ts";
export { partBehindEnd, partOfAnswer } from "./range-answer.ts";
export { retryTransfer } from "./retry.ts";
export type { RetryOptions } from "./retry.ts";
export { chunksToSend } from "./send.ts";
export { codeOfStatus, versionInAnswer } from "./service.ts";
export { asSilence, limitsOfCompletion, silenceLimits } from "./silence.ts";
export type { SilenceLimits } from "./silence.ts";
export { operationsOf, seeEmpty, translatingErrors, withoutAnswer, withoutCredentials } from "./store-call.ts";
export type { OnObject, StoreCall, TranslateError } from "./store-call.ts";
export type {
  ByteRange,
  CacheStore,
  DeleteOptions,
  DeletesObjects,
  ListedObject,
  ListsObjects,
  ObjectFacts,
  OperationOptions,
  PresignPartsRequest,
  PresignRequest,
  PresignedPart,
  PresignedRequest,
  PresignedUpload,
  PresignsObjects,
  PresignsParts,
  PutBody,
  PutCondition,
  PutOptions,
  PutsConditionally,
  PutsInParts,
  ReadsRanges,
  StoredObject,
  TransferProgress,
} from "./store.ts";
export { uploadParts } from "./upload-parts.ts";
export type { BodyPart, UploadPartsOptions } from "./upload-parts.ts";
