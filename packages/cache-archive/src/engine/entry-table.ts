import { pathFromPart, pathToBytes } from "../path-bytes.ts";
import type { ArchiveEntry } from "../types.ts";
import { makeGrowing, makeRoom, NumberTable } from "./number-table.ts";

/** What {@link EntryTable} needs in another thread. */
export interface SharedEntries {
  readonly names: SharedArrayBuffer;
  readonly rows: SharedArrayBuffer;
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

/** No character of a path takes more bytes for each of its units. */
const MAX_UNIT_BYTES = 3;

/**
 * The entries of an archive in the making, in memory that all participants share. One thread adds entries, in the order of the
 * archive, while the others pack those that it has told them of.
 */
export class EntryTable {
  readonly #shared: SharedEntries;
  readonly #rows: NumberTable;
  #names: Buffer;

  static share(): SharedEntries {
    return { names: makeGrowing(0), rows: NumberTable.shareGrowing() };
  }

  constructor(shared: SharedEntries) {
    this.#shared = shared;
    this.#rows = new NumberTable(shared.rows, COLUMNS);
    this.#names = bytesOf(shared.names);
  }

  get count(): number {
    return this.#rows.length;
  }

  /** Entries that another thread has added can be used from now on. */
  refresh(): void {
    this.#rows.refresh();
    if (this.#names.length !== this.#shared.names.byteLength) this.#names = bytesOf(this.#shared.names);
  }

  push(entry: ArchiveEntry): void {
    const { path } = entry;
    const start = this.nameBytes;
    const most = start + path.length * MAX_UNIT_BYTES;
    if (most > this.#names.length) {
      makeRoom(this.#shared.names, most);
      this.#names = bytesOf(this.#shared.names);
    }
    // A lone surrogate stands for a byte, which the fast way would not write.
    const length = path.isWellFormed()
      ? this.#names.write(path, start, "utf8")
      : pathToBytes(path).copy(this.#names, start);
    const row = this.#rows.push();
    this.#rows.set(row, NAME_START, start);
    this.#rows.set(row, NAME_LENGTH, length);
    this.#rows.set(row, KIND, KINDS.indexOf(entry.kind));
    this.#rows.set(row, BYTES, entry.bytes);
    this.#rows.set(row, MODE, entry.mode);
    this.#rows.set(row, MTIME, entry.mtimeMs);
    this.#rows.set(row, UID, entry.uid);
    this.#rows.set(row, GID, entry.gid);
  }

  entry(index: number): ArchiveEntry {
    return { path: this.path(index), ...this.metadata(index) };
  }

  path(index: number): string {
    const start = this.#rows.get(index, NAME_START);
    return pathFromPart(this.#names, start, start + this.#rows.get(index, NAME_LENGTH));
  }

  kind(index: number): ArchiveEntry["kind"] {
    return KINDS[this.#rows.get(index, KIND)] ?? "file";
  }

  /** Of an entry, without its path, which takes longer to make than all of the rest. */
  metadata(index: number): Omit<ArchiveEntry, "path"> {
    return {
      kind: this.kind(index),
      bytes: this.#rows.get(index, BYTES),
      mode: this.#rows.get(index, MODE),
      mtimeMs: this.#rows.get(index, MTIME),
      uid: this.#rows.get(index, UID),
      gid: this.#rows.get(index, GID),
    };
  }

  /** Of all paths together. */
  get nameBytes(): number {
    const last = this.count - 1;
    return last < 0 ? 0 : this.#rows.get(last, NAME_START) + this.#rows.get(last, NAME_LENGTH);
  }

  /** The bytes of all paths, as of {@link refresh}. */
  get names(): Uint8Array {
    return this.#names;
  }

  /** Where the bytes of an entry's path are among {@link names} and {@link shareNames}. */
  namePlace(index: number): { start: number; length: number } {
    return { start: this.#rows.get(index, NAME_START), length: this.#rows.get(index, NAME_LENGTH) };
  }

  /** The bytes of all paths, one after the other. */
  shareNames(): SharedArrayBuffer {
    const names = new SharedArrayBuffer(this.nameBytes);
    this.#names.copy(Buffer.from(names));
    return names;
  }

  /** Writes the bytes of an entry's path to a place. @returns how many there are */
  copyName(index: number, target: Buffer, at: number): number {
    const start = this.#rows.get(index, NAME_START);
    return this.#names.copy(target, at, start, start + this.#rows.get(index, NAME_LENGTH));
  }

  setPacked(index: number, form: number, { crc, bytes, compressedBytes }: Omit<PackedFacts, "form">): void {
    this.#rows.set(index, CRC, crc);
    this.#rows.set(index, PACKED_FROM, bytes);
    this.#rows.set(index, PACKED_TO, compressedBytes);
    this.#rows.set(index, FORM, form);
  }

  /** Of a file whose parts were packed each on its own. */
  setCrc(index: number, crc: number): void {
    this.#rows.set(index, CRC, crc);
  }

  packed(index: number): PackedFacts {
    return {
      crc: this.#rows.get(index, CRC),
      bytes: this.#rows.get(index, PACKED_FROM),
      compressedBytes: this.#rows.get(index, PACKED_TO),
      form: this.#rows.get(index, FORM),
    };
  }

  setOffset(index: number, offset: number): void {
    this.#rows.set(index, OFFSET, offset);
  }

  offset(index: number): number {
    return this.#rows.get(index, OFFSET);
  }
}

/** As long as it is now. */
function bytesOf(memory: SharedArrayBuffer): Buffer {
  return Buffer.from(memory, 0, memory.byteLength);
}
