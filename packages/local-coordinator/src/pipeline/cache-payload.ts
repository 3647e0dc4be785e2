import { filesKey, keyFiles, serverCacheKey } from "@fleetfoot/cache-key";
import type { CacheEntry } from "@fleetfoot/ci-config";
import type { JobCache } from "@fleetfoot/coordinator-client";

/** What the keys of a pipeline depend on besides its configuration. */
export interface CacheKeyFacts {
  readonly clearIndex: number;
  readonly separateCaches: boolean;
  readonly protectedRef: boolean;
  readonly idsOf: (kind: "files" | "files_commits", paths: readonly string[]) => Promise<readonly string[]>;
}

/**
 * The caches of one job as a runner gets them: digests computed, suffixes appended, variables still in place.
 *
 * @see cache 1.2
 */
export function cachePayload(entries: readonly CacheEntry[], facts: CacheKeyFacts): Promise<readonly JobCache[]> {
  return Promise.all(
    entries.map(async (entry, index) => {
      const withSuffix = (key: string): string => serverCacheKey({ ...facts, key, unprotect: entry.unprotect });
      return {
        key: withSuffix(await keyOf(entry, index, facts)),
        untracked: entry.untracked,
        policy: entry.policy,
        paths: entry.paths,
        when: entry.when,
        fallback_keys: entry.fallbackKeys.map(withSuffix),
      };
    }),
  );
}

async function keyOf({ key }: CacheEntry, index: number, facts: CacheKeyFacts): Promise<string> {
  if (key.kind === "text") return key.text;
  const ids = await facts.idsOf(key.kind, keyFiles(key.files));
  return filesKey({ files: key.files, ids, index, prefix: key.prefix });
}
