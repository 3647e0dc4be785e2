import { inTurns, Turn } from "../turn.ts";
import { sortFolders } from "./ending.ts";
import { named } from "./extract-work.ts";
import { finishFolder } from "./finish-folder.ts";
import type { FolderFacts } from "./journal.ts";
import { placeTree } from "./place.ts";
import type { RestoreRows } from "./restore-rows.ts";
import type { RestorePlace } from "./restore-staged.ts";
import type { RestoreTable } from "./restore-table.ts";

/** The end of a restore on the main thread: moves the tree into its place and sets the metadata of folders. */
export async function placeInTurns(
  { root, staging, policy }: RestorePlace,
  rows: RestoreRows,
  directories: readonly number[],
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  const { table } = rows;
  const folders = sortFolders(rows, directories).sorted;
  await inTurns(placeTree(root, staging, folderFacts(table, folders)), undefined);
  const turn = new Turn();
  for (const index of folders) {
    if (turn.isOver) await turn.next();
    const entry = table.entry(index);
    await named(entry, undefined, async () => finishFolder(root, table.target(index), entry, policy.mask));
  }
}

function* folderFacts(table: RestoreTable, folders: readonly number[]): Generator<FolderFacts, void> {
  for (const index of folders) yield { target: table.target(index), entry: table.metadata(index) };
}
