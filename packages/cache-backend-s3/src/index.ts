export { createBucket, expireCaches, expiryRule } from "./bucket.ts";
export type { ExpiryOptions } from "./bucket.ts";
export type { ServerSideEncryption } from "./encryption.ts";
export type { S3Credentials, S3StoreOptions } from "./options.ts";
export type { ScopedCredentials } from "./role.ts";
export { createS3Store } from "./s3-store.ts";
export type { IssuesCredentials, S3Store } from "./s3-store.ts";
export type { Direction } from "./scoped-policy.ts";
