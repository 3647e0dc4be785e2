export { bodyOf, counted, readBytes, readText, streamOf } from "./bodies.ts";
export { describeCacheStore } from "./describe-cache-store.ts";
export type { DescribeCacheStoreOptions, StoreAbility, StoreUnderTest } from "./describe-cache-store.ts";
export { createHttpStore } from "./http-store.ts";
export type { HttpStore, HttpStoreOptions } from "./http-store.ts";
export { killUploads } from "./kill-uploads.ts";
export type { KillUploadsOptions, KillUploadsResult } from "./kill-uploads.ts";
export { startObjectServer } from "./object-server.ts";
export type { ObjectServer, ObjectServerOptions, RecordedRequest, ServedObject } from "./object-server.ts";
