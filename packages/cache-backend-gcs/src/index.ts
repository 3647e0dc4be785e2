export { createGcsStore } from "./gcs-store.ts";
export type { GcsStore } from "./gcs-store.ts";
export type { GcsStoreOptions } from "./options.ts";
