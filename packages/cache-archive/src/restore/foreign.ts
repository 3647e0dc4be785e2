import { closeSync } from "node:fs";

import { isInside } from "./inside.ts";
import { readJsonLines } from "./read-lines.ts";
import { removeTree } from "./remove-tree.ts";
import { isOurs, openToRead, writeWhole } from "./staging-files.ts";

/*
 * Folders on other file systems below the root, named like the staging folder: what belongs there is copied to them before it is moved, and
 * what it replaces is kept in them.
 */

const LIST = "foreign.jsonl";

/**
 * Chooses such a folder and writes it down, so that it is removed even when this process dies.
 *
 * @param others - those of this staging folder so far
 * @returns its absolute path; it is not made yet
 */
export function* nameForeign(
  root: string,
  staging: string,
  folder: string,
  others: readonly string[],
): Generator<void, string> {
  const chosen = `${folder}/${nameOf(staging)}`;
  const relative = [...others, chosen].map((place) => place.slice(root.length).replace(/^\/+/, ""));
  yield* writeWhole(`${staging}/${LIST}`, relative);
  return chosen;
}

/** Removes them all: what was copied is still in the tree, unless it was moved. */
export function* removeForeign(root: string, staging: string): Generator<void, void> {
  const descriptor = isOurs(staging) ? openToRead(`${staging}/${LIST}`) : undefined;
  if (descriptor === undefined) return;
  try {
    for (const folder of readJsonLines(descriptor)) {
      if (isInside(root, folder) && nameOf(folder) === nameOf(staging)) yield* removeTree(`${root}/${folder}`);
      yield;
    }
  } finally {
    closeSync(descriptor);
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
