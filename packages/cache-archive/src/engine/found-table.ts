import type { Stats } from "node:fs";

import { NumberTable } from "./number-table.ts";

/** How an entry was found. */
export interface FoundFacts {
  /** The file type of the mode, and its permission bits. */
  readonly mode: number;
  readonly inode: number;
  /** 0 for folders. */
  readonly bytes: number;
  /** To a quarter of a microsecond, which is what a number of milliseconds holds. */
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly uid: number;
  readonly gid: number;
  /** Of the content of a file or the target of a link; 0 for folders. */
  readonly crc: number;
}

/** @param crc - of the content or the target, where it is known */
export function foundFacts(found: Stats, crc: number): FoundFacts {
  const { mode, ino: inode, mtimeMs, ctimeMs, uid, gid } = found;
  return { mode, inode, bytes: found.isDirectory() ? 0 : found.size, mtimeMs, ctimeMs, uid, gid, crc };
}

const MODE = 0;
const INODE = 1;
const BYTES = 2;
const MTIME = 3;
const CTIME = 4;
const UID = 5;
const GID = 6;
const CRC = 7;
const COLUMNS = 8;

/** How the entries of an archive in the making were found right before they were packed; one row for each. */
export class FoundTable {
  readonly #rows: NumberTable;

  static share(): SharedArrayBuffer {
    return NumberTable.shareGrowing();
  }

  constructor(shared: SharedArrayBuffer) {
    this.#rows = new NumberTable(shared, COLUMNS);
  }

  /** Rows that another thread has added can be used from now on. */
  refresh(): void {
    this.#rows.refresh();
  }

  /** Adds the row of one more entry. */
  push(): void {
    this.#rows.push();
  }

  set(index: number, { mode, inode, bytes, mtimeMs, ctimeMs, uid, gid, crc }: FoundFacts): void {
    this.#rows.set(index, MODE, mode);
    this.#rows.set(index, INODE, inode);
    this.#rows.set(index, BYTES, bytes);
    this.#rows.set(index, MTIME, mtimeMs);
    this.#rows.set(index, CTIME, ctimeMs);
    this.#rows.set(index, UID, uid);
    this.#rows.set(index, GID, gid);
    this.#rows.set(index, CRC, crc);
  }

  /** Of a link, whose target is read after it was looked at. */
  setCrc(index: number, crc: number): void {
    this.#rows.set(index, CRC, crc);
  }

  /** Undefined when the entry was not there any more. */
  get(index: number): FoundFacts | undefined {
    const mode = this.#rows.get(index, MODE);
    if (mode === 0) return undefined;
    return {
      mode,
      inode: this.#rows.get(index, INODE),
      bytes: this.#rows.get(index, BYTES),
      mtimeMs: this.#rows.get(index, MTIME),
      ctimeMs: this.#rows.get(index, CTIME),
      uid: this.#rows.get(index, UID),
      gid: this.#rows.get(index, GID),
      crc: this.#rows.get(index, CRC),
    };
  }
}
