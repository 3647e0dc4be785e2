import { inSteps } from "../turn.ts";
import { EntryPlaces, entryFailure } from "./entry-places.ts";
import { COLUMN, COLUMNS, FILE, OTHER, SYMLINK } from "./restore-columns.ts";
import type { RestoreRows } from "./restore-rows.ts";
import { isStagingPath, STAGING_PREFIX } from "./staging-name.ts";

/** Limits on what an archive may unpack to. */
export interface RestoreLimits {
  readonly maxBytes: number;
  readonly maxRatio: number;
}

/** What is written in which order: files, then links, then the metadata of directories. All by their index. */
export interface RestorePlan {
  readonly directories: readonly number[];
  readonly files: Int32Array;
  readonly symlinks: readonly number[];
  /** Directories that nothing lies in, which are not made with what they hold. */
  readonly empty: readonly number[];
}

/** After so many entries the caller may do something else. */
const ENTRIES_PER_STEP = 2000;

/** Judges the names and places of entries, one after the other, so that a long archive can be planned in turns, or while it is read. */
export class RestorePlanner {
  readonly #rows: RestoreRows;
  readonly #places: EntryPlaces;
  /** Entries whose place comes after the places of all before them. */
  #ordered: Int32Array;
  #orderedCount = 0;
  #isLastOrdered = true;
  /** The places of all others. */
  readonly #unordered = new Set<string>();
  /** Folders that some entry lies in. */
  readonly #parents = new Set<string>();
  readonly #limits: RestoreLimits;
  readonly #archiveBytes: number;
  #bytes = 0;

  constructor(rows: RestoreRows, limits: RestoreLimits, archiveBytes: number) {
    this.#rows = rows;
    this.#places = new EntryPlaces(rows);
    this.#ordered = new Int32Array(rows.room);
    this.#limits = limits;
    this.#archiveBytes = archiveBytes;
  }

