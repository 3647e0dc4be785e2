import type { ArchivedEntry, EntryMetadata } from "../archived-entry.ts";
import { pathFromPart, pathToBytes } from "../path-bytes.ts";
import { inSteps } from "../turn.ts";
import type { PlannedEntry } from "./restore-plan.ts";

/** What {@link RestoreTable} needs in another thread. */
export interface SharedRestore {
  readonly names: SharedArrayBuffer;
  readonly rows: SharedArrayBuffer;
  readonly count: number;
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

const KINDS = ["file", "directory", "symlink"] as const;

const COLUMN = {
  nameStart: 0,
  nameLength: 1,
  targetStart: 2,
  targetLength: 3,
  kind: 4,
  mode: 5,
  mtimeMs: 6,
  uid: 7,
  gid: 8,
  bytes: 9,
  crc: 10,
  compressedBytes: 11,
  offset: 12,
  method: 13,
  flags: 14,
  frame: 15,
} as const;
const COLUMNS = 16;

/** The entries that are to be restored, in memory that all participants share. */
export class RestoreTable {
  readonly count: number;
  readonly #names: Buffer;
  readonly #rows: Float64Array;

  /** In steps of less than a few milliseconds. */
  static *share<T extends ArchivedEntry>(
    planned: readonly PlannedEntry<T>[],
    factsOf: (entry: T) => ContentFacts,
  ): Generator<void, SharedRestore> {
    let characters = 0;
    for (const { entry, target } of planned) characters += entry.name.length + target.length;
    // No character takes more than three bytes for each of its units.
    const shared = {
      names: new SharedArrayBuffer(characters * 3),
      rows: new SharedArrayBuffer(planned.length * COLUMNS * 8),
      count: planned.length,
    };
    const table = new RestoreTable(shared);
    let at = 0;
    yield* inSteps(planned.length, ENTRIES_PER_STEP, (index) => {
      const row = planned[index];
      if (row !== undefined) at = table.#set(index, row.entry, row.target, factsOf(row.entry), at);
    });
    return shared;
  }

  constructor({ names, rows, count }: SharedRestore) {
    this.count = count;
    this.#names = Buffer.from(names);
    this.#rows = new Float64Array(rows);
  }

  /** As in the archive. */
  rawName(index: number): Buffer {
    const start = this.#get(index, COLUMN.nameStart);
    return this.#names.subarray(start, start + this.#get(index, COLUMN.nameLength));
  }

  /** The entry's place: a clean slash path relative to the root. */
  target(index: number): string {
    const start = this.#get(index, COLUMN.targetStart);
    return pathFromPart(this.#names, start, start + this.#get(index, COLUMN.targetLength));
  }

  entry(index: number): ArchivedEntry {
    const start = this.#get(index, COLUMN.nameStart);
    const name = pathFromPart(this.#names, start, start + this.#get(index, COLUMN.nameLength));
    return { name, ...this.metadata(index) };
  }

  /** Of an entry, without its name, which takes longer to make than all of the rest. */
  metadata(index: number): EntryMetadata {
    const uid = this.#get(index, COLUMN.uid);
    return {
      kind: KINDS[this.#get(index, COLUMN.kind)] ?? "other",
      mode: this.#get(index, COLUMN.mode),
      mtimeMs: this.#get(index, COLUMN.mtimeMs),
      owner: uid < 0 ? undefined : { uid, gid: this.#get(index, COLUMN.gid) },
      bytes: this.#get(index, COLUMN.bytes),
    };
  }

  bytes(index: number): number {
    return this.#get(index, COLUMN.bytes);
  }

  /** Whether the name of an entry, as in the archive, stands at a place in other bytes. */
  hasNameAt(index: number, bytes: Buffer, start: number, end: number): boolean {
    const nameStart = this.#get(index, COLUMN.nameStart);
    const nameLength = this.#get(index, COLUMN.nameLength);
    return (
      nameLength === end - start && bytes.compare(this.#names, nameStart, nameStart + nameLength, start, end) === 0
    );
  }

  facts(index: number): ContentFacts {
    return {
      crc: this.#get(index, COLUMN.crc),
      compressedBytes: this.#get(index, COLUMN.compressedBytes),
      offset: this.#get(index, COLUMN.offset),
      method: this.#get(index, COLUMN.method),
      flags: this.#get(index, COLUMN.flags),
      frame: this.#get(index, COLUMN.frame),
    };
  }

  #set(index: number, entry: ArchivedEntry, target: string, facts: ContentFacts, namesEnd: number): number {
    const nameLength = this.#write(entry.name, namesEnd);
    // Most are the same, or differ in the slash of a folder.
    const isStart = entry.name.length - target.length <= 1 && entry.name.startsWith(target);
    const targetStart = isStart ? namesEnd : namesEnd + nameLength;
    const targetLength = isStart ? nameLength - (entry.name.length - target.length) : this.#write(target, targetStart);
    const row = index * COLUMNS;
    const rows = this.#rows;
    rows[row + COLUMN.nameStart] = namesEnd;
    rows[row + COLUMN.nameLength] = nameLength;
    rows[row + COLUMN.targetStart] = targetStart;
    rows[row + COLUMN.targetLength] = targetLength;
    rows[row + COLUMN.kind] = KINDS.indexOf(entry.kind === "other" ? "file" : entry.kind);
    rows[row + COLUMN.mode] = entry.mode;
    rows[row + COLUMN.mtimeMs] = entry.mtimeMs;
    rows[row + COLUMN.uid] = entry.owner?.uid ?? -1;
    rows[row + COLUMN.gid] = entry.owner?.gid ?? -1;
    rows[row + COLUMN.bytes] = entry.bytes;
    rows[row + COLUMN.crc] = facts.crc;
    rows[row + COLUMN.compressedBytes] = facts.compressedBytes;
    rows[row + COLUMN.offset] = facts.offset;
    rows[row + COLUMN.method] = facts.method;
    rows[row + COLUMN.flags] = facts.flags;
    rows[row + COLUMN.frame] = facts.frame;
    return Math.max(namesEnd + nameLength, targetStart + targetLength);
  }

  #write(path: string, at: number): number {
    // A lone surrogate stands for a byte, which the fast way would not write.
    return path.isWellFormed() ? this.#names.write(path, at, "utf8") : pathToBytes(path).copy(this.#names, at);
  }

  #get(index: number, column: number): number {
    return this.#rows[index * COLUMNS + column] ?? 0;
  }
}

const ENTRIES_PER_STEP = 1000;
