import { lstat, readdir, stat } from "node:fs/promises";
import type { Dirent, Stats } from "node:fs";
import { errnoOf } from "./errors.ts";
import type { Glob, GlobState } from "./glob.ts";
import { createLimiter } from "./limiter.ts";
import { pathFromBytes, printablePath, sortByPathBytes, toFileSystemPath } from "./path-bytes.ts";
import type { ArchiveEntry } from "./types.ts";

export interface WalkOptions {
  /** Absolute path; entries are relative to it. */
  readonly root: string;
  /** Whether an entry is left out. What lies below it is still visited. */
  readonly isExcluded: (path: string) => boolean;
  readonly warn: (line: string) => void;
  readonly signal: AbortSignal | undefined;
}

export interface Walked {
  readonly entries: readonly ArchiveEntry[];
  /** Visits: an entry below several matches counts for each. */
  readonly visits: number;
}

/** Folders read at once: enough to keep the file system busy, few enough for a shared machine. */
const FOLDERS_AT_ONCE = 16;

/**
 * Finds what a glob matches below `base`, and everything below each match.
 *
 * Links are not followed, except in `base` itself.
 *
 * @param glob - undefined takes `base` and everything below it
 * @returns entries in byte order of their paths
 */
export async function walk(base: string, glob: Glob | undefined, options: WalkOptions): Promise<Walked> {
  const walker = new Walker(glob, options);
  return { entries: await walker.walkFrom(base), visits: walker.visits };
}

/** One path, without what is below it; undefined when it is not there, excluded, or neither file, folder nor link. */
export async function lookAt(path: string, options: WalkOptions): Promise<ArchiveEntry | undefined> {
  if (options.isExcluded(path)) return undefined;
  const stats = await unlessMissing(lstat(toFileSystemPath(`${options.root}/${path}`)));
  return stats === undefined ? undefined : toEntry(path, stats);
}

class Walker {
  visits = 0;
  readonly #glob: Glob | undefined;
  readonly #options: WalkOptions;
  readonly #limit = createLimiter(FOLDERS_AT_ONCE);

  constructor(glob: Glob | undefined, options: WalkOptions) {
    this.#glob = glob;
    this.#options = options;
  }

  async walkFrom(base: string): Promise<ArchiveEntry[]> {
    const place = toFileSystemPath(`${this.#options.root}/${base}`);
    const target = await unlessMissing(stat(place));
    // A link that leads nowhere is not found by its name, as in the reference.
    if (target === undefined) return [];
    const found = await lstat(place);
    if (this.#glob === undefined) {
      return [
        ...(await this.#record(base, 1)),
        ...(found.isDirectory() ? await this.#content(base, undefined, 1) : []),
      ];
    }
    if (!target.isDirectory()) return [];
    const state = this.#glob.start();
    const matches = state.isMatch ? 1 : 0;
    return [...(await this.#record(base, matches)), ...(await this.#content(base, state, matches))];
  }

  /** @param matches - how many of the folders on the way here are matches */
  async #content(folder: string, state: GlobState | undefined, matches: number): Promise<ArchiveEntry[]> {
    this.#options.signal?.throwIfAborted();
    const children = await this.#limit(async () => await this.#look(folder, state, matches));
    const lists = await Promise.all(
      children.map(async (child) =>
        child.kind === "entries" ? child.entries : await this.#content(child.path, child.state, child.matches),
      ),
    );
    return lists.flat();
  }

  /** The entries of one folder and the folders to go into, in byte order: `a`, `a-b`, then what is below `a/`. */
  async #look(folder: string, state: GlobState | undefined, matches: number): Promise<Child[]> {
    const children = await Promise.all(
      (await this.#names(folder)).map(async ({ name, isDirectory }): Promise<Child[]> => {
        const path = folder === "." ? name : `${folder}/${name}`;
        const next = state === undefined ? undefined : this.#glob?.advance(state, name);
        const count = matches + (next?.isMatch === true ? 1 : 0);
        const entries = await this.#record(path, count);
        const here: Child = { kind: "entries", key: name, entries };
        if (!isDirectory || (count === 0 && next?.canContinue !== true)) return [here];
        return [here, { kind: "folder", key: `${name}/`, path, state: next, matches: count }];
      }),
    );
    return sortByPathBytes(children.flat(), (child) => child.key);
  }

  async #record(path: string, matches: number): Promise<ArchiveEntry[]> {
    if (matches === 0) return [];
    const entry = await lookAt(path, this.#options);
    if (entry === undefined) return [];
    this.visits += matches;
    return [entry];
  }

  async #names(folder: string): Promise<{ name: string; isDirectory: boolean }[]> {
    const place = toFileSystemPath(`${this.#options.root}/${folder}`);
    try {
      const found = await readdir(place, { withFileTypes: true });
      if (!found.some(({ name }) => name.includes("\ufffd"))) return found.map((entry) => named(entry.name, entry));
      // The replacement character may stand for bytes that are not UTF-8.
      const raw = await readdir(place, { withFileTypes: true, encoding: "buffer" });
      return raw.map((entry) => named(pathFromBytes(entry.name), entry));
    } catch (error) {
      if (isMissing(error)) return [];
      const reason = errnoOf(error) ?? String(error);
      this.#options.warn(`The folder "${printablePath(folder)}" cannot be read (${reason}); its content is left out.`);
      return [];
    }
  }
}

type Child =
  | { readonly kind: "entries"; readonly key: string; readonly entries: readonly ArchiveEntry[] }
  | {
      readonly kind: "folder";
      readonly key: string;
      readonly path: string;
      readonly state: GlobState | undefined;
      readonly matches: number;
    };

function named(name: string, entry: Dirent | Dirent<Buffer>): { name: string; isDirectory: boolean } {
  return { name, isDirectory: entry.isDirectory() };
}

function toEntry(path: string, stats: Stats): ArchiveEntry | undefined {
  const facts = { path, mode: stats.mode & 0o7777, mtimeMs: stats.mtimeMs, uid: stats.uid, gid: stats.gid };
  if (stats.isFile()) return { ...facts, kind: "file", bytes: stats.size };
  if (stats.isDirectory()) return { ...facts, kind: "directory", bytes: 0 };
  if (stats.isSymbolicLink()) return { ...facts, kind: "symlink", bytes: 0 };
  return undefined;
}

async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "ENOENT" || errno === "ENOTDIR" || errno === "ELOOP";
}
