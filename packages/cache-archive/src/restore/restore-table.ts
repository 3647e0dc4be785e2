import type { ArchivedEntry, EntryMetadata } from "../archived-entry.ts";
import { pathFromPart } from "../path-bytes.ts";
import { COLUMN, COLUMNS, KINDS } from "./restore-columns.ts";

/** What {@link RestoreTable} needs in another thread. */
export interface SharedRestore {
  readonly names: SharedArrayBuffer;
  readonly rows: SharedArrayBuffer;
}

/** Facts of an entry that only its format knows. */
export interface ContentFacts {
  readonly crc: number;
  readonly compressedBytes: number;
  readonly offset: number;
  readonly method: number;
  readonly flags: number;
  /** Of a tar archive: number of the frame that the entry begins in. */
  readonly frame: number;
}

/** What a file's metadata are written into. */
export interface MutableMetadata {
  readonly kind: "file";
  mode: number;
  mtimeMs: number;
  readonly owner: { uid: number; gid: number };
  bytes: number;
}

/** The entries that are to be restored, in memory that all participants share. */
export class RestoreTable {
  /** What the places of names are in. */
  readonly names: Buffer;
  /** A row of {@link COLUMNS} for each entry. */
  readonly numbers: Float64Array;

  constructor({ names, rows }: SharedRestore) {
    this.names = Buffer.from(names);
    this.numbers = new Float64Array(rows);
  }

  /** As in the archive. */
  rawName(index: number): Buffer {
    const start = this.number(index, COLUMN.nameStart);
    return this.names.subarray(start, start + this.number(index, COLUMN.nameLength));
  }

  /** The entry's place: a clean slash path relative to the root. */
  target(index: number): string {
    const start = this.number(index, COLUMN.targetStart);
    return pathFromPart(this.names, start, start + this.number(index, COLUMN.targetLength));
  }

  /** As in the archive, as a path. */
  name(index: number): string {
    const start = this.number(index, COLUMN.nameStart);
    return pathFromPart(this.names, start, start + this.number(index, COLUMN.nameLength));
  }

  entry(index: number): ArchivedEntry {
    return { name: this.name(index), ...this.metadata(index) };
  }

  /** Of an entry, without its name, which takes longer to make than all of the rest. */
  metadata(index: number): EntryMetadata {
    const uid = this.number(index, COLUMN.uid);
    return {
      kind: KINDS[this.number(index, COLUMN.kind)] ?? "other",
      mode: this.number(index, COLUMN.mode),
      mtimeMs: this.number(index, COLUMN.mtimeMs),
      owner: uid < 0 ? undefined : { uid, gid: this.number(index, COLUMN.gid) },
      bytes: this.number(index, COLUMN.bytes),
    };
  }

  /** The same for a file whose owner the archive names, written into an object that is used for one after the other. */
  putMetadata(index: number, target: MutableMetadata): EntryMetadata {
    const { numbers } = this;
    const row = index * COLUMNS;
    target.mode = numbers[row + COLUMN.mode] ?? 0;
    target.mtimeMs = numbers[row + COLUMN.mtimeMs] ?? 0;
    target.owner.uid = numbers[row + COLUMN.uid] ?? 0;
    target.owner.gid = numbers[row + COLUMN.gid] ?? 0;
    target.bytes = numbers[row + COLUMN.bytes] ?? 0;
    return target;
  }

  /** One of an entry's numbers. @param column - of {@link COLUMN} */
  number(index: number, column: number): number {
    return this.numbers[index * COLUMNS + column] ?? 0;
  }

  bytes(index: number): number {
    return this.number(index, COLUMN.bytes);
  }

  /** Whether the name of an entry, as in the archive, stands at a place in other bytes. */
  hasNameAt(index: number, bytes: Buffer, start: number, end: number): boolean {
    const nameStart = this.number(index, COLUMN.nameStart);
    if (this.number(index, COLUMN.nameLength) !== end - start) return false;
    // Names are so short that a call which compares them takes longer.
    for (let at = start; at < end; at += 1) if (bytes[at] !== this.names[nameStart + at - start]) return false;
    return true;
  }

  facts(index: number): ContentFacts {
    return {
      crc: this.number(index, COLUMN.crc),
      compressedBytes: this.number(index, COLUMN.compressedBytes),
      offset: this.number(index, COLUMN.offset),
      method: this.number(index, COLUMN.method),
      flags: this.number(index, COLUMN.flags),
      frame: this.number(index, COLUMN.frame),
    };
  }
}