  /**
   * @returns whether the entry has a place in the table now; it has none when it is not restored, such as devices
   * @throws {CacheArchiveError} `outside-root`: the name leads out, or is one of unfinished restores; `duplicate-name`: another entry has the same place;
   *   `too-large`: all entries so far are above a limit
   */
  add(index: number): boolean {
    if (this.#column(index, COLUMN.kind) === OTHER) {
      // Its content is unpacked all the same, if only to get past it.
      this.#count(index);
      return false;
    }
    const places = this.#places;
    places.find(index);
    // It would be taken for a restore of ours, and completed.
    if (places.hasDots && isStagingPath(places.key())) {
      const what = `names that begin with ${STAGING_PREFIX} are kept for unfinished restores`;
      throw entryFailure("outside-root", this.#rows, index, what);
    }
    this.#takePlace(index);
    // One that the place before lies in, too, is known.
    if (places.slash >= places.common) this.#addParents();
    this.#count(index);
    return true;
  }

  /** Length of all content so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** In steps of less than a few milliseconds. @throws {CacheArchiveError} `outside-root`, `malformed`: an entry lies below one that is not a folder */
  *finish(): Generator<void, RestorePlan> {
    const files = new Int32Array(this.#rows.count);
    let fileCount = 0;
    const directories: number[] = [];
    const symlinks: number[] = [];
    const empty: number[] = [];
    const folders = new Set<string>();
    let known = 0;
    yield* inSteps(this.#rows.count, ENTRIES_PER_STEP, (index) => {
      const kind = this.#column(index, COLUMN.kind);
      if (kind === FILE) {
        files[fileCount] = index;
        fileCount += 1;
      } else if (kind === SYMLINK) symlinks.push(index);
      else if (kind !== OTHER) {
        const key = this.#key(index);
        directories.push(index);
        folders.add(key);
        if (this.#parents.has(key)) known += 1;
        else empty.push(index);
      }
    });
    // Nearly always none is left, since most archives have an entry for every folder.
    const found = files.subarray(0, fileCount);
    if (known < this.#parents.size) yield* this.#checkParents(folders, [found, symlinks]);
    return { directories, files: found, symlinks, empty };
  }

  *#checkParents(folders: ReadonlySet<string>, lists: readonly ArrayLike<number>[]): Generator<void, void> {
    const unknown = new Set<string>();
    yield* this.#eachOf([...this.#parents], (parent) => {
      if (!folders.has(parent)) unknown.add(parent);
    });
    for (const list of lists) {
      yield* this.#eachOf(list, (index) => {
        if (!unknown.has(this.#key(index))) return;
        if (this.#column(index, COLUMN.kind) === SYMLINK) {
          throw entryFailure("outside-root", this.#rows, index, "other entries lie below this link");
        }
        throw entryFailure("malformed", this.#rows, index, "other entries lie below this file");
      });
    }
  }

  *#eachOf<T>(items: ArrayLike<T>, visit: (item: T) => void): Generator<void, void> {
    yield* inSteps(items.length, ENTRIES_PER_STEP, (nth) => {
      const item = items[nth];
      if (item !== undefined) visit(item);
    });
  }

  /** What comes after all others is the place of none of them, so only entries that are out of order are looked up. */
  #takePlace(index: number): void {
    const last = this.#isLastOrdered ? undefined : this.#ordered[this.#orderedCount - 1];
    this.#isLastOrdered = last === undefined ? this.#places.isAfter : this.#compare(last, index) < 0;
    if (this.#isLastOrdered) {
      this.#addOrdered(index);
      return;
    }
    const key = this.#places.key();
    if (this.#unordered.has(key) || this.#isOrdered(index)) {
      throw entryFailure("duplicate-name", this.#rows, index, "another entry has the same place");
    }
    this.#unordered.add(key);
  }

  #addOrdered(index: number): void {
    if (this.#orderedCount === this.#ordered.length) {
      const longer = new Int32Array(Math.max(2 * this.#orderedCount, this.#rows.room));
      longer.set(this.#ordered);
      this.#ordered = longer;
    }
    this.#ordered[this.#orderedCount] = index;
    this.#orderedCount += 1;
  }

  /** Whether the place of an entry is that of one in order. Each look takes a few comparisons, where a map of all places takes a tenth of a second to make. */
  #isOrdered(index: number): boolean {
    let low = 0;
    for (let high = this.#orderedCount; low < high;) {
      const middle = (low + high) >>> 1;
      const order = this.#compare(this.#ordered[middle] ?? 0, index);
      if (order === 0) return true;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return false;
  }

  #compare(one: number, other: number): number {
    const { names } = this.#rows;
    const start = this.#column(one, COLUMN.targetStart);
    const end = start + this.#column(one, COLUMN.targetLength);
    const otherStart = this.#column(other, COLUMN.targetStart);
    const otherEnd = otherStart + this.#column(other, COLUMN.targetLength);
    return names.compare(names, otherStart, otherEnd, start, end);
  }

  #addParents(): void {
    const parent = this.#places.key(this.#places.slash);
    for (let end = parent.length; end !== -1; end = parent.lastIndexOf("/", end - 1)) {
      const folder = parent.slice(0, end);
      if (this.#parents.has(folder)) return;
      this.#parents.add(folder);
    }
  }

  #key(index: number): string {
    const start = this.#column(index, COLUMN.targetStart);
    return this.#rows.names.toString("latin1", start, start + this.#column(index, COLUMN.targetLength));
  }

  #count(index: number): void {
    this.#bytes += this.#column(index, COLUMN.bytes);
    const { maxBytes, maxRatio } = this.#limits;
    if (this.#bytes > maxBytes) {
      throw entryFailure("too-large", this.#rows, index, `with it the files have more than maxBytes ${maxBytes}`);
    }
    if (this.#bytes > maxRatio * this.#archiveBytes) {
      const what = `with it the files are more than maxRatio ${maxRatio} times the archive`;
      throw entryFailure("too-large", this.#rows, index, what);
    }
  }

  #column(index: number, column: number): number {
    return this.#rows.numbers[index * COLUMNS + column] ?? 0;
  }
}
