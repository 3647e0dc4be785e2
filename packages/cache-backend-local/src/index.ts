export type { LocalFileSystem } from "./file-system.ts";
export { createLocalStore } from "./local-store.ts";
export type { LocalStore, LocalStoreOptions } from "./local-store.ts";
