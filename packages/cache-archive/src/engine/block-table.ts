import { combineCrc32 } from "../crc32-combine.ts";

const CRC = 0;
const BYTES = 1;
const COMPRESSED = 2;
const COLUMNS = 3;

/** Facts of the blocks of long files, in shared memory; one row for each unit. */
export class BlockTable {
  readonly #rows: Float64Array;

  static share(units: number): SharedArrayBuffer {
    return new SharedArrayBuffer(units * COLUMNS * 8);
  }

  constructor(shared: SharedArrayBuffer) {
    this.#rows = new Float64Array(shared);
  }

  set(unit: number, crc: number, bytes: number, compressedBytes: number): void {
    this.#rows.set([crc, bytes, compressedBytes], unit * COLUMNS);
  }

  crc(unit: number): number {
    return this.#rows[unit * COLUMNS + CRC] ?? 0;
  }

  bytes(unit: number): number {
    return this.#rows[unit * COLUMNS + BYTES] ?? 0;
  }

  compressedBytes(unit: number): number {
    return this.#rows[unit * COLUMNS + COMPRESSED] ?? 0;
  }

  /** All blocks of one file together. */
  sum(firstUnit: number, units: number): { crc: number; bytes: number; compressedBytes: number } {
    let crc = 0;
    let bytes = 0;
    let compressedBytes = 0;
    for (let row = firstUnit * COLUMNS; row < (firstUnit + units) * COLUMNS; row += COLUMNS) {
      const length = this.#rows[row + BYTES] ?? 0;
      crc = combineCrc32(crc, this.#rows[row + CRC] ?? 0, length);
      bytes += length;
      compressedBytes += this.#rows[row + COMPRESSED] ?? 0;
    }
    return { crc, bytes, compressedBytes };
  }
}
