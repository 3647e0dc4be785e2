import { mkdirSync, renameSync, rmdirSync } from "node:fs";
import { dirname } from "node:path";

import { errnoOf } from "../errors.ts";
import { printablePath, toFileSystemPath } from "../path-bytes.ts";
import type { Move } from "./moves.ts";
import { markAsGivenUp } from "./staging-files.ts";
import { unlockFolder } from "./unlock-folder.ts";

/**
 * Carries out all moves, or none of them: those before one that fails are taken back. When one of these cannot be taken back, everything is
 * kept and marked as given up. Folders of this user below the root that nobody may write to, as those of Go's modules are, may be written to meanwhile.
 */
export function* carryOut(moves: readonly Move[], root: string, staging: string): Generator<void, void> {
  // What an earlier attempt has kept is not replaced. Most have nothing to keep, and making one takes longer than their moves.
  let attempt: string | undefined;
  const undo: (() => void)[][] = [];
  const locks: (() => void)[] = [];
  let entered = root;
  try {
    for (const [nth, { from, to, replaces, kept }] of moves.entries()) {
      const steps: (() => void)[] = [];
      undo.push(steps);
      if (dirname(to) !== entered) {
        entered = dirname(to);
        const lock = entered === root ? undefined : unlockFolder(entered);
        if (lock !== undefined) {
          locks.push(lock);
          steps.push(lock);
        }
      }
      const rename = (source: string, target: string): void => {
        renameSync(toFileSystemPath(source), toFileSystemPath(target));
        steps.push(() => renameSync(toFileSystemPath(target), toFileSystemPath(source)));
      };
      unlessGone(() => {
        if (replaces === "empty folder") {
          rmdirSync(toFileSystemPath(to));
          steps.push(() => mkdirSync(toFileSystemPath(to)));
        }
        if (replaces === "something") {
          attempt ??= crypto.randomUUID();
          rename(to, `${kept}/${attempt}-${nth}`);
        }
      });
      rename(from, to);
      yield;
    }
    for (const lock of locks) lock();
  } catch (error) {
    const failures: unknown[] = [];
    for (const steps of undo.toReversed()) {
      failures.push(...takeBack(steps));
      yield;
    }
    if (failures.length === 0) throw error;
    throw giveUp(staging, error, failures);
  }
}

/**
 * What was in the way may have been taken away since it was looked at, by another restore into the same root for instance. What else can be missing, the move itself
 * misses, too.
 */
function unlessGone(clear: () => void): void {
  try {
    clear();
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** @returns why this move could not be taken back: what it moved is then still in its place, and is not overwritten */
function takeBack(steps: readonly (() => void)[]): unknown[] {
  try {
    for (const step of steps.toReversed()) step();
    return [];
  } catch (error) {
    return [error];
  }
}

/** @returns the first error, with the others as its cause */
function giveUp(staging: string, first: unknown, failures: unknown[]): Error {
  try {
    markAsGivenUp(staging);
  } catch (error) {
    failures.push(error);
  }
  const reason = first instanceof Error ? first.message : String(first);
  const kept = `what they replaced is kept in ${printablePath(staging)}`;
  const count = failures.length === 1 ? "1 move" : `${failures.length} moves`;
  const cause = new AggregateError(failures, `${count} could not be taken back; ${kept}`);
  return Object.assign(new Error(`${reason}; ${cause.message}`, { cause }), { code: errnoOf(first) });
}
