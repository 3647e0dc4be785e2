import { isAscii } from "node:buffer";
import { constants } from "node:fs";

import type { EntryTable } from "../engine/entry-table.ts";
import type { FoundFacts, FoundTable } from "../engine/found-table.ts";
import { isCleanPath, pathFromPart, pathToBytes } from "../path-bytes.ts";
import { inSteps } from "../turn.ts";

/** What {@link ManifestRows} needs in another thread. */
export interface SharedRows {
  readonly names: SharedArrayBuffer;
  readonly rows: SharedArrayBuffer;
  readonly count: number;
}

const COLUMN = {
  start: 0,
  length: 1,
  mode: 2,
  inode: 3,
  bytes: 4,
  mtimeMs: 5,
  ctimeMs: 6,
  uid: 7,
  gid: 8,
  crc: 9,
} as const;
const COLUMNS = 10;
/** After so many entries the caller may do something else. */
const ENTRIES_PER_STEP = 2000;

/** Paths and how each was found, in memory that all participants share. */
export class ManifestRows {
  readonly count: number;
  readonly #names: Buffer;
  readonly #rows: Float64Array;

  static bytesFor(count: number): number {
    return count * COLUMNS * 8;
  }

  /** Rows of which nothing but the path is known, in steps of less than a few milliseconds. */
  static *share(count: number, pathAt: (index: number) => string): Generator<void, SharedRows> {
    const rows = new SharedArrayBuffer(ManifestRows.bytesFor(count));
    const numbers = new Float64Array(rows);
    const names: Buffer[] = [];
    let at = 0;
    yield* inSteps(count, ENTRIES_PER_STEP, (index) => {
      const name = pathToBytes(pathAt(index));
      numbers[index * COLUMNS + COLUMN.start] = at;
      numbers[index * COLUMNS + COLUMN.length] = name.length;
      names.push(name);
      at += name.length;
    });
    const shared = new SharedArrayBuffer(at);
    const bytes = Buffer.from(shared);
    at = 0;
    for (const name of names) at += name.copy(bytes, at);
    return { names: shared, rows, count };
  }

  /** Rows of what an archive was made of, in steps of less than a few milliseconds. */
  static *ofPacked(entries: EntryTable, found: FoundTable): Generator<void, SharedRows> {
    const { count } = entries;
    const names = entries.shareNames();
    const shared = { names, rows: new SharedArrayBuffer(ManifestRows.bytesFor(count)), count };
    const rows = new ManifestRows(shared);
    yield* inSteps(count, ENTRIES_PER_STEP, (index) => {
      const { start, length } = entries.namePlace(index);
      rows.#set(index, COLUMN.start, start);
      rows.#set(index, COLUMN.length, length);
      const facts = found.get(index);
      if (facts === undefined) return;
      if (entries.metadata(index).kind !== "file") {
        rows.setFound(index, facts);
        return;
      }
      const { bytes, crc } = entries.packed(index);
      // Something was added to it while it was read.
      if (facts.bytes === bytes) rows.setFound(index, { ...facts, crc });
    });
    return shared;
  }

  constructor({ names, rows, count }: SharedRows) {
    this.count = count;
    this.#names = Buffer.from(names);
    this.#rows = new Float64Array(rows);
  }

  path(index: number): string {
    const start = this.#get(index, COLUMN.start);
    return pathFromPart(this.#names, start, start + this.#get(index, COLUMN.length));
  }

  /** How an entry was found; undefined when it was not what it should have been. */
  found(index: number): FoundFacts | undefined {
    const mode = this.#get(index, COLUMN.mode);
    if (mode === 0) return undefined;
    return {
      mode,
      inode: this.#get(index, COLUMN.inode),
      bytes: this.#get(index, COLUMN.bytes),
      mtimeMs: this.#get(index, COLUMN.mtimeMs),
      ctimeMs: this.#get(index, COLUMN.ctimeMs),
      uid: this.#get(index, COLUMN.uid),
      gid: this.#get(index, COLUMN.gid),
      crc: this.#get(index, COLUMN.crc),
    };
  }

  /** Whether an entry was found to be a folder. */
  isFolder(index: number): boolean {
    return (this.#get(index, COLUMN.mode) & constants.S_IFMT) === constants.S_IFDIR;
  }

  setFound(index: number, { mode, inode, bytes, mtimeMs, ctimeMs, uid, gid, crc }: FoundFacts): void {
    const row = index * COLUMNS;
    this.#rows[row + COLUMN.mode] = mode;
    this.#rows[row + COLUMN.inode] = inode;
    this.#rows[row + COLUMN.bytes] = bytes;
    this.#rows[row + COLUMN.mtimeMs] = mtimeMs;
    this.#rows[row + COLUMN.ctimeMs] = ctimeMs;
    this.#rows[row + COLUMN.uid] = uid;
    this.#rows[row + COLUMN.gid] = gid;
    this.#rows[row + COLUMN.crc] = crc;
  }

  /** Nothing is known of the entry then, so it counts as changed. */
  forget(index: number): void {
    this.#rows[index * COLUMNS + COLUMN.mode] = 0;
  }

  setCrc(index: number, crc: number): void {
    this.#rows[index * COLUMNS + COLUMN.crc] = crc;
  }

  /** All paths; undefined when one is none that an archive could have: nothing that a file says may lead out of the root. */
  *soundPaths(): Generator<void, string[] | undefined> {
    const paths: string[] = [];
    let end = 0;
    // Nearly all trees have no other names, and parts of one string need neither a copy nor a look at each character.
    const plain = isAscii(this.#names) ? this.#names.toString("latin1") : undefined;
    yield* inSteps(this.count, ENTRIES_PER_STEP, (index) => {
      const start = this.#get(index, COLUMN.start);
      const length = this.#get(index, COLUMN.length);
      // None follows one that is not sound.
      if (paths.length < index || start !== end || !Number.isSafeInteger(length) || length < 1) return;
      end = start + length;
      if (end > this.#names.length) return;
      const path = plain === undefined ? this.path(index) : plain.slice(start, end);
      if (isCleanPath(path)) paths.push(path);
    });
    return paths.length === this.count && end === this.#names.length ? paths : undefined;
  }

  #set(index: number, column: number, value: number): void {
    this.#rows[index * COLUMNS + column] = value;
  }

  #get(index: number, column: number): number {
    return this.#rows[index * COLUMNS + column] ?? 0;
  }
}
