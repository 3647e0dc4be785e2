import { CacheArchiveError } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import { COLUMN, COLUMNS, DIRECTORY } from "./restore-columns.ts";
import type { RestoreRows } from "./restore-rows.ts";

const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * Where entries go, found on the bytes of their names: an absolute name lands below the root; one that climbs out of it is refused. Each name is compared
 * with the one before, since most begin with the same folders, and these need not be looked at again.
 */
export class EntryPlaces {
  readonly #rows: RestoreRows;
  /** The last place, a part of the names. */
  #start = 0;
  #length = 0;
  #common = 0;
  #slash = -1;
  #isAfter = false;
  #hasDots = false;

  constructor(rows: RestoreRows) {
    this.#rows = rows;
  }

  /** How many bytes of the last place are those of the one before, too. */
  get common(): number {
    return this.#common;
  }

  /** Where the last place has its last slash; -1 when it has none. */
  get slash(): number {
    return this.#slash;
  }

  /** Whether the last place comes after the one before in the order of their bytes. */
  get isAfter(): boolean {
    return this.#isAfter;
  }

  /** Whether the last place has a segment that begins with a dot and is not one of the place before. */
  get hasDots(): boolean {
    return this.#hasDots;
  }

  /** The last place, or as much of it, with a character for each byte. */
  key(length: number = this.#length): string {
    return this.#rows.names.toString("latin1", this.#start, this.#start + length);
  }

  /**
   * Finds the place of an entry and writes it into the entry's row: a clean slash path relative to the root, or `.`.
   *
   * @throws {CacheArchiveError} `outside-root`, `malformed`
   */
  find(index: number): void {
    const { names, numbers } = this.#rows;
    const row = index * COLUMNS;
    const start = numbers[row + COLUMN.nameStart] ?? 0;
    const nameLength = numbers[row + COLUMN.nameLength] ?? 0;
    // Those of folders end in a slash.
    const length = nameLength > 0 && names[start + nameLength - 1] === SLASH ? nameLength - 1 : nameLength;
    if (this.#look(names, start, length)) this.#take(row, start, length);
    else this.#takeCleaned(index, start, nameLength);
  }

  #takeCleaned(index: number, nameStart: number, nameLength: number): void {
    const name = this.#rows.names.toString("latin1", nameStart, nameStart + nameLength);
    const place = Buffer.from(this.#cleaned(index, name), "latin1");
    const start = this.#rows.addName(place);
    this.#look(this.#rows.names, start, place.length);
    this.#take(index * COLUMNS, start, place.length);
  }

  /** @param name - with a character for each byte */
  #cleaned(index: number, name: string): string {
    if (name.includes("\0")) throw entryFailure("malformed", this.#rows, index, "its name holds a zero byte");
    const segments: string[] = [];
    for (const segment of name.split("/")) {
      if (segment === "" || segment === ".") continue;
      if (segment !== "..") segments.push(segment);
      else if (segments.pop() === undefined) {
        throw entryFailure("outside-root", this.#rows, index, "its name leads outside the root");
      }
    }
    if (segments.length > 0) return segments.join("/");
    if (this.#rows.numbers[index * COLUMNS + COLUMN.kind] === DIRECTORY) return ".";
    throw entryFailure("malformed", this.#rows, index, "its name is that of the root");
  }

  #take(row: number, start: number, length: number): void {
    const { numbers } = this.#rows;
    numbers[row + COLUMN.targetStart] = start;
    numbers[row + COLUMN.targetLength] = length;
    this.#start = start;
    this.#length = length;
  }

  /** Compares what may be a place with the last one, and looks at the segments that are not the same. @returns whether all of them are names */
  #look(names: Buffer, start: number, length: number): boolean {
    const before = this.#start;
    const least = Math.min(length, this.#length);
    let common = 0;
    while (common < least && names[before + common] === names[start + common]) common += 1;
    this.#common = common;
    this.#isAfter = common === least ? length > least : (names[start + common] ?? 0) > (names[before + common] ?? 0);
    let segment = common;
    while (segment > 0 && names[start + segment - 1] !== SLASH) segment -= 1;
    this.#hasDots = false;
    for (let at = segment; at < length; at += 1) {
      const byte = names[start + at];
      if (byte === 0) return false;
      if (byte !== SLASH) continue;
      if (!this.#isName(names, start + segment, start + at)) return false;
      segment = at + 1;
    }
    this.#slash = segment - 1;
    return this.#isName(names, start + segment, start + length);
  }

  #isName(names: Buffer, start: number, end: number): boolean {
    if (start === end) return false;
    if (names[start] !== DOT) return true;
    this.#hasDots = true;
    return end - start > 2 || (end - start === 2 && names[start + 1] !== DOT);
  }
}

/** What is wrong with one entry. */
export function entryFailure(
  code: "malformed" | "outside-root" | "duplicate-name" | "too-large",
  rows: RestoreRows,
  index: number,
  what: string,
): CacheArchiveError {
  const entryName = printablePath(rows.table.name(index));
  return new CacheArchiveError({ code, message: `entry "${entryName}": ${what}`, entryName });
}
