import type { EntryMetadata } from "../archived-entry.ts";
import { COLUMN, COLUMNS, KINDS } from "./restore-columns.ts";
import { RestoreTable } from "./restore-table.ts";
import type { SharedRestore } from "./restore-table.ts";

/** Names and rows of a reader that knows neither their number nor their length. */
const FIRST_NAME_BYTES = 16 * 1024;
const FIRST_ROWS = 128;

/**
 * The entries of an archive as its reader finds them: in the archive's order, each a row of numbers, with names as the bytes that they are. Nothing is
 * made for a single entry, since tens of thousands of objects and strings take longer than all that is found out about them. What was added is
 * read as a {@link RestoreTable}, here and in other threads.
 */
export class RestoreRows {
  #count = 0;
  #names: Buffer;
  #namesEnd: number;
  #numbers: Float64Array;
  #table: RestoreTable | undefined;

  /**
   * @param names - bytes that hold the names of entries already
   * @param entries - how many will be added, as far as it is known
   */
  constructor(names?: SharedArrayBuffer, entries: number = FIRST_ROWS) {
    this.#names = Buffer.from(names ?? new SharedArrayBuffer(FIRST_NAME_BYTES));
    this.#namesEnd = names?.byteLength ?? 0;
    this.#numbers = new Float64Array(new SharedArrayBuffer(entries * COLUMNS * 8));
  }

  /** So many were added. */
  get count(): number {
    return this.#count;
  }

  /** Entries that there is memory for. */
  get room(): number {
    return this.#numbers.length / COLUMNS;
  }

  /** All bytes that names and places are parts of, until one is added. */
  get names(): Buffer {
    return this.#names;
  }

  /** A row of {@link COLUMNS} for each entry, until one is added. */
  get numbers(): Float64Array {
    return this.#numbers;
  }

  /** What was added, as other threads read it, until a name or an entry is added. */
  get table(): RestoreTable {
    this.#table ??= new RestoreTable(this.share());
    return this.#table;
  }

  /** @returns where the row of a new entry begins, which is all zero */
  add(): number {
    const row = this.#count * COLUMNS;
    if (row === this.#numbers.length) {
      const longer = new Float64Array(new SharedArrayBuffer(Math.max(2 * row, COLUMNS) * 8));
      longer.set(this.#numbers);
      this.#numbers = longer;
      this.#table = undefined;
    }
    this.#count += 1;
    return row;
  }

  /** Adds an entry of which there are no further facts. @returns its index */
  addEntry(rawName: Buffer, { kind, mode, mtimeMs, owner, bytes }: EntryMetadata): number {
    const nameStart = this.addName(rawName);
    const row = this.add();
    const numbers = this.#numbers;
    numbers[row + COLUMN.nameStart] = nameStart;
    numbers[row + COLUMN.nameLength] = rawName.length;
    numbers[row + COLUMN.kind] = KINDS.indexOf(kind);
    numbers[row + COLUMN.mode] = mode;
    numbers[row + COLUMN.mtimeMs] = mtimeMs;
    numbers[row + COLUMN.uid] = owner?.uid ?? -1;
    numbers[row + COLUMN.gid] = owner?.gid ?? -1;
    numbers[row + COLUMN.bytes] = bytes;
    return this.#count - 1;
  }

  /** @returns where the bytes begin in {@link names} */
  addName(bytes: Buffer): number {
    const start = this.#namesEnd;
    const end = start + bytes.length;
    if (end > this.#names.length) {
      const longer = Buffer.from(new SharedArrayBuffer(Math.max(2 * this.#names.length, end)));
      this.#names.copy(longer, 0, 0, start);
      this.#names = longer;
      this.#table = undefined;
    }
    bytes.copy(this.#names, start);
    this.#namesEnd = end;
    return start;
  }

  share(): SharedRestore {
    return { names: sharedBy(this.#names), rows: sharedBy(this.#numbers) };
  }
}

function sharedBy({ buffer }: Uint8Array | Float64Array): SharedArrayBuffer {
  if (buffer instanceof SharedArrayBuffer) return buffer;
  throw new TypeError("this memory is not shared");
}
