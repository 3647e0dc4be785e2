import type { ArchiveEntry } from "../types.ts";
import { WHOLE_FILE_BYTES } from "../source-file.ts";

/*
 * A unit is what a participant claims at once: several entries, one block of a long file, a long file as a whole, or the
 * end of the archive.
 */

/** Which entries a unit covers. */
export interface Unit {
  readonly first: number;
  /** How many entries; 0 is the end of the archive. */
  readonly count: number;
  /** Number of the block of the file `first`; -1 when the unit is not a block. */
  readonly block: number;
}

const COLUMNS = 3;

/** The units of an archive, in the order of the entries. */
export class UnitList {
  readonly length: number;
  readonly #rows: Int32Array;

  constructor(shared: SharedArrayBuffer) {
    this.#rows = new Int32Array(shared);
    this.length = this.#rows.length / COLUMNS;
  }

  at(unit: number): Unit {
    const row = unit * COLUMNS;
    return { first: this.#rows[row] ?? 0, count: this.#rows[row + 1] ?? 0, block: this.#rows[row + 2] ?? -1 };
  }
}

/** How files are cut. */
export interface UnitRules {
  /** Entries of one unit: few enough that all participants end at about the same time. */
  readonly unitEntries: number;
  /** Bytes of short files that one unit may hold together. */
  readonly unitBytes: number;
  /** Files above {@link WHOLE_FILE_BYTES} are cut into blocks of this length; `undefined` leaves them whole. */
  readonly blockBytes: (fileBytes: number) => number | undefined;
}

/** Cuts entries into units, and adds a last one for the end of the archive. */
export function cutIntoUnits(entries: readonly ArchiveEntry[], rules: UnitRules): SharedArrayBuffer {
  const rows: number[] = [];
  let first = 0;
  let bytes = 0;
  const close = (end: number): void => {
    if (end > first) rows.push(first, end - first, -1);
    first = end;
    bytes = 0;
  };
  for (const [index, entry] of entries.entries()) {
    if (entry.bytes > WHOLE_FILE_BYTES) {
      close(index);
      const blockBytes = rules.blockBytes(entry.bytes);
      const blocks = blockBytes === undefined ? 0 : Math.ceil(entry.bytes / blockBytes);
      if (blocks === 0) rows.push(index, 1, -1);
      for (let block = 0; block < blocks; block += 1) rows.push(index, 1, block);
      first = index + 1;
      continue;
    }
    if (index - first >= rules.unitEntries || bytes + entry.bytes > rules.unitBytes) close(index);
    bytes += entry.bytes;
  }
  close(entries.length);
  rows.push(entries.length, 0, -1);
  const shared = new SharedArrayBuffer(rows.length * 4);
  new Int32Array(shared).set(rows);
  return shared;
}
