export { CacheKeyError } from "./errors.ts";
export type { CacheKeyErrorCode } from "./errors.ts";
export { digestOfIds, filesKey, keyFiles } from "./files-key.ts";
export type { FilesKeyOptions } from "./files-key.ts";
export { checkKeyText, serverCacheKey } from "./server-key.ts";
export type { KeyProblem, ServerCacheKeyOptions } from "./server-key.ts";
