import { setImmediate as turnOfOthers } from "node:timers/promises";
import type { createGcsStore } from "./gcs-store.ts";

/**
 * Loads the store in steps. The SDK keeps the process from everything else while it is loaded; here others have their turn between its parts.
 *
 * @param nextTurn - lets others have their turn. @default the next turn of the event loop
 * @returns what makes a store
 */
export async function loadGcsStore(nextTurn: () => Promise<unknown> = turnOfOthers): Promise<typeof createGcsStore> {
  await import("google-auth-library");
  await nextTurn();
  await import("@google-cloud/storage");
  await nextTurn();
  return (await import("./gcs-store.ts")).createGcsStore;
}
