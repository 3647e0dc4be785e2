import { printablePath } from "@fleetfoot/cache-archive";

/** A place with caches that people look after: a directory of this host, or a store. */
export interface CacheShelf {
  /** For messages, for example `/var/lib/fleetfoot/cache`. */
  readonly place: string;
  /** The caches whose names start so, in byte order of the names. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<ShelvedCache>;
  remove(cache: ShelvedCache, signal: AbortSignal): Promise<void>;
  /** Removes, or counts only, what killed processes left a day ago or earlier. @default nobody but the store itself could know */
  removeLeftovers?(isDryRun: boolean): Promise<{ readonly files: number; readonly bytes: number }>;
  /** What is known of the cache of exactly this name, or `undefined` when there is none. */
  inspect(name: string, signal: AbortSignal): Promise<InspectedCache | undefined>;
}

/** One cache. */
export interface ShelvedCache {
  readonly name: string;
  readonly bytes: number;
  readonly modifiedAtMs: number;
  /** The same as `modifiedAtMs` where nobody remembers. */
  readonly usedAtMs: number;
}

/** What is known of one cache, or of any archive. */
export interface InspectedCache {
  /** Absolute path of the archive, where it is a file of this host. */
  readonly path?: string | undefined;
  readonly bytes: number;
  readonly modifiedAtMs: number;
  /** What was stored with it. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * How to go on when a name is not there: names that end in it are probably meant, or in what coordinators make of it.
 *
 * @param names those that are there
 */
export function nameCure(names: readonly string[], missing: readonly string[]): string {
  const meant = names.filter((name) => missing.some((end) => name.endsWith(`/${end}`) || isKeyOfJobs(name, end)));
  if (meant.length === 0) return "fleetfoot cache ls prints the names.";
  return `Perhaps ${meant.map(printablePath).join(", ")} is meant; fleetfoot cache ls prints the names.`;
}

/** Whether a name is that of a key with the index of cleared caches and the word about protection, which coordinators append. */
export function isKeyOfJobs(name: string, key: string): boolean {
  const at = `/${name}`.lastIndexOf(`/${key}-`);
  return at >= 0 && /^(?:-\d+)?(?:-(?:non_)?protected)?$/.test(name.slice(at + key.length));
}

/** What of a shelf may stay. */
export interface PruneLimits {
  /** Caches that were not used for longer go. @default they stay */
  readonly maxAgeMs?: number | undefined;
  /** Of the rest those go that were not used for the longest time, until this many bytes are left. @default all stay */
  readonly maxBytes?: number | undefined;
}

/** Chooses what goes, least recently used first. Pure. */
export function choosePruned(
  caches: readonly ShelvedCache[],
  { maxAgeMs = Infinity, maxBytes = Infinity }: PruneLimits,
  nowMs: number,
): readonly ShelvedCache[] {
  const byUse = caches.toSorted((left, right) => left.usedAtMs - right.usedAtMs);
  let bytes = caches.reduce((sum, cache) => sum + cache.bytes, 0);
  return byUse.filter((cache) => {
    const goes = nowMs - cache.usedAtMs > maxAgeMs || bytes > maxBytes;
    if (goes) bytes -= cache.bytes;
    return goes;
  });
}
