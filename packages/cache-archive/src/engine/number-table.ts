/*
 * Rows of numbers in memory that all participants share. One thread may add rows while the others work on those that it has told
 * them of.
 */

/** Before the first row: how many rows there are. */
const HEADER = 1;
const NUMBER_BYTES = 8;
/**
 * What a table may come to, which are forty million entries. Until memory is used, this is a range of addresses and nothing else; but of those,
 * too, there is an end, and short archives that nobody has collected yet have theirs.
 */
const MAX_TABLE_BYTES = 4 * 1024 ** 3;
const GROWTH_BYTES = 512 * 1024;

/** Rows of so many numbers each. */
export class NumberTable {
  readonly #memory: SharedArrayBuffer;
  readonly #columns: number;
  #numbers: Float64Array;

  /** So many rows of zeros. */
  static share(columns: number, rows: number): SharedArrayBuffer {
    const memory = new SharedArrayBuffer((HEADER + rows * columns) * NUMBER_BYTES);
    new Float64Array(memory)[0] = rows;
    return memory;
  }

  /** No rows, but room for as many as may come. */
  static shareGrowing(): SharedArrayBuffer {
    return makeGrowing(HEADER * NUMBER_BYTES);
  }

  constructor(memory: SharedArrayBuffer, columns: number) {
    this.#memory = memory;
    this.#columns = columns;
    this.#numbers = numbersIn(memory);
  }

  get length(): number {
    return this.#numbers[0] ?? 0;
  }

  /** Rows that another thread has added can be used from now on. */
  refresh(): void {
    // A view that follows the memory by itself is slower each time it is used.
    if (this.#numbers.byteLength !== this.#memory.byteLength) this.#numbers = numbersIn(this.#memory);
  }

  get(row: number, column: number): number {
    return this.#numbers[HEADER + row * this.#columns + column] ?? 0;
  }

  set(row: number, column: number, value: number): void {
    this.#numbers[HEADER + row * this.#columns + column] = value;
  }

  /** Adds a row of zeros. Only one thread may. @returns its number */
  push(): number {
    const row = this.length;
    const bytes = (HEADER + (row + 1) * this.#columns) * NUMBER_BYTES;
    if (bytes > this.#numbers.byteLength) {
      makeRoom(this.#memory, bytes);
      this.refresh();
    }
    this.#numbers[0] = row + 1;
    return row;
  }
}

/** Memory that {@link makeRoom} makes longer in every thread that has it. */
export function makeGrowing(bytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(bytes, { maxByteLength: MAX_TABLE_BYTES });
}

/** Makes such memory at least so long. Views keep the length they have. */
export function makeRoom(memory: SharedArrayBuffer, bytes: number): void {
  if (bytes > memory.byteLength) memory.grow(Math.ceil(bytes / GROWTH_BYTES) * GROWTH_BYTES);
}

function numbersIn(memory: SharedArrayBuffer): Float64Array {
  return new Float64Array(memory, 0, Math.floor(memory.byteLength / NUMBER_BYTES));
}
