import { lstatSync, readdirSync, statSync } from "node:fs";
import type { Dirent, Stats } from "node:fs";
import { errnoOf } from "../errors.ts";
import { isMissing, unlessMissing } from "../missing.ts";
import type { Glob, GlobState } from "./glob.ts";
import { pathFromBytes, printablePath, sortByPathBytes, toFileSystemPath } from "../path-bytes.ts";
import { Turn } from "../turn.ts";
import type { ArchiveEntry } from "../types.ts";

export interface WalkOptions {
  /** Absolute path; entries are relative to it. */
  readonly root: string;
  /** Whether an entry is left out. What lies below it is still visited. */
  readonly isExcluded: (path: string) => boolean;
  /** Told of each entry, in byte order of their paths. */
  readonly take: (entry: ArchiveEntry) => void;
  readonly warn: (line: string) => void;
  readonly signal: AbortSignal | undefined;
}

/**
 * Finds what a glob matches below `base`, and everything below each match.
 *
 * Links are not followed, except in `base` itself.
 *
 * @param glob - undefined takes `base` and everything below it
 * @returns visits: an entry below several matches counts for each
 */
export async function walk(base: string, glob: Glob | undefined, options: WalkOptions): Promise<number> {
  const walker = new Walker(glob, options);
  await walker.walkFrom(base);
  return walker.visits;
}

/** One path, without what is below it; undefined when it is not there, excluded, or neither file, folder nor link. */
export function lookAt(path: string, options: Pick<WalkOptions, "root" | "isExcluded">): ArchiveEntry | undefined {
  if (options.isExcluded(path)) return undefined;
  const stats = unlessMissing(() => lstatSync(toFileSystemPath(`${options.root}/${path}`), QUIET));
  return stats === undefined ? undefined : toEntry(path, stats);
}

const QUIET = { throwIfNoEntry: false } as const;

/**
 * Looks with synchronous calls, in short turns: a trip to another thread for each of tens of thousands of entries takes the
 * main thread several times longer than the calls themselves.
 */
class Walker {
  visits = 0;
  readonly #glob: Glob | undefined;
  readonly #options: WalkOptions;
  readonly #turn = new Turn();

  constructor(glob: Glob | undefined, options: WalkOptions) {
    this.#glob = glob;
    this.#options = options;
  }

  async walkFrom(base: string): Promise<void> {
    const place = toFileSystemPath(`${this.#options.root}/${base}`);
    const target = unlessMissing(() => statSync(place, QUIET));
    // A link that leads nowhere is not found by its name, as in the reference.
    if (target === undefined) return;
    if (this.#glob === undefined) {
      this.#record(base, 1);
      if (lstatSync(place).isDirectory()) await this.#content(base, undefined, 1);
    } else if (target.isDirectory()) {
      const state = this.#glob.start();
      const matches = state.isMatch ? 1 : 0;
      this.#record(base, matches);
      await this.#content(base, state, matches);
    }
  }

  /** @param matches - how many of the folders on the way here are matches */
  async #content(folder: string, state: GlobState | undefined, matches: number): Promise<void> {
    this.#options.signal?.throwIfAborted();
    for (const key of this.#keys(folder)) {
      if (this.#turn.isOver) await this.#turn.next();
      const isContent = key.endsWith("/");
      const name = isContent ? key.slice(0, -1) : key;
      const path = folder === "." ? name : `${folder}/${name}`;
      const next = state === undefined ? undefined : this.#glob?.advance(state, name);
      const count = matches + (next?.isMatch === true ? 1 : 0);
      if (!isContent) this.#record(path, count);
      else if (count > 0 || next?.canContinue === true) await this.#content(path, next, count);
    }
  }

  #record(path: string, matches: number): void {
    if (matches === 0) return;
    const entry = lookAt(path, this.#options);
    if (entry === undefined) return;
    this.visits += matches;
    this.#options.take(entry);
  }

  /**
   * The names in a folder in byte order, and those of folders once more with a slash, for what is below them: `a`, `a-b`, then
   * `a/`.
   */
  #keys(folder: string): string[] {
    const keys: string[] = [];
    for (const { name, isFolder } of this.#names(folder)) {
      keys.push(name);
      if (isFolder) keys.push(`${name}/`);
    }
    return sortByPathBytes(keys, (key) => key);
  }

  #names(folder: string): { name: string; isFolder: boolean }[] {
    const place = toFileSystemPath(`${this.#options.root}/${folder}`);
    try {
      const found = readdirSync(place, { withFileTypes: true });
      if (!found.some(({ name }) => name.includes("\ufffd"))) return found.map((entry) => named(entry.name, entry));
      // The replacement character may stand for bytes that are not UTF-8.
      const raw = readdirSync(place, { withFileTypes: true, encoding: "buffer" });
      return raw.map((entry) => named(pathFromBytes(entry.name), entry));
    } catch (error) {
      if (isMissing(error)) return [];
      const reason = errnoOf(error) ?? String(error);
      this.#options.warn(`The folder "${printablePath(folder)}" cannot be read (${reason}); its content is left out.`);
      return [];
    }
  }
}

function named(name: string, entry: Dirent | Dirent<Buffer>): { name: string; isFolder: boolean } {
  return { name, isFolder: entry.isDirectory() };
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
