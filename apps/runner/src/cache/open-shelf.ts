import type { Invocation } from "../command.ts";
import type { CliContext } from "../context.ts";
import { hostShelf } from "./host-shelf.ts";
import { cachePlace, readProjectId } from "./place.ts";
import { openRunnerStore } from "./runner-store.ts";
import type { CacheShelf } from "./shelf.ts";
import { storeShelf } from "./store-shelf.ts";

/** Opens the caches that the command line means: those of a runner's store, or of this host. */
export async function openShelf(invocation: Invocation, context: CliContext): Promise<CacheShelf> {
  const runnerStore = await openRunnerStore(invocation, context);
  if (runnerStore !== undefined) return storeShelf(runnerStore.remote, readProjectId(invocation));
  return hostShelf(cachePlace(invocation, context).cacheDirectory);
}
