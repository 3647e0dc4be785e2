import type { Invocation } from "../command.ts";
import type { CliContext } from "../context.ts";
import { hostShelf } from "./host-shelf.ts";
import { cachePlace } from "./place.ts";
import type { CacheShelf } from "./shelf.ts";

/** What is looked after, and what ends it. */
export interface OpenShelf {
  readonly shelf: CacheShelf;
  close(): Promise<void>;
}

/** Opens the caches that the command line means. */
export async function openShelf(invocation: Invocation, context: CliContext): Promise<OpenShelf> {
  const { cacheDirectory } = cachePlace(invocation, context);
  return { shelf: hostShelf(cacheDirectory), close: async () => {} };
}
