import { createHash } from "node:crypto";
import { mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";

import { removeTree } from "../remove-tree.ts";
import { repositoryFolder, requireFolder } from "./repository-folder.ts";

/** In the repository's own folder: git leaves it alone, and it goes when the repository goes. */
export const TREES_ASIDE = "fleetfoot-aside";

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
    return whetherDone(async () => {
      // A file's change time moves with its name, so nobody could tell afterwards that it is the same.
      for (const path of paths) await requireFolder(join(this.#project, bare(path)));
      const place = join(await this.#makeFolder(), nameOf(paths));
      await removeTree(place);
      await mkdir(place);
      for (const path of paths) await rename(join(this.#project, bare(path)), join(place, bare(path)));
    });
  }

  /** @returns whether all of them are where they were; never over anything that has come there in the meantime */
  async giveBack(paths: readonly string[]): Promise<boolean> {
    return whetherDone(async () => {
      const place = join(await this.#folder(), nameOf(paths));
      await requireFolder(place);
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
    const wanted = new Set(lists.map(nameOf));
    const places = (await this.#places()).filter(({ name }) => !wanted.has(name)).map(({ path }) => path);
    const ends = await Promise.allSettled(places.map(removeTree));
    return ends.filter((end) => end.status === "rejected").map(({ reason }): unknown => reason);
  }

  async #places(): Promise<readonly { readonly name: string; readonly path: string }[]> {
    try {
      const folder = await this.#folder();
      return (await readdir(folder)).map((name) => ({ name, path: join(folder, name) }));
    } catch {
      // No folder of ours, so nothing in it is ours to remove.
      return [];
    }
  }

  async #makeFolder(): Promise<string> {
    await mkdir(join(await repositoryFolder(this.#project), TREES_ASIDE), { recursive: true });
    return this.#folder();
  }

  /** A job can put a link here, and what it leads to is not ours. */
  async #folder(): Promise<string> {
    const folder = join(await repositoryFolder(this.#project), TREES_ASIDE);
    await requireFolder(folder);
    return folder;
  }
}

function nameOf(paths: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(paths)).digest("hex").slice(0, 16);
}

/** A name of a folder without the slash at its end, which would lead through a link. */
export function bare(path: string): string {
  return path.replace(/\/+$/, "");
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
