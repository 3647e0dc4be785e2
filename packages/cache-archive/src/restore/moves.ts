import { lstatSync, mkdirSync, readdirSync, statSync } from "node:fs";
import type { Stats } from "node:fs";

import { CacheArchiveError } from "../errors.ts";
import { printablePath, toFileSystemPath } from "../path-bytes.ts";
import { copyTree } from "./copy-tree.ts";
import { nameForeign } from "./foreign.ts";
import { conflict, followInside } from "./inside.ts";
import { readFolder } from "./read-folder.ts";
import { isOwnFolder, KEPT, lookAt, TREE } from "./staging-files.ts";
import { STAGING_PREFIX } from "./staging-name.ts";

/** One move from the staging folder into the root; paths are absolute. */
export interface Move {
  readonly from: string;
  readonly to: string;
  /** What is in the way; it is kept until all moves are done. */
  readonly replaces: "nothing" | "empty folder" | "something";
  /** A folder on the same file system as `to`, for what is in the way. */
  readonly kept: string;
}

/**
 * Finds out what has to be moved: a folder that the root lacks as a whole, others entry by entry. No rename leads from one file system to another:
 * what belongs into a mount below the root is copied to a folder there.
 *
 * @throws {CacheArchiveError} `outside-root`: a link in the root leads outside; `io`: a file is in the place of a folder, or the other way round
 */
export function* collectMoves(root: string, staging: string): Generator<void, readonly Move[]> {
  const collector = new MoveCollector(root, staging);
  yield* collector.collect(`${staging}/${TREE}`, root, "");
  return collector.moves;
}

class MoveCollector {
  readonly moves: Move[] = [];
  readonly #root: string;
  readonly #staging: string;
  /** By the device that they are on. */
  readonly #kept: Map<number, string>;
  readonly #foreign: string[] = [];

  constructor(root: string, staging: string) {
    this.#root = root;
    this.#staging = staging;
    const kept = `${staging}/${KEPT}`;
    makeOwnFolder(kept);
    this.#kept = new Map([[deviceOf(staging), kept]]);
  }

  /** @param path - of the folder, relative to the root, as the archive has it */
  *collect(from: string, to: string, path: string): Generator<void, void> {
    const device = deviceOf(to);
    for (const name of yield* readFolder(from)) {
      const source = `${from}/${name}`;
      const target = `${to}/${name}`;
      const shown = path === "" ? name : `${path}/${name}`;
      if (name.startsWith(STAGING_PREFIX)) throw reserved(shown);
      const found = lookAt(target);
      if (found === undefined) {
        yield* this.#add(source, to, name, device, "nothing");
      } else if (lstatSync(toFileSystemPath(source)).isDirectory()) {
        const folder = existingFolder(source, target, found, shown, this.#root);
        if (folder !== undefined) yield* this.collect(source, folder, shown);
      } else {
        if (found.isDirectory() && readdirSync(toFileSystemPath(target)).length > 0) {
          throw conflict("ENOTEMPTY", shown, "a folder with content is in its place");
        }
        yield* this.#add(source, to, name, device, found.isDirectory() ? "empty folder" : "something");
      }
      yield;
    }
  }

  *#add(
    source: string,
    folder: string,
    name: string,
    device: number,
    replaces: Move["replaces"],
  ): Generator<void, void> {
    const to = `${folder}/${name}`;
    const kept = this.#kept.get(device) ?? (yield* this.#makeForeign(folder, device));
    if (kept.startsWith(`${this.#staging}/`)) {
      this.moves.push({ from: source, to, replaces, kept });
      return;
    }
    const from = `${kept}/${this.moves.length}-new`;
    yield* copyTree(source, from);
    this.moves.push({ from, to, replaces, kept });
  }

  *#makeForeign(folder: string, device: number): Generator<void, string> {
    const kept = yield* nameForeign(this.#root, this.#staging, folder, this.#foreign);
    this.#kept.set(device, kept);
    this.#foreign.push(kept);
    mkdirSync(toFileSystemPath(kept), 0o700);
    return kept;
  }
}

/** A dead process may have made it already. */
function makeOwnFolder(folder: string): void {
  try {
    mkdirSync(toFileSystemPath(folder), 0o700);
  } catch (error) {
    const found = lookAt(folder);
    if (found === undefined || !isOwnFolder(found)) throw error;
  }
}

/** No archive brings such an entry, so somebody else has made the tree. */
function reserved(shown: string): CacheArchiveError {
  const entryName = printablePath(shown);
  const message = `entry "${entryName}": names that begin with ${STAGING_PREFIX} are kept for unfinished restores`;
  return new CacheArchiveError({ code: "outside-root", message, entryName });
}

function deviceOf(folder: string): number {
  return statSync(toFileSystemPath(folder)).dev;
}

/** The folder that takes the content of `source`; undefined when a file is in its place and there is no content. */
function existingFolder(source: string, target: string, found: Stats, shown: string, root: string): string | undefined {
  if (found.isDirectory()) return target;
  if (found.isSymbolicLink()) return followInside(target, shown, root);
  if (readdirSync(toFileSystemPath(source)).length === 0) return undefined;
  throw conflict("ENOTDIR", shown, "a file is in the place of a folder");
}
