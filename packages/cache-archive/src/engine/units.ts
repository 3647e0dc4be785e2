import { WHOLE_FILE_BYTES } from "../source-file.ts";
import { NumberTable } from "./number-table.ts";

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

const FIRST = 0;
const COUNT = 1;
const BLOCK = 2;
const COLUMNS = 3;

/** The units of an archive, in the order of the entries. */
export class UnitList {
  readonly #rows: NumberTable;

  static share(): SharedArrayBuffer {
    return NumberTable.shareGrowing();
  }

  constructor(shared: SharedArrayBuffer) {
    this.#rows = new NumberTable(shared, COLUMNS);
  }

  get length(): number {
    return this.#rows.length;
  }

  /** Units that another thread has added can be used from now on. */
  refresh(): void {
    this.#rows.refresh();
  }

  at(unit: number): Unit {
    return {
      first: this.#rows.get(unit, FIRST),
      count: this.#rows.get(unit, COUNT),
      block: this.#rows.get(unit, BLOCK),
    };
  }

  push({ first, count, block }: Unit): void {
    const row = this.#rows.push();
    this.#rows.set(row, FIRST, first);
    this.#rows.set(row, COUNT, count);
    this.#rows.set(row, BLOCK, block);
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

/** Cuts entries into units as they come. Where it cuts depends on the entries alone. */
export class UnitCutter {
  readonly #rules: UnitRules;
  readonly #give: (unit: Unit) => void;
  #first = 0;
  #next = 0;
  #bytes = 0;

  /** @param give - told of each unit, when all its entries were taken */
  constructor(rules: UnitRules, give: (unit: Unit) => void) {
    this.#rules = rules;
    this.#give = give;
  }

  /** Takes the next entry, of which this is the length. */
  take(bytes: number): void {
    const { unitEntries, unitBytes } = this.#rules;
    if (bytes > WHOLE_FILE_BYTES) {
      this.#close();
      this.#cut(this.#next, bytes);
      this.#next += 1;
      this.#first = this.#next;
      return;
    }
    if (this.#next - this.#first >= unitEntries || this.#bytes + bytes > unitBytes) this.#close();
    this.#bytes += bytes;
    this.#next += 1;
  }

  /** No more entries come: the last unit is the end of the archive. */
  end(): void {
    this.#close();
    this.#give({ first: this.#next, count: 0, block: -1 });
  }

  #cut(index: number, bytes: number): void {
    const blockBytes = this.#rules.blockBytes(bytes);
    const blocks = blockBytes === undefined ? 0 : Math.ceil(bytes / blockBytes);
    if (blocks === 0) this.#give({ first: index, count: 1, block: -1 });
    for (let block = 0; block < blocks; block += 1) this.#give({ first: index, count: 1, block });
  }

  #close(): void {
    if (this.#next > this.#first) this.#give({ first: this.#first, count: this.#next - this.#first, block: -1 });
    this.#first = this.#next;
    this.#bytes = 0;
  }
}
