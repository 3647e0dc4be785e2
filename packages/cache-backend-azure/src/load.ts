import { setImmediate as turnOfOthers } from "node:timers/promises";
import type { createAzureStore } from "./azure-store.ts";

/**
 * Loads the store in steps. The SDK keeps the process from everything else while it is loaded; here others have their turn between its parts.
 *
 * @param nextTurn - lets others have their turn. @default the next turn of the event loop
 * @returns what makes a store
 */
export async function loadAzureStore(
  nextTurn: () => Promise<unknown> = turnOfOthers,
): Promise<typeof createAzureStore> {
  await import("@azure/core-rest-pipeline");
  await nextTurn();
  await import("@azure/core-xml");
  await nextTurn();
  await import("@azure/storage-common");
  await nextTurn();
  await import("@azure/storage-blob");
  await nextTurn();
  return (await import("./azure-store.ts")).createAzureStore;
}
