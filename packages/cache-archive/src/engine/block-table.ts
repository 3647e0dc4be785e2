import { combineCrc32 } from "../crc32-combine.ts";
import { NumberTable } from "./number-table.ts";

const CRC = 0;
const BYTES = 1;
const COMPRESSED = 2;
const COLUMNS = 3;

/** Facts of the blocks of long files, in shared memory; one row for each unit. */
export class BlockTable {
  readonly #rows: NumberTable;

  static share(units: number): SharedArrayBuffer {
    return NumberTable.share(COLUMNS, units);
  }

  /** For units that are still being found. */
  static shareGrowing(): SharedArrayBuffer {
    return NumberTable.shareGrowing();
  }

  constructor(shared: SharedArrayBuffer) {
    this.#rows = new NumberTable(shared, COLUMNS);
  }

  /** Rows that another thread has added can be used from now on. */
  refresh(): void {
    this.#rows.refresh();
  }

  /** Adds the row of one more unit. */
  push(): void {
    this.#rows.push();
  }

  set(unit: number, crc: number, bytes: number, compressedBytes: number): void {
    this.#rows.set(unit, CRC, crc);
    this.#rows.set(unit, BYTES, bytes);
    this.#rows.set(unit, COMPRESSED, compressedBytes);
  }

  crc(unit: number): number {
    return this.#rows.get(unit, CRC);
  }

  bytes(unit: number): number {
    return this.#rows.get(unit, BYTES);
  }

  compressedBytes(unit: number): number {
    return this.#rows.get(unit, COMPRESSED);
  }

  /** All blocks of one file together. */
  sum(firstUnit: number, units: number): { crc: number; bytes: number; compressedBytes: number } {
    let crc = 0;
    let bytes = 0;
    let compressedBytes = 0;
    for (let unit = firstUnit; unit < firstUnit + units; unit += 1) {
      const length = this.bytes(unit);
      crc = combineCrc32(crc, this.crc(unit), length);
      bytes += length;
      compressedBytes += this.compressedBytes(unit);
    }
    return { crc, bytes, compressedBytes };
  }
}
