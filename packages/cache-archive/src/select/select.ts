import { lstatSync } from "node:fs";

import { CacheArchiveError, toArchiveError } from "../errors.ts";
import { unlessMissing } from "../missing.ts";
import { printablePath, sortByPathBytes, toFileSystemPath } from "../path-bytes.ts";
import { isStagingPath } from "../restore/staging-name.ts";
import { resolveExcludeItem, resolvePathItem } from "./select-item.ts";
import type { ExcludeItem, PathItem } from "./select-item.ts";
import { Turn } from "../turn.ts";
import type { ArchiveEntry, ItemReport, OpenSelection, SelectOptions, Selection } from "../types.ts";
import { listUntracked } from "./untracked.ts";
import { lookAt, Walk } from "./walk.ts";
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
  const selection = openSelection(options);
  const entries: ArchiveEntry[] = [];
  for await (const batch of selection) for (const entry of batch) entries.push(entry);
  return { entries, warnings: selection.warnings, reports: selection.reports };
}

/**
 * The same selection, looked for while its entries are taken: `createArchive` packs those it has while the others are still being found.
 *
 * What it throws comes while entries are taken, as {@link selectFiles} would throw it.
 */
export function openSelection(options: SelectOptions): OpenSelection {
  return new FileSelection(options);
}

/** An item of `paths`, and what came of it. */
interface WalkedItem {
  readonly item: PathItem | undefined;
  readonly warnings: string[];
  visits: number;
}

class FileSelection implements OpenSelection {
  readonly #options: SelectOptions;
  readonly #items: readonly WalkedItem[];
  readonly #excludes: { readonly rule: ExcludeItem; count: number }[] = [];
  readonly #excludeWarnings: string[] = [];
  readonly #lastWarnings: string[] = [];
  #untracked: number | undefined;
  #batches: AsyncGenerator<readonly ArchiveEntry[], undefined> | undefined;
  /** What {@link hasEntries} has looked at, until it is taken. */
  #first: Promise<IteratorResult<readonly ArchiveEntry[], undefined>> | undefined;
  #isTaken = false;

