export { createAzureStore } from "./azure-store.ts";
export type { AzureStore } from "./azure-store.ts";
export type { AzureStoreOptions } from "./options.ts";
