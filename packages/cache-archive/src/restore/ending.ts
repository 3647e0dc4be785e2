import type { ArchivedEntry } from "../archived-entry.ts";
import type { PlannedEntry } from "./restore-plan.ts";
import { FINISH, FOLDERS, LINKS, PLACE } from "./units.ts";
import type { RestoreUnits } from "./units.ts";

const ENTRIES_PER_UNIT = 128;

/** Folders in the order in which their metadata is set. */
export interface FolderOrder<T extends ArchivedEntry> {
  /** First those that let their owner in, in any order; then the others, inner ones before outer ones. */
  readonly sorted: readonly PlannedEntry<T>[];
  /** How many let their owner in. */
  readonly open: number;
}

export function sortFolders<T extends ArchivedEntry>(directories: readonly PlannedEntry<T>[]): FolderOrder<T> {
  const isOpen = ({ entry }: PlannedEntry<T>): boolean => (entry.mode & OWNER_MAY_CHANGE) === OWNER_MAY_CHANGE;
  const open = directories.filter(isOpen);
  const closed = directories.filter((directory) => !isOpen(directory));
  return { sorted: [...open, ...closed.sort((a, b) => b.target.length - a.target.length)], open: open.length };
}

const OWNER_MAY_CHANGE = 0o300;

/**
 * Adds what every restore ends with: links after all files, so that no file is written through a link of the same archive, and
 * meanwhile the folders that nothing is in; the move into place; and the metadata of folders.
 *
 * @param order - entries in the order in which units name them, which ends with the links and then the folders; the empty ones are added
 *   once more
 * @param parents - folders that are not empty
 */
export function addEnding<T extends ArchivedEntry>(
  units: RestoreUnits,
  order: number[],
  links: number,
  folders: FolderOrder<T>,
  parents: ReadonlySet<string>,
): void {
  const length = order.length;
  const start = length - folders.sorted.length;
  const closed = start + folders.open;
  for (const [nth, { target }] of folders.sorted.entries()) {
    if (!parents.has(target)) order.push(order[start + nth] ?? 0);
  }
  units.startPhase();
  units.addRuns(LINKS, start - links, start, ENTRIES_PER_UNIT);
  units.addRuns(FOLDERS, length, order.length, ENTRIES_PER_UNIT);
  units.startPhase();
  units.add(PLACE, start, folders.sorted.length);
  units.startPhase();
  units.addRuns(FINISH, start, closed, ENTRIES_PER_UNIT);
  units.startPhase();
  if (closed < length) units.add(FINISH, closed, length - closed);
}
