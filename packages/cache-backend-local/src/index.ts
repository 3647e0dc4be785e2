export type { LocalFileSystem } from "./file-system.ts";
export { createLocalStore } from "./local-store.ts";
export type { LocalStore, LocalStoreOptions, PrunesObjects } from "./local-store.ts";
export type { LocalStoreLimits, PruneResult } from "./room.ts";
