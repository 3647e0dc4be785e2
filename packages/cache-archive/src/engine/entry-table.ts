import { setImmediate as nextTurn } from "node:timers/promises";

import { pathFromPart, pathToBytes } from "../path-bytes.ts";
import type { ArchiveEntry } from "../types.ts";

/** What {@link EntryTable} needs in another thread. */
export interface SharedEntries {
  readonly names: SharedArrayBuffer;
  readonly rows: SharedArrayBuffer;
  readonly count: number;
}

/** Facts of an entry that are known only when it has been packed. */
export interface PackedFacts {
  readonly crc: number;
  readonly bytes: number;
  readonly compressedBytes: number;
  /** As its way of writing demands; a number that the writer of the format chooses. */
  readonly form: number;
}

const KINDS = ["file", "directory", "symlink"] as const;

const NAME_START = 0;
const NAME_LENGTH = 1;
const KIND = 2;
const BYTES = 3;
const MODE = 4;
const MTIME = 5;
const UID = 6;
const GID = 7;
const CRC = 8;
const PACKED_FROM = 9;
const PACKED_TO = 10;
const FORM = 11;
const OFFSET = 12;
const COLUMNS = 13;

/** After so many entries other work gets its turn. */
const ENTRIES_PER_TURN = 4000;

/** The entries of an archive in the making, in memory that all participants share. */
export class EntryTable {
  readonly count: number;
  readonly #names: Buffer;
  readonly #rows: Float64Array;

  /**
   * @param entries - in the order of the archive
   * @throws the signal's reason when it aborts
   */
  static async share(entries: readonly ArchiveEntry[], signal: AbortSignal | undefined): Promise<SharedEntries> {
    let characters = 0;
    for (const { path } of entries) characters += path.length;
    // No character of a path takes more than three bytes for each of its units.
    const names = new SharedArrayBuffer(characters * 3);
    const rows = new SharedArrayBuffer(entries.length * COLUMNS * 8);
    const shared = { names, rows, count: entries.length };
    const table = new EntryTable(shared);
    let at = 0;
    for (const [index, entry] of entries.entries()) {
      if (index % ENTRIES_PER_TURN === ENTRIES_PER_TURN - 1) {
        await nextTurn();
        signal?.throwIfAborted();
      }
      at = table.#set(index, entry, at);
    }
    return shared;
  }

  constructor({ names, rows, count }: SharedEntries) {
    this.count = count;
    this.#names = Buffer.from(names);
    this.#rows = new Float64Array(rows);
  }

  entry(index: number): ArchiveEntry {
    const start = this.#get(index, NAME_START);
    const path = pathFromPart(this.#names, start, start + this.#get(index, NAME_LENGTH));
    return { path, ...this.metadata(index) };
  }

  /** Of an entry, without its path, which takes longer to make than all of the rest. */
  metadata(index: number): Omit<ArchiveEntry, "path"> {
    return {
      kind: KINDS[this.#get(index, KIND)] ?? "file",
      bytes: this.#get(index, BYTES),
      mode: this.#get(index, MODE),
      mtimeMs: this.#get(index, MTIME),
      uid: this.#get(index, UID),
      gid: this.#get(index, GID),
    };
  }

  /** Of all paths together. */
  get nameBytes(): number {
    const last = this.count - 1;
    return last < 0 ? 0 : this.#get(last, NAME_START) + this.#get(last, NAME_LENGTH);
  }

  /** Writes the bytes of an entry's path to a place. @returns how many there are */
  copyName(index: number, target: Buffer, at: number): number {
    const start = this.#get(index, NAME_START);
    return this.#names.copy(target, at, start, start + this.#get(index, NAME_LENGTH));
  }

  setPacked(index: number, form: number, { crc, bytes, compressedBytes }: Omit<PackedFacts, "form">): void {
    const row = index * COLUMNS;
    this.#rows[row + CRC] = crc;
    this.#rows[row + PACKED_FROM] = bytes;
    this.#rows[row + PACKED_TO] = compressedBytes;
    this.#rows[row + FORM] = form;
  }

  packed(index: number): PackedFacts {
    return {
      crc: this.#get(index, CRC),
      bytes: this.#get(index, PACKED_FROM),
      compressedBytes: this.#get(index, PACKED_TO),
      form: this.#get(index, FORM),
    };
  }

  setOffset(index: number, offset: number): void {
    this.#rows[index * COLUMNS + OFFSET] = offset;
  }

  offset(index: number): number {
    return this.#get(index, OFFSET);
  }

  #set(index: number, entry: ArchiveEntry, nameStart: number): number {
    const row = index * COLUMNS;
    const { path } = entry;
    // A lone surrogate stands for a byte, which the fast way would not write.
    const nameLength = path.isWellFormed()
      ? this.#names.write(path, nameStart, "utf8")
      : pathToBytes(path).copy(this.#names, nameStart);
    const rows = this.#rows;
    rows[row + NAME_START] = nameStart;
    rows[row + NAME_LENGTH] = nameLength;
    rows[row + KIND] = KINDS.indexOf(entry.kind);
    rows[row + BYTES] = entry.bytes;
    rows[row + MODE] = entry.mode;
    rows[row + MTIME] = entry.mtimeMs;
    rows[row + UID] = entry.uid;
    rows[row + GID] = entry.gid;
    return nameStart + nameLength;
  }

  #get(index: number, column: number): number {
    return this.#rows[index * COLUMNS + column] ?? 0;
  }
}
