import { COLUMN, COLUMNS } from "./restore-columns.ts";
import type { RestoreRows } from "./restore-rows.ts";
import { FINISH, FOLDERS, LINKS, PLACE } from "./units.ts";
import type { RestoreUnits } from "./units.ts";

const ENTRIES_PER_UNIT = 128;

/** Folders in the order in which their metadata is set. */
export interface FolderOrder {
  /** First those that let their owner in, in any order; then the others, inner ones before outer ones. */
  readonly sorted: readonly number[];
  /** How many let their owner in. */
  readonly open: number;
}

export function sortFolders({ numbers }: RestoreRows, directories: readonly number[]): FolderOrder {
  const column = (index: number, column: number): number => numbers[index * COLUMNS + column] ?? 0;
  const isOpen = (index: number): boolean => (column(index, COLUMN.mode) & OWNER_MAY_CHANGE) === OWNER_MAY_CHANGE;
  const open = directories.filter(isOpen);
  const closed = directories.filter((directory) => !isOpen(directory));
  closed.sort((a, b) => column(b, COLUMN.targetLength) - column(a, COLUMN.targetLength));
  return { sorted: [...open, ...closed], open: open.length };
}

const OWNER_MAY_CHANGE = 0o300;

/**
 * Adds what every restore ends with: links after all files, so that no file is written through a link of the same archive, and
 * meanwhile the folders that nothing is in; the move into place; and the metadata of folders.
 *
 * The order in which units name entries has so many files, then the links, then the folders, and then the empty ones once more.
 *
 * @param empty - folders that nothing is in
 * @param packOf - what has to be unpacked for a link, as a number: one participant does all that follow one another in it
 */
export function addEnding(
  units: RestoreUnits,
  files: number,
  links: readonly number[],
  folders: FolderOrder,
  empty: readonly number[],
  packOf: (link: number) => number,
): void {
  const start = files + links.length;
  const closed = start + folders.open;
  const length = start + folders.sorted.length;
  units.startPhase();
  addLinks(units, links, files, packOf);
  units.addRuns(FOLDERS, length, length + empty.length, ENTRIES_PER_UNIT);
  units.startPhase();
  units.add(PLACE, start, folders.sorted.length);
  units.startPhase();
  units.addRuns(FINISH, start, closed, ENTRIES_PER_UNIT);
  units.startPhase();
  if (closed < length) units.add(FINISH, closed, length - closed);
}

function addLinks(
  units: RestoreUnits,
  links: readonly number[],
  start: number,
  packOf: (link: number) => number,
): void {
  let first = 0;
  for (let nth = 1; nth <= links.length; nth += 1) {
    const isSame = nth < links.length && packOf(links[nth] ?? 0) === packOf(links[first] ?? 0);
    if (isSame && nth - first < ENTRIES_PER_UNIT) continue;
    units.add(LINKS, start + first, nth - first);
    first = nth;
  }
}
