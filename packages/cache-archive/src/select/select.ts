import { spawn } from "node:child_process";
import { setImmediate as nextTurn } from "node:timers/promises";

import { CacheArchiveError, toArchiveError } from "../errors.ts";
import { printablePath, sortByPathBytes } from "../path-bytes.ts";
import { isStagingPath } from "../restore/staging-name.ts";
import { resolveExcludeItem, resolvePathItem } from "./select-item.ts";
import type { ExcludeItem } from "./select-item.ts";
import { Turn } from "../turn.ts";
import type { ArchiveEntry, ItemReport, SelectOptions, Selection } from "../types.ts";
import { listUntracked } from "./untracked.ts";
import { lookAt, walk } from "./walk.ts";
import type { WalkOptions } from "./walk.ts";

/**
 * Finds what `paths` and `untracked` name, without what `exclude` names.
 *
 * Items are expanded like a shell word in double quotes, then matched as globs; a folder stands for everything in it.
 * An excluded folder is left out by itself; `folder/**` leaves out its content, too. Nothing here fails for an item: one
 * that cannot be used is a warning.
 *
 * @throws {CacheArchiveError} `io`: the file system refused
 * @throws the signal's reason when it aborts
 * @see https://docs.gitlab.com/ci/yaml/#cachepaths (cache document 3.7)
 */
export async function selectFiles(options: SelectOptions): Promise<Selection> {
  const { root, signal } = options;
  signal?.throwIfAborted();
  const collector = new Collector(options);
  try {
    for (const item of options.paths) await collector.addPath(item);
    if (options.untracked === true) await collector.addUntracked();
  } catch (error) {
    signal?.throwIfAborted();
    throw toArchiveError(error, `look for files in ${root}`);
  }
  signal?.throwIfAborted();
  return await collector.finish(root);
}

class Collector {
  readonly #options: SelectOptions;
  readonly #walkOptions: WalkOptions;
  readonly #excludes: { readonly rule: ExcludeItem; count: number }[] = [];
  readonly #entries = new Map<string, ArchiveEntry>();
  readonly #warnings: string[] = [];
  readonly #reports: ItemReport[] = [];
  /** Where items began to look; links among them were followed. */
  readonly #bases = new Set<string>();

  constructor(options: SelectOptions) {
    this.#options = options;
    for (const item of options.exclude ?? []) {
      const { value, warnings } = resolveExcludeItem(item, options.root, options.environment ?? {});
      this.#warnings.push(...warnings);
      if (value !== undefined) this.#excludes.push({ rule: value, count: 0 });
    }
    this.#walkOptions = {
      root: options.root,
      signal: options.signal,
      // A restore of another host may be unfinished; an archive with its folder could not be restored.
      isExcluded: (path) => isStagingPath(path) || this.#isExcluded(path),
      take: (entry) => void this.#entries.set(entry.path, entry),
      warn: (line) => this.#warnings.push(line),
    };
  }

  async addPath(text: string): Promise<void> {
    const { root, environment = {} } = this.#options;
    const { value, warnings } = resolvePathItem(text, root, environment);
    this.#warnings.push(...warnings);
    if (value === undefined) return;
    const visits = await walk(value.base, value.glob, this.#walkOptions);
    this.#bases.add(value.glob === undefined ? parentOf(value.base) : value.base);
    this.#reports.push({ kind: "path", item: value.item, count: visits });
    if (visits === 0) {
      this.#warnings.push(`"${value.item}" matches no files in the working directory ${root}.`);
    }
  }

  async addUntracked(): Promise<void> {
    const { root, signal, spawn: run = spawn } = this.#options;
    let paths: readonly string[];
    try {
      paths = await listUntracked(root, run, signal);
    } catch (error) {
      if (!CacheArchiveError.isInstance(error)) throw error;
      this.#warnings.push(`Untracked files are left out: ${error.message}`);
      return;
    }
    let count = 0;
    const turn = new Turn();
    for (const path of paths) {
      signal?.throwIfAborted();
      if (turn.isOver) await turn.next();
      const entry = lookAt(path, this.#walkOptions);
      if (entry === undefined) continue;
      this.#entries.set(path, entry);
      count += 1;
    }
    this.#reports.push({ kind: "untracked", item: "", count });
    if (count === 0) this.#warnings.push(`There are no untracked files in the working directory ${root}.`);
  }

  async finish(root: string): Promise<Selection> {
    this.#dropFollowedLinks();
    // Putting tens of thousands in order is a turn of its own, and what the caller does with them is another one.
    await nextTurn();
    const entries = sortByPathBytes([...this.#entries.values()], (entry) => entry.path);
    await nextTurn();
    const excluded = this.#excludes.map(({ rule, count }): ItemReport => ({ kind: "exclude", item: rule.item, count }));
    if (this.#entries.size === 0) this.#warnings.push(`No files were found in the working directory ${root}.`);
    return {
      entries,
      warnings: this.#warnings,
      reports: [...this.#reports, ...excluded],
    };
  }

  #isExcluded(path: string): boolean {
    const found = this.#excludes.find(({ rule }) => rule.glob.matches(path));
    if (found !== undefined) found.count += 1;
    return found !== undefined;
  }

  /** An archive with a link and with files below it could not be restored. */
  #dropFollowedLinks(): void {
    for (const base of this.#bases) {
      for (let path = base; path !== "."; path = parentOf(path)) {
        if (this.#entries.get(path)?.kind !== "symlink") continue;
        if (!this.#entries.keys().some((other) => other.startsWith(`${path}/`))) continue;
        this.#entries.delete(path);
        this.#warnings.push(`The link "${printablePath(path)}" is left out, since files below it were chosen.`);
      }
    }
  }
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "." : path.slice(0, slash);
}
