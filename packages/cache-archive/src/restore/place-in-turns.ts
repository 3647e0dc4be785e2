import type { ArchivedEntry } from "../archived-entry.ts";
import { named } from "./extract-work.ts";
import type { PlannedEntry } from "./restore-plan.ts";
import { inTurns, Turn } from "../turn.ts";
import { sortFolders } from "./ending.ts";
import { finishFolder } from "./finish-folder.ts";
import { placeTree } from "./place.ts";
import type { RestorePlace } from "./restore-staged.ts";

/** The end of a restore on the main thread: moves the tree into its place and sets the metadata of folders. */
export async function placeInTurns<T extends ArchivedEntry>(
  { root, staging, policy }: RestorePlace,
  directories: readonly PlannedEntry<T>[],
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  const folders = sortFolders(directories).sorted;
  await inTurns(placeTree(root, staging, folders), undefined);
  const turn = new Turn();
  for (const { entry, target } of folders) {
    if (turn.isOver) await turn.next();
    await named(entry, undefined, async () => finishFolder(root, target, entry, policy.mask));
  }
}
