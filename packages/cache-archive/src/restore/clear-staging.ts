import { errnoOf } from "../errors.ts";
import { removeForeign } from "./foreign.ts";
import { removeJournal } from "./journal.ts";
import { removeTree } from "./remove-tree.ts";
import { KEPT, LOCK, lookAt, TREE } from "./staging-files.ts";

/** Removes a staging folder that nobody needs any more, in short steps; first what would let somebody complete the rest of it. */
export function* clearStaging(root: string, staging: string): Generator<void, void> {
  removeJournal(staging);
  yield* removeForeign(root, staging);
  try {
    // Without the lock the rest is anybody's to clear away.
    yield* removeTree(staging, LOCK);
  } catch (error) {
    // Somebody who wants to clear it away, too, had his lock in it by then.
    const isLeft = [TREE, KEPT].some((name) => lookAt(`${staging}/${name}`) !== undefined);
    if (errnoOf(error) !== "ENOTEMPTY" || isLeft) throw error;
  }
}
