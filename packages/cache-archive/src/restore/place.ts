import { CacheArchiveError } from "../errors.ts";
import { printablePath } from "../path-bytes.ts";
import { carryOut } from "./carry-out.ts";
import { finishFolder } from "./finish-folder.ts";
import { removeForeign } from "./foreign.ts";
import { isInside } from "./inside.ts";
import { readJournal, readJournalHead, removeJournal, writeJournal } from "./journal.ts";
import type { FolderFacts } from "./journal.ts";
import { collectMoves } from "./moves.ts";
import { isGivenUp, isOurs, isOwnFolder, KEPT, lookAt, TREE, unmarkAsGivenUp } from "./staging-files.ts";

/**
 * Moves the content of a complete tree into the root, in short steps, all of which must be taken.
 *
 * All conflicts are found before the first move. When a move fails, those before it are taken back; when one of these cannot be
 * taken back, everything is kept ({@link isGivenUp}) and is completed later. A journal that is written
 * before the first one lets {@link finishPlacing} go on when this process dies between two of them.
 *
 * @param staging - the staging folder, with the tree in it
 * @param folders - whose metadata is set after the moves, by the caller; the journal needs them, too
 * @throws {CacheArchiveError} `outside-root`: a link in the root leads outside; `io`: a file is in the place of a folder, or
 *   the other way round, or the system refused
 */
export function* placeTree(root: string, staging: string, folders: Iterable<FolderFacts>): Generator<void, void> {
  const moves = yield* collectMoves(root, staging);
  try {
    yield* writeJournal(root, staging, folders);
    yield* carryOut(moves, root, staging);
  } catch (error) {
    // All moves were taken back, and the folder is removed piece by piece: nobody may complete what is left of it.
    if (!isGivenUp(staging)) removeJournal(staging);
    throw error;
  }
  try {
    // The times of the folders that these lie in are set after this.
    yield* removeForeign(root, staging);
  } catch {
    // All is in its place. Whoever clears the staging folder away tries it again, and tells.
  }
}

/**
 * Completes the moves of a process that died, in short steps, all of which must be taken; does nothing when it had not begun with them. What
 * is left in the tree is what was not moved.
 *
 * The staging folder may lie where scripts of a job can write, so nothing that it says leads out of the root, and one with a link in
 * the place of a folder is not ours.
 *
 * @returns whether it had begun
 * @throws {CacheArchiveError} as {@link placeTree}; also when it had begun to change another folder than this root
 */
export function* finishPlacing(root: string, staging: string): Generator<void, boolean> {
  if (!isOurs(staging)) return false;
  const [tree, kept] = [TREE, KEPT].map((name) => lookAt(`${staging}/${name}`));
  if ((tree !== undefined && !isOwnFolder(tree)) || (kept !== undefined && !isOwnFolder(kept))) return false;
  const state = readJournalHead(root, staging);
  if (state === "other") {
    unmarkAsGivenUp(staging);
    throw otherFolder(root, staging);
  }
  if (state === "nothing") return false;
  yield* removeForeign(root, staging);
  // Without the tree it was all done, and died while it cleaned up.
  if (tree !== undefined) {
    yield* carryOut(yield* collectMoves(root, staging), root, staging);
    unmarkAsGivenUp(staging);
  }
  for (const { target, entry } of readJournal(staging)) {
    if (isInside(root, target)) finishFolder(root, target, entry, PLAIN_MODE_BITS);
    yield;
  }
  return true;
}

/**
 * Files of an outer root may look like an unfinished restore into this one, and a copy of a root may hold a part of a tree: neither is completed, and neither
 * is to be trusted.
 */
function otherFolder(root: string, staging: string): CacheArchiveError {
  const message = `${printablePath(staging)} was made for another folder than the one that is ${printablePath(root)} now`;
  return new CacheArchiveError({ code: "io", message });
}

const PLAIN_MODE_BITS = 0o777;
