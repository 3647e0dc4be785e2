import { removeForeign } from "./foreign.ts";
import { removeJournal } from "./journal.ts";
import { removeTree } from "./remove-tree.ts";

/** Removes a staging folder that nobody needs any more, in short steps; first what would let somebody complete the rest of it. */
export function* clearStaging(root: string, staging: string): Generator<void, void> {
  removeJournal(staging);
  yield* removeForeign(root, staging);
  yield* removeTree(staging);
}
