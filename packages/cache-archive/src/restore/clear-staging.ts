import { removeForeign } from "./foreign.ts";
import { removeJournal } from "./journal.ts";
import { removeTree } from "./remove-tree.ts";
import { LOCK } from "./staging-files.ts";

/** Removes a staging folder that nobody needs any more, in short steps; first what would let somebody complete the rest of it. */
export function* clearStaging(root: string, staging: string): Generator<void, void> {
  removeJournal(staging);
  yield* removeForeign(root, staging);
  // Without the lock the rest is anybody's to clear away.
  yield* removeTree(staging, LOCK);
}
