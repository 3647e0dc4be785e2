export { expireCaches, expiryRule } from "./bucket.ts";
export type { ExpiryOptions, LifecycleRule } from "./bucket.ts";
export { createGcsStore } from "./gcs-store.ts";
export type { GcsStore } from "./gcs-store.ts";
export type { GcsStoreOptions } from "./options.ts";
