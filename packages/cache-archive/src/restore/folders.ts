import { lstatSync, mkdirSync } from "node:fs";

import { toFileSystemPath } from "../path-bytes.ts";

const RECURSIVE = { recursive: true } as const;

/** Folders of the staging folder, and which folders the root has already. */
export class RestoreFolders {
  readonly #staging: string;
  readonly #root: string;
  readonly #made = new Set<string>();
  readonly #plain = new Map<string, boolean>();
  /** Folders that the last target lay in; the next one nearly always lies there, too. */
  #staged = "";
  #looked = "";
  #isLookedPlain = false;

  constructor(staging: string, root: string) {
    this.#staging = staging;
    this.#root = root;
  }

  /** Path of a target in the staging folder, whose parents are there after this. */
  stage(target: string): string | Buffer {
    const slash = target.lastIndexOf("/");
    if (slash !== -1 && !isIn(target, slash, this.#staged)) {
      this.#staged = target.slice(0, slash);
      this.make(this.#staged);
    }
    return toFileSystemPath(`${this.#staging}/${target}`);
  }

  /** Makes a folder and its parents in the staging folder. */
  make(target: string): void {
    if (target === "." || this.#made.has(target)) return;
    // Does not mind that another participant came first.
    mkdirSync(toFileSystemPath(`${this.#staging}/${target}`), RECURSIVE);
    for (let path = target; !this.#made.has(path); path = path.slice(0, path.lastIndexOf("/"))) {
      this.#made.add(path);
      if (!path.includes("/")) break;
    }
  }

  /** Makes a folder and its parents in the staging folder, if the root has none. */
  makeMissing(target: string): void {
    if (!this.isPlain(target)) this.make(target);
  }

  /** Path of a target in the root, if the way to it leads through folders only, and not through links. */
  existing(target: string): string | Buffer | undefined {
    const slash = target.lastIndexOf("/");
    if (slash !== -1) {
      if (!isIn(target, slash, this.#looked)) {
        const folder = target.slice(0, slash);
        this.#isLookedPlain = this.isPlain(folder);
        this.#looked = folder;
      }
      if (!this.#isLookedPlain) return undefined;
    }
    return toFileSystemPath(`${this.#root}/${target}`);
  }

  /** Whether the root has this folder, reached through folders only. */
  isPlain(target: string): boolean {
    if (target === ".") return true;
    let known = this.#plain.get(target);
    if (known === undefined) {
      const place = this.existing(target);
      known = place !== undefined && lstatSync(place, { throwIfNoEntry: false })?.isDirectory() === true;
      this.#plain.set(target, known);
    }
    return known;
  }
}

/** @param slash - the last one of the target */
function isIn(target: string, slash: number, folder: string): boolean {
  return slash === folder.length && target.startsWith(folder);
}
