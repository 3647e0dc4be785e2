/** A place with caches that people look after: a directory of this host, or a store. */
export interface CacheShelf {
  /** For messages, for example `/var/lib/fleetfoot/cache`. */
  readonly place: string;
  /** The caches whose names start so, in byte order of the names. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<ShelvedCache>;
  remove(cache: ShelvedCache, signal: AbortSignal): Promise<void>;
}

/** One cache. */
export interface ShelvedCache {
  readonly name: string;
  readonly bytes: number;
  readonly modifiedAtMs: number;
  /** The same as `modifiedAtMs` where nobody remembers. */
  readonly usedAtMs: number;
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