  constructor(options: SelectOptions) {
    const { root, environment = {} } = options;
    this.#options = options;
    for (const item of options.exclude ?? []) {
      const { value, warnings } = resolveExcludeItem(item, root, environment);
      this.#excludeWarnings.push(...warnings);
      if (value !== undefined) this.#excludes.push({ rule: value, count: 0 });
    }
    this.#items = options.paths.map((text) => {
      const { value, warnings } = resolvePathItem(text, root, environment);
      return { item: value, warnings: [...warnings], visits: 0 };
    });
  }

  get warnings(): readonly string[] {
    return [...this.#excludeWarnings, ...this.#items.flatMap(({ warnings }) => warnings), ...this.#lastWarnings];
  }

  get reports(): readonly ItemReport[] {
    const reports: ItemReport[] = [];
    for (const { item, visits } of this.#items) {
      if (item !== undefined) reports.push({ kind: "path", item: item.item, count: visits });
    }
    if (this.#untracked !== undefined) reports.push({ kind: "untracked", item: "", count: this.#untracked });
    for (const { rule, count } of this.#excludes) reports.push({ kind: "exclude", item: rule.item, count });
    return reports;
  }

  async hasEntries(): Promise<boolean> {
    if (this.#isTaken) throw takenBefore();
    this.#batches ??= this.#find();
    this.#first ??= this.#batches.next();
    return (await this.#first).done !== true;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly ArchiveEntry[]> {
    // Nothing would come, and an archive of nothing would take the place of one that was whole.
    if (this.#isTaken) throw takenBefore();
    this.#isTaken = true;
    const batches = (this.#batches ??= this.#find());
    const first = await this.#first;
    this.#first = undefined;
    if (first !== undefined && first.done !== true) yield first.value;
    yield* batches;
  }

  async *#find(): AsyncGenerator<readonly ArchiveEntry[], undefined> {
    const { root, signal } = this.#options;
    signal?.throwIfAborted();
    let count = 0;
    try {
      const ordered = this.#options.untracked === true ? undefined : inOrder(root, this.#items);
      const batches = ordered === undefined ? this.#gather() : this.#walkAll(ordered);
      for await (const batch of batches) {
        count += batch.length;
        yield batch;
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw toArchiveError(error, `look for files in ${root}`);
    }
    signal?.throwIfAborted();
    if (count === 0) this.#lastWarnings.push(`No files were found in the working directory ${root}.`);
    return undefined;
  }

  async *#walkAll(items: readonly WalkedItem[]): AsyncGenerator<readonly ArchiveEntry[]> {
    for (const item of items) yield* this.#walk(item);
  }

  async *#walk(walked: WalkedItem): AsyncGenerator<readonly ArchiveEntry[]> {
    const { root, signal } = this.#options;
    const { item, warnings } = walked;
    if (item === undefined) return;
    const options: WalkOptions = { ...this.#look, warn: (line) => warnings.push(line), signal };
    const walk = new Walk(item.base, item.glob, options);
    yield* walk.entries();
    walked.visits = walk.visits;
    if (walk.visits === 0) warnings.push(`"${item.item}" matches no files in the working directory ${root}.`);
  }

  /** Where several items may name the same entry, all of them are known before the first one is certain. */
  async *#gather(): AsyncGenerator<readonly ArchiveEntry[]> {
    const found = new Map<string, ArchiveEntry>();
    for (const item of this.#items) {
      for await (const batch of this.#walk(item)) for (const entry of batch) found.set(entry.path, entry);
    }
    if (this.#options.untracked === true) await this.#addUntracked(found);
    this.#dropFollowedLinks(found);
    // Putting tens of thousands in order is a turn of its own, and what the caller does with them is another one.
    const turn = new Turn();
    await turn.next();
    const entries = sortByPathBytes([...found.values()], ({ path }) => path);
    await turn.next();
    if (entries.length > 0) yield entries;
  }

  async #addUntracked(found: Map<string, ArchiveEntry>): Promise<void> {
    const { root, signal } = this.#options;
    let paths: readonly string[];
    try {
      const run = this.#options.spawn ?? (await import("node:child_process")).spawn;
      paths = await listUntracked(root, run, signal);
    } catch (error) {
      if (!CacheArchiveError.isInstance(error)) throw error;
      this.#lastWarnings.push(`Untracked files are left out: ${error.message}`);
      return;
    }
    this.#untracked = 0;
    const turn = new Turn();
    for (const path of paths) {
      signal?.throwIfAborted();
      if (turn.isOver) await turn.next();
      const entry = lookAt(path, this.#look);
      if (entry === undefined) continue;
      found.set(path, entry);
      this.#untracked += 1;
    }
    if (this.#untracked === 0) {
      this.#lastWarnings.push(`There are no untracked files in the working directory ${root}.`);
    }
  }

  get #look(): Pick<WalkOptions, "root" | "isExcluded"> {
    return {
      root: this.#options.root,
      // A restore of another host may be unfinished; an archive with its folder could not be restored.
      isExcluded: (path) => isStagingPath(path) || this.#isExcluded(path),
    };
  }

  #isExcluded(path: string): boolean {
    if (this.#excludes.length === 0) return false;
    const found = this.#excludes.find(({ rule }) => rule.glob.matches(path));
    if (found !== undefined) found.count += 1;
    return found !== undefined;
  }

  /** An archive with a link and with files below it could not be restored. */
  #dropFollowedLinks(found: Map<string, ArchiveEntry>): void {
    for (const base of this.#followed()) {
      for (let path = base; path !== "."; path = parentOf(path)) {
        if (found.get(path)?.kind !== "symlink") continue;
        if (!found.keys().some((other) => other.startsWith(`${path}/`))) continue;
        found.delete(path);
        this.#lastWarnings.push(`The link "${printablePath(path)}" is left out, since files below it were chosen.`);
      }
    }
  }

  /** Where items began to look; links among them were followed. */
  #followed(): ReadonlySet<string> {
    const items = this.#items.flatMap(({ item }) => (item === undefined ? [] : [item]));
    return new Set(items.map(({ base, glob }) => (glob === undefined ? parentOf(base) : base)));
  }
}

/**
 * The items in the order of what they name.
 *
 * @returns undefined where two may name the same entry, or where one may name a link and what is behind it
 */
function inOrder(root: string, walked: readonly WalkedItem[]): readonly WalkedItem[] | undefined {
  const ordered = sortByPathBytes(walked, ({ item }) => item?.base ?? "").filter(({ item }) => item !== undefined);
  let before: string | undefined;
  for (const { item } of ordered) {
    if (item === undefined) continue;
    const { base, glob } = item;
    // `a-b` stands between `a` and what is in it.
    if (before !== undefined && (before === "." || base === "." || base.startsWith(before))) return undefined;
    if (glob !== undefined && base !== "." && isLink(root, base)) return undefined;
    before = base;
  }
  return ordered;
}

function takenBefore(): CacheArchiveError {
  const message = "the entries of this selection were taken before; open another one";
  return new CacheArchiveError({ code: "invalid-option", message });
}

function isLink(root: string, path: string): boolean {
  const found = unlessMissing(() => lstatSync(toFileSystemPath(`${root}/${path}`), { throwIfNoEntry: false }));
  return found?.isSymbolicLink() === true;
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "." : path.slice(0, slash);
}
