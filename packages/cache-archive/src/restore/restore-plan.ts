import type { ArchivedEntry } from "../archived-entry.ts";
import { CacheArchiveError } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import { inSteps } from "../turn.ts";
import { isStagingPath, STAGING_PREFIX } from "./staging-name.ts";

/** Limits on what an archive may unpack to. */
export interface RestoreLimits {
  readonly maxBytes: number;
  readonly maxRatio: number;
}

/** An entry and its place: a clean slash path relative to the root, or `.`. */
export interface PlannedEntry<T extends ArchivedEntry> {
  readonly entry: T;
  readonly target: string;
}

/** What is written in which order: files, then links, then the metadata of directories. */
export interface RestorePlan<T extends ArchivedEntry> {
  readonly directories: readonly PlannedEntry<T>[];
  readonly files: readonly PlannedEntry<T>[];
  readonly symlinks: readonly PlannedEntry<T>[];
  /** Folders that something lies in, which is restored with them. */
  readonly parents: ReadonlySet<string>;
}

/** After so many entries the caller may do something else. */
const ENTRIES_PER_STEP = 2000;

/** Grows by one entry at a time, so that a long archive can be planned in turns. */
export class RestorePlanner<T extends ArchivedEntry> {
  readonly #directories: PlannedEntry<T>[] = [];
  readonly #files: PlannedEntry<T>[] = [];
  readonly #symlinks: PlannedEntry<T>[] = [];
  /** Places from the first entry on that is out of order. */
  #unordered: Set<string> | undefined;
  /** The lists as they were before that one: each in the order of its places. */
  #ordered: readonly OrderedList[] = [];
  /** The last place in order. */
  #last = "";
  /** Folders that some entry lies in. */
  readonly #parents = new Set<string>();
  #lastParent = "";
  readonly #limits: RestoreLimits;
  readonly #archiveBytes: number;
  #bytes = 0;

  constructor(limits: RestoreLimits, archiveBytes: number) {
    this.#limits = limits;
    this.#archiveBytes = archiveBytes;
  }

  /**
   * @returns the entry with its place; undefined for what is not restored, such as devices
   * @throws {CacheArchiveError} `outside-root`: the name leads out, or is one of unfinished restores; `duplicate-name`: another entry has the same place;
   *   `too-large`: all entries so far are above a limit
   */
  add(entry: T): PlannedEntry<T> | undefined {
    if (entry.kind === "other") {
      // Its content is unpacked all the same, if only to get past it.
      this.#count(entry);
      return undefined;
    }
    const target = targetOf(entry);
    // It would be taken for a restore of ours, and completed.
    if (isStagingPath(target)) {
      throw failure("outside-root", entry, `names that begin with ${STAGING_PREFIX} are kept for unfinished restores`);
    }
    this.#takePlace(target, entry);
    this.#addParents(target);
    this.#count(entry);
    const planned = { entry, target };
    this.#listOf(entry.kind).push(planned);
    return planned;
  }

  /** Length of all content so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** In steps of less than a few milliseconds. @throws {CacheArchiveError} `outside-root`, `malformed`: an entry lies below one that is not a folder */
  *finish(): Generator<void, RestorePlan<T>> {
    const folders = new Set<string>();
    yield* eachOf(this.#directories, ({ target }) => void folders.add(target));
    // Nearly always none, since most archives have an entry for every folder.
    const unknown = new Set<string>();
    yield* eachOf([...this.#parents], (parent) => {
      if (!folders.has(parent)) unknown.add(parent);
    });
    if (unknown.size > 0) yield* this.#checkParents(unknown);
    return {
      directories: this.#directories,
      files: this.#files,
      symlinks: this.#symlinks,
      parents: this.#parents,
    };
  }

  *#checkParents(parents: ReadonlySet<string>): Generator<void, void> {
    for (const list of [this.#files, this.#symlinks]) {
      yield* eachOf(list, ({ target, entry }) => {
        if (!parents.has(target)) return;
        if (entry.kind === "symlink") throw failure("outside-root", entry, "other entries lie below this link");
        throw failure("malformed", entry, "other entries lie below this file");
      });
    }
  }

  /** What comes after all others is the place of none of them, so only archives that are out of order are looked up. */
  #takePlace(target: string, entry: T): void {
    if (this.#unordered === undefined && target > this.#last) {
      this.#last = target;
      return;
    }
    if (this.#unordered === undefined) {
      this.#unordered = new Set();
      this.#ordered = [this.#directories, this.#files, this.#symlinks].map((list) => ({ list, length: list.length }));
    }
    const isTaken = this.#unordered.has(target) || (target <= this.#last && this.#ordered.some(holds(target)));
    if (isTaken) throw failure("duplicate-name", entry, "another entry has the same place");
    this.#unordered.add(target);
  }

