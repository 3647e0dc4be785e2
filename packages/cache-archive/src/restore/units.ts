/*
 * What a participant of a restore claims at once. The phases follow one another: the content of files, then links, then the
 * move into place, then the metadata of folders.
 */

/** Does a run of short entries. */
export const SHORT = 0;
/** Unpacks one block of a long file. */
export const BLOCK = 1;
/** Unpacks a long file that only one participant can unpack. */
export const STREAM = 2;
/** Makes folders that nothing else makes, such as empty ones. */
export const FOLDERS = 3;
/** Makes links. */
export const LINKS = 4;
/** Moves everything from the staging folder into its place. */
export const PLACE = 5;
/** Sets the metadata of folders. */
export const FINISH = 6;
/** Writes down the metadata of folders, in case that this process dies while everything is moved. */
export const JOURNAL = 7;

const COLUMNS = 7;

export interface RestoreUnit {
  readonly kind: number;
  /** Position in the order, or the entry for {@link BLOCK} and {@link STREAM}. */
  readonly first: number;
  readonly count: number;
  /** Number of the block in its file. */
  readonly block: number;
  /** Blocks of the file. */
  readonly blocks: number;
  /** Where the block begins in the entry's data, and how long it is there. */
  readonly packedStart: number;
  readonly packedBytes: number;
}

/** Collects units. */
export class RestoreUnits {
  readonly #rows: number[] = [];
  readonly #phases: number[] = [];

  add(kind: number, first: number, count: number): void {
    this.#rows.push(kind, first, count, 0, 0, 0, 0);
  }

  addBlock(
    entry: number,
    { block, blocks, packedStart, packedBytes }: Omit<RestoreUnit, "kind" | "first" | "count">,
  ): void {
    this.#rows.push(BLOCK, entry, 1, block, blocks, packedStart, packedBytes);
  }

  /** What follows waits for what is there. */
  startPhase(): void {
    this.#phases.push(this.length);
  }

  /** Adds runs of so many entries of the order. */
  addRuns(kind: number, from: number, to: number, entries: number): void {
    for (let first = from; first < to; first += entries) this.add(kind, first, Math.min(entries, to - first));
  }

  get length(): number {
    return this.#rows.length / COLUMNS;
  }

  get phases(): readonly number[] {
    return this.#phases;
  }

  share(): SharedArrayBuffer {
    const shared = new SharedArrayBuffer(this.#rows.length * 8);
    new Float64Array(shared).set(this.#rows);
    return shared;
  }
}

export function restoreUnitAt(rows: Float64Array, unit: number): RestoreUnit {
  const row = rows.subarray(unit * COLUMNS, (unit + 1) * COLUMNS);
  const [kind = 0, first = 0, count = 0, block = 0, blocks = 0, packedStart = 0, packedBytes = 0] = row;
  // An index that came out of these numbers would not do for code that was compiled for indexes.
  return { kind, first: first | 0, count: count | 0, block, blocks, packedStart, packedBytes };
}
