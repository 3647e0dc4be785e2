import { COLUMN } from "../restore/restore-columns.ts";
import type { RestoreTable } from "../restore/restore-table.ts";
import { BLOCK_BYTES } from "./header.ts";
import { ReusedHeader } from "./reused-header.ts";

/** The headers of files as they have to be in an archive. */
export class FileHeader {
  readonly #header = new ReusedHeader();

  /**
   * Whether exactly the header of this file lies at a place.
   *
   * @returns also false when it does not fit into one block
   */
  isAt(bytes: Buffer, place: number, table: RestoreTable, index: number): boolean {
    const nameStart = table.number(index, COLUMN.nameStart);
    const isShort = this.#header.set(table.names, nameStart, table.number(index, COLUMN.nameLength), {
      mode: table.number(index, COLUMN.mode),
      uid: table.number(index, COLUMN.uid),
      gid: table.number(index, COLUMN.gid),
      bytes: table.number(index, COLUMN.bytes),
      mtime: table.number(index, COLUMN.mtimeMs) / 1000,
    });
    return isShort && this.#header.block.compare(bytes, place, place + BLOCK_BYTES) === 0;
  }
}