  #listOf(kind: "file" | "symlink" | "directory"): PlannedEntry<T>[] {
    if (kind === "file") return this.#files;
    return kind === "symlink" ? this.#symlinks : this.#directories;
  }

  #addParents(target: string): void {
    const lastSlash = target.lastIndexOf("/");
    if (lastSlash === -1 || (lastSlash === this.#lastParent.length && target.startsWith(this.#lastParent))) return;
    this.#lastParent = target.slice(0, lastSlash);
    for (let slash = target.lastIndexOf("/"); slash !== -1; slash = target.lastIndexOf("/", slash - 1)) {
      const parent = target.slice(0, slash);
      if (this.#parents.has(parent)) return;
      this.#parents.add(parent);
    }
  }

  #count(entry: T): void {
    this.#bytes += entry.bytes;
    const { maxBytes, maxRatio } = this.#limits;
    if (this.#bytes > maxBytes) {
      throw failure("too-large", entry, `with it the files have more than maxBytes ${maxBytes}`);
    }
    if (this.#bytes > maxRatio * this.#archiveBytes) {
      throw failure("too-large", entry, `with it the files are more than maxRatio ${maxRatio} times the archive`);
    }
  }
}

interface OrderedList {
  readonly list: readonly { readonly target: string }[];
  /** What comes after it may be out of order. */
  readonly length: number;
}

/** Whether a list holds a place. Each look takes a few comparisons, where a map of all places takes a tenth of a second to make. */
function holds(target: string): (ordered: OrderedList) => boolean {
  return ({ list, length }) => {
    let low = 0;
    for (let high = length; low < high;) {
      const middle = (low + high) >>> 1;
      if ((list[middle]?.target ?? "") < target) low = middle + 1;
      else high = middle;
    }
    return low < length && list[low]?.target === target;
  };
}

function eachOf<T>(items: readonly T[], visit: (item: T) => void): Generator<void, void> {
  return inSteps(items.length, ENTRIES_PER_STEP, (index) => {
    const item = items[index];
    if (item !== undefined) visit(item);
  });
}

/** Where an entry goes: an absolute name lands below the root; one that climbs out of it is refused. */
export function targetOf(entry: ArchivedEntry): string {
  // Those of folders end in a slash.
  const name = entry.name.endsWith("/") ? entry.name.slice(0, -1) : entry.name;
  if (isClean(name)) return name;
  if (entry.name.includes("\0")) throw failure("malformed", entry, "its name holds a zero byte");
  const segments: string[] = [];
  for (const segment of entry.name.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment !== "..") segments.push(segment);
    else if (segments.pop() === undefined) throw failure("outside-root", entry, "its name leads outside the root");
  }
  if (segments.length > 0) return segments.join("/");
  if (entry.kind !== "directory") throw failure("malformed", entry, "its name is that of the root");
  return ".";
}

/** Almost all names are, and need not be taken apart. */
function isClean(name: string): boolean {
  return !/[\0]|(?:^|\/)\.{0,2}(?:\/|$)/.test(name);
}

function failure(
  code: "malformed" | "outside-root" | "duplicate-name" | "too-large",
  entry: ArchivedEntry,
  what: string,
): CacheArchiveError {
  const entryName = printablePath(entry.name);
  return new CacheArchiveError({ code, message: `entry "${entryName}": ${what}`, entryName });
}
