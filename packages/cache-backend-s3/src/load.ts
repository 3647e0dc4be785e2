import { setImmediate as turnOfOthers } from "node:timers/promises";
import type { createS3Store } from "./s3-store.ts";

/**
 * Loads the store in steps. The SDK keeps the process from everything else while it is loaded; here others have their turn between its parts.
 *
 * @param nextTurn - lets others have their turn. @default the next turn of the event loop
 * @returns what makes a store
 */
export async function loadS3Store(nextTurn: () => Promise<unknown> = turnOfOthers): Promise<typeof createS3Store> {
  await import("@aws-sdk/client-sts");
  await nextTurn();
  await import("@aws-sdk/client-s3");
  await nextTurn();
  return (await import("./s3-store.ts")).createS3Store;
}
