/** A file of the store, as far as it matters for making room. */
export interface KeptFile {
  /** Absolute path. */
  readonly path: string;
  readonly bytes: number;
  /** Epoch milliseconds of the last put or get. */
  readonly usedAtMs: number;
}

/** How much room is wanted. */
export interface RoomWanted {
  /** Most bytes that all files may have together afterwards. */
  readonly maxBytes: number;
  /** Bytes that must go in any case, because the disk is short of them. */
  readonly missingBytes: number;
  /** Files that were last used before this time go in any case. Epoch milliseconds. */
  readonly usedBeforeMs: number;
}

/**
 * Chooses which files go: those that nobody has used for too long, and then the ones whose last use is longest ago, until there is
 * room. Files of the same age go in the order of their paths, so that several hosts choose the same.
 */
export function chooseEvictions(files: readonly KeptFile[], wanted: RoomWanted): readonly KeptFile[] {
  const oldestFirst = files.toSorted(
    (left, right) => left.usedAtMs - right.usedAtMs || (left.path < right.path ? -1 : 1),
  );
  let keptBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let freedBytes = 0;
  const chosen: KeptFile[] = [];
  for (const file of oldestFirst) {
    const expired = file.usedAtMs < wanted.usedBeforeMs;
    if (!expired && keptBytes <= wanted.maxBytes && freedBytes >= wanted.missingBytes) break;
    chosen.push(file);
    keptBytes -= file.bytes;
    freedBytes += file.bytes;
  }
  return chosen;
}
