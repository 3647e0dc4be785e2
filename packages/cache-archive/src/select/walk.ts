import { lstatSync, readdirSync, statSync } from "node:fs";
import type { Dirent, Stats } from "node:fs";
import { errnoOf } from "../errors.ts";
import { isMissing, unlessMissing } from "../missing.ts";
import type { Glob, GlobState } from "./glob.ts";
import { hasOtherOrder, pathFromBytes, printablePath, sortByPathBytes, toFileSystemPath } from "../path-bytes.ts";
import { Turn } from "../turn.ts";
import type { ArchiveEntry } from "../types.ts";

export interface WalkOptions {
  /** Absolute path; entries are relative to it. */
  readonly root: string;
  /** Whether an entry is left out. What lies below it is still visited. */
  readonly isExcluded: (path: string) => boolean;
  readonly warn: (line: string) => void;
  readonly signal: AbortSignal | undefined;
}

/** One path, without what is below it; undefined when it is not there, excluded, or neither file, folder nor link. */
export function lookAt(path: string, options: Pick<WalkOptions, "root" | "isExcluded">): ArchiveEntry | undefined {
  if (options.isExcluded(path)) return undefined;
  const stats = unlessMissing(() => lstatSync(toFileSystemPath(`${options.root}/${path}`), QUIET));
  return stats === undefined ? undefined : toEntry(path, stats);
}

const QUIET = { throwIfNoEntry: false } as const;

/** A folder that is being visited. */
interface Visit {
  readonly folder: string;
  readonly keys: readonly string[];
  next: number;
  readonly state: GlobState | undefined;
  /** How many of the folders on the way here, and the folder itself, are matches. */
  readonly matches: number;
}

/**
 * Finds what a glob matches below a base, and everything below each match, in byte order of the paths. Links are not followed, except
 * in the base itself.
 *
 * Looks with synchronous calls, in short turns: a trip to another thread for each of tens of thousands of entries takes the
 * main thread several times longer than the calls themselves.
 */
export class Walk {
  /** An entry below several matches counts for each. */
  visits = 0;
  readonly #base: string;
  readonly #glob: Glob | undefined;
  readonly #options: WalkOptions;
  readonly #open: Visit[] = [];
  #found: ArchiveEntry[] = [];

  /** @param glob - undefined takes `base` and everything below it */
  constructor(base: string, glob: Glob | undefined, options: WalkOptions) {
    this.#base = base;
    this.#glob = glob;
    this.#options = options;
  }

  /** What was found, a turn at a time. */
  async *entries(): AsyncGenerator<readonly ArchiveEntry[]> {
    const turn = new Turn();
    this.#begin();
    for (;;) {
      this.#options.signal?.throwIfAborted();
      while (!turn.isOver && this.#step());
      if (this.#found.length > 0) yield this.#found;
      this.#found = [];
      if (this.#open.length === 0) return;
      await turn.next();
    }
  }

  #begin(): void {
    const place = toFileSystemPath(`${this.#options.root}/${this.#base}`);
    const target = unlessMissing(() => statSync(place, QUIET));
    // A link that leads nowhere is not found by its name, as in the reference.
    if (target === undefined) return;
    if (this.#glob === undefined) {
      this.#record(this.#base, 1);
      if (lstatSync(place).isDirectory()) this.#enter(this.#base, undefined, 1);
    } else if (target.isDirectory()) {
      const state = this.#glob.start();
      const matches = state.isMatch ? 1 : 0;
      this.#record(this.#base, matches);
      this.#enter(this.#base, state, matches);
    }
  }

  #enter(folder: string, state: GlobState | undefined, matches: number): void {
    this.#open.push({ folder, keys: this.#keys(folder), next: 0, state, matches });
  }

  /** @returns false when nothing is left */
  #step(): boolean {
    const visit = this.#open.at(-1);
    if (visit === undefined) return false;
    const key = visit.keys[visit.next];
    if (key === undefined) {
      this.#open.pop();
      return true;
    }
    visit.next += 1;
    const isContent = key.endsWith("/");
    const name = isContent ? key.slice(0, -1) : key;
    const path = visit.folder === "." ? name : `${visit.folder}/${name}`;
    const state = visit.state === undefined ? undefined : this.#glob?.advance(visit.state, name);
    const matches = visit.matches + (state?.isMatch === true ? 1 : 0);
    if (!isContent) this.#record(path, matches);
    else if (matches > 0 || state?.canContinue === true) this.#enter(path, state, matches);
    return true;
  }

  #record(path: string, matches: number): void {
    if (matches === 0) return;
    const entry = lookAt(path, this.#options);
    if (entry === undefined) return;
    this.visits += matches;
    this.#found.push(entry);
  }

  /**
   * The names in a folder in byte order, and those of folders once more with a slash, for what is below them: `a`, `a-b`, then
   * `a/`.
   */
  #keys(folder: string): string[] {
    const place = toFileSystemPath(`${this.#options.root}/${folder}`);
    try {
      const keys: string[] = [];
      for (const entry of readdirSync(place, { withFileTypes: true })) addKeys(keys, entry.name, entry);
      // The replacement character, which may stand for bytes that are not UTF-8, is one of those.
      if (!hasOtherOrder(keys.join("/"))) return keys.sort();
      return this.#keysOfBytes(place);
    } catch (error) {
      if (isMissing(error)) return [];
      const reason = errnoOf(error) ?? String(error);
      this.#options.warn(`The folder "${printablePath(folder)}" cannot be read (${reason}); its content is left out.`);
      return [];
    }
  }

  #keysOfBytes(place: string | Buffer): string[] {
    const keys: string[] = [];
    for (const entry of readdirSync(place, { withFileTypes: true, encoding: "buffer" })) {
      addKeys(keys, pathFromBytes(entry.name), entry);
    }
    return sortByPathBytes(keys, (key) => key);
  }
}

function addKeys(keys: string[], name: string, entry: Dirent | Dirent<Buffer>): void {
  keys.push(name);
  if (entry.isDirectory()) keys.push(`${name}/`);
}

function toEntry(path: string, stats: Stats): ArchiveEntry | undefined {
  const kind = kindOf(stats);
  if (kind === undefined) return undefined;
  const { mtimeMs, uid, gid } = stats;
  return { path, kind, bytes: kind === "file" ? stats.size : 0, mode: stats.mode & 0o7777, mtimeMs, uid, gid };
}

function kindOf(stats: Stats): ArchiveEntry["kind"] | undefined {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  return stats.isSymbolicLink() ? "symlink" : undefined;
}
