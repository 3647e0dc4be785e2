/** Something on the engine that might go. */
export interface GarbageItem {
  readonly name: string;
  readonly bytes: number;
  /** Epoch milliseconds. */
  readonly lastUsedMs: number;
  /** Whether nothing uses it at this moment. */
  readonly isFree: boolean;
}

export interface GarbageLimits {
  readonly maxAgeMs: number;
  /** Of all items together; undefined: no limit. */
  readonly maxBytes: number | undefined;
}

/**
 * Chooses what goes: what nobody used for too long, then what was not used for the longest time until the rest is small enough.
 * What is used now stays, and counts.
 */
export function planGarbage<Item extends GarbageItem>(
  items: readonly Item[],
  { maxAgeMs, maxBytes = Number.POSITIVE_INFINITY }: GarbageLimits,
  nowMs: number,
): readonly Item[] {
  const oldestFirst = items.toSorted(
    (left, right) => left.lastUsedMs - right.lastUsedMs || left.name.localeCompare(right.name, "en"),
  );
  let bytes = items.reduce((sum, item) => sum + item.bytes, 0);
  return oldestFirst.filter((item) => {
    const goes = item.isFree && (nowMs - item.lastUsedMs > maxAgeMs || bytes > maxBytes);
    if (goes) bytes -= item.bytes;
    return goes;
  });
}
