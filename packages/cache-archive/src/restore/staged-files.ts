import { pathFromPart, pathToBytes } from "../path-bytes.ts";
import { COLUMN, COLUMNS } from "./restore-columns.ts";
import type { RestoreFolders } from "./folders.ts";
import type { RestoreTable } from "./restore-table.ts";

const SLASH = 0x2f;
/** No system takes longer ones. */
const PATH_BYTES = 4096;

/**
 * Paths of files in folders that only the staging folder has, as bytes in memory that is used for one after the other: most restores make nothing but
 * these, and strings for each of tens of thousands take longer than all that is found out with them.
 */
export class StagedFiles {
  readonly #table: RestoreTable;
  readonly #folders: RestoreFolders;
  readonly #path = Buffer.alloc(PATH_BYTES);
  readonly #prefixBytes: number;
  /** The part of the path for each length that there was. */
  readonly #parts: (Buffer | undefined)[] = [];
  #length = 0;
  /** Last one of the place before. */
  #slash = -1;
  /** Whether the folder of the place before is only in the staging folder. */
  #isNew = false;

  /** @param staging - what targets are relative to in the staging folder */
  constructor(table: RestoreTable, folders: RestoreFolders, staging: string) {
    this.#table = table;
    this.#folders = folders;
    this.#prefixBytes = pathToBytes(`${staging}/`).copy(this.#path);
  }

  /**
   * The path of an entry, whose folder is there after this; until the next one is asked for.
   *
   * @returns undefined when something may be in its place already, since the root has its folder
   */
  find(index: number): Buffer | undefined {
    const { numbers, names } = this.#table;
    const start = (numbers[index * COLUMNS + COLUMN.targetStart] ?? 0) | 0;
    const length = (numbers[index * COLUMNS + COLUMN.targetLength] ?? 0) | 0;
    if (this.#prefixBytes + length > PATH_BYTES) return undefined;
    const common = this.#commonBytes(names, start, Math.min(length, this.#length));
    const slash = this.#put(names, start, common, length);
    this.#length = length;
    // What is as before is the folder, when its end is, too.
    if (slash !== -1 || common <= this.#slash) {
      this.#slash = slash === -1 ? names.subarray(start, start + common).lastIndexOf(SLASH) : slash;
      this.#isNew = this.#slash !== -1 && this.#enter(pathFromPart(names, start, start + this.#slash));
    }
    if (!this.#isNew) return undefined;
    const end = this.#prefixBytes + length;
    return (this.#parts[length] ??= this.#path.subarray(0, end));
  }

  #commonBytes(names: Uint8Array, start: number, most: number): number {
    const path = this.#path;
    const prefixBytes = this.#prefixBytes;
    let common = 0;
    while (common < most && path[prefixBytes + common] === names[start + common]) common += 1;
    return common;
  }

  /** @returns where the last slash is in what was put; -1 when there is none */
  #put(names: Uint8Array, start: number, from: number, length: number): number {
    const path = this.#path;
    const prefixBytes = this.#prefixBytes;
    let slash = -1;
    for (let at = from; at < length; at += 1) {
      const byte = names[start + at] ?? 0;
      path[prefixBytes + at] = byte;
      if (byte === SLASH) slash = at;
    }
    return slash;
  }

  #enter(folder: string): boolean {
    if (this.#folders.isPlain(folder)) return false;
    this.#folders.make(folder);
    return true;
  }
}
