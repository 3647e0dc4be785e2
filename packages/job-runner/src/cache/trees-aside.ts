import { createHash } from "node:crypto";
import { lstat, mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";

import { removeTree } from "../remove-tree.ts";

/** In the repository's own folder: git leaves it alone, and it goes when the repository goes. */
const FOLDER = ".git/fleetfoot-aside";

/** Folders of a working copy, moved out of the way as they are. Moving costs the same for one file and for a hundred thousand. */
export class TreesAside {
  readonly #project: string;

  constructor(project: string) {
    this.#project = project;
  }

  /**
   * Moves folders out of the working copy.
   *
   * @param paths - names in the project, with or without a slash at the end
   * @returns whether all of them are folders and have been moved; what was moved of a list that was not is to be removed
   */
  async take(paths: readonly string[]): Promise<boolean> {
    const place = this.#placeOf(paths);
    return whetherDone(async () => {
      // A file's change time moves with its name, so nobody could tell afterwards that it is the same.
      for (const path of paths) await requireFolder(join(this.#project, bare(path)));
      await this.#makeFolder();
      await removeTree(place);
      await mkdir(place);
      for (const path of paths) await rename(join(this.#project, bare(path)), join(place, bare(path)));
    });
  }

  /** @returns whether all of them are where they were; never over anything that has come there in the meantime */
  async giveBack(paths: readonly string[]): Promise<boolean> {
    const place = this.#placeOf(paths);
    return whetherDone(async () => {
      for (const path of paths) {
        await requireFolder(join(place, bare(path)));
        await rename(join(place, bare(path)), join(this.#project, bare(path)));
      }
    });
  }

  /**
   * Removes what a crash or a refused move left, and what nobody waits for.
   *
   * @returns why something is still there
   */
  async removeAllBut(lists: readonly (readonly string[])[]): Promise<readonly unknown[]> {
    const folder = join(this.#project, FOLDER);
    const wanted = new Set(lists.map((paths) => this.#placeOf(paths)));
    const places = (await namesIn(folder)).map((name) => join(folder, name)).filter((place) => !wanted.has(place));
    const ends = await Promise.allSettled(places.map(removeTree));
    return ends.filter((end) => end.status === "rejected").map(({ reason }): unknown => reason);
  }

  #placeOf(paths: readonly string[]): string {
    const name = createHash("sha256").update(JSON.stringify(paths)).digest("hex").slice(0, 16);
    return join(this.#project, FOLDER, name);
  }

  async #makeFolder(): Promise<void> {
    const folder = join(this.#project, FOLDER);
    await mkdir(folder, { recursive: true });
    // A job can put a link here, and what it leads to is not ours.
    await requireFolder(folder);
  }
}

/** A name of a folder without the slash at its end, which would lead through a link. */
export function bare(path: string): string {
  return path.replace(/\/+$/, "");
}

async function requireFolder(path: string): Promise<void> {
  if (!(await lstat(path)).isDirectory()) throw new Error(`${path} is no folder`);
}

async function whetherDone(action: () => Promise<void>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch {
    // Whatever the reason: a cache that cannot be kept is restored from its archive.
    return false;
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    await requireFolder(folder);
    return await readdir(folder);
  } catch {
    // No folder of ours, so nothing in it is ours to remove.
    return [];
  }
}
