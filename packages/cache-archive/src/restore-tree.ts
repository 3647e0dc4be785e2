import type { Stats } from "node:fs";
import { lchown, lstat, lutimes, mkdir, realpath, symlink } from "node:fs/promises";
import type { ArchivedEntry } from "./archived-entry.ts";
import { CacheArchiveError, errnoOf } from "./errors.ts";
import { pathFromBytes, printablePath, toFileSystemPath } from "./path-bytes.ts";
import { removeExisting } from "./remove-existing.ts";
import { createTargetFile, writeSmallFile } from "./target-file.ts";
import type { TargetFile } from "./target-file.ts";

/**
 * The directory that an archive is restored into. Whatever links already lie in it, nothing is written outside.
 *
 * Targets are clean slash paths relative to the root, as {@link RestorePlanner} makes them.
 */
export class RestoreTree {
  /** Without links. */
  readonly #root: string;
  /** Bits of a mode that come back. */
  readonly #modeMask: number;
  /** Folders that are known to be there: target to absolute path without links. */
  readonly #folders = new Map<string, Promise<string>>();

  /** Makes the root when it is missing. */
  static async open(root: string, restoreSpecialBits: boolean): Promise<RestoreTree> {
    await mkdir(root, { recursive: true });
    return new RestoreTree(await realPath(root), restoreSpecialBits ? 0o7777 : 0o777);
  }

  private constructor(root: string, modeMask: number) {
    this.#root = root;
    this.#modeMask = modeMask;
  }

  /** Makes a folder and its parents; what is there already stays, even when it is a file. */
  async makeDirectory(target: string): Promise<void> {
    try {
      await this.#folder(target);
    } catch (error) {
      if (errnoOf(error) !== "ENOTDIR" || (await this.#statLast(target))?.isFile() !== true) throw error;
    }
  }

  /** Removes what is in the place, and opens a new file there. */
  async createFile(target: string): Promise<TargetFile> {
    const place = await this.#place(target);
    return await createTargetFile(toFileSystemPath(place), this.#modeMask);
  }

  /** Removes what is in the place, and writes a file of at most `SMALL_FILE_BYTES` there. */
  async writeSmallFile(target: string, content: Uint8Array, entry: ArchivedEntry): Promise<void> {
    const place = await this.#place(target);
    await writeSmallFile(toFileSystemPath(place), content, entry, this.#modeMask);
  }

  /** Removes what is in the place, and makes a link there. The link's target is not looked at. */
  async createSymlink(target: string, linkTarget: Buffer, entry: ArchivedEntry): Promise<void> {
    const place = toFileSystemPath(await this.#place(target));
    await removeExisting(place);
    await symlink(linkTarget, place);
    await lutimes(place, new Date(), new Date(entry.mtimeMs));
    await changeOwner(place, entry);
  }

  /** Absolute path of a target whose parent is a folder inside the root. */
  async #place(target: string): Promise<string> {
    const slash = target.lastIndexOf("/");
    const parent = await this.#folder(slash === -1 ? "." : target.slice(0, slash));
    return `${parent}/${target.slice(slash + 1)}`;
  }

  async #statLast(target: string): Promise<Stats | undefined> {
    return await lstat(toFileSystemPath(await this.#place(target))).catch(() => undefined);
  }

  async #folder(target: string): Promise<string> {
    if (target === ".") return this.#root;
    const known = this.#folders.get(target);
    if (known !== undefined) return await known;
    const made = this.#makeFolder(target);
    this.#folders.set(target, made);
    return await made;
  }

  async #makeFolder(target: string): Promise<string> {
    const place = await this.#place(target);
    const path = toFileSystemPath(place);
    try {
      await mkdir(path);
      return place;
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    }
    const found = await lstat(path);
    if (found.isDirectory()) return place;
    if (!found.isSymbolicLink()) throw notDirectory(target);
    return await this.#follow(target, path);
  }

  /** A link in the way is followed only to a place inside the root. */
  async #follow(target: string, path: string | Buffer): Promise<string> {
    const name = printablePath(target);
    const real = await realPath(path).catch(() => undefined);
    if (real === undefined || (real !== this.#root && !real.startsWith(this.#root === "/" ? "/" : `${this.#root}/`))) {
      const message = `"${name}" is a link that leads outside the project directory; nothing is written below it`;
      throw new CacheArchiveError({ code: "outside-root", message, entryName: name });
    }
    if (!(await lstat(toFileSystemPath(real))).isDirectory()) throw notDirectory(target);
    return real;
  }
}

async function realPath(path: string | Buffer): Promise<string> {
  return pathFromBytes(await realpath(path, { encoding: "buffer" }));
}

/** Only root may give files away; for everybody else the files stay their own, which is what they need. */
async function changeOwner(place: string | Buffer, { owner }: ArchivedEntry): Promise<void> {
  if (owner !== undefined) await lchown(place, owner.uid, owner.gid).catch(() => undefined);
}

function notDirectory(target: string): Error {
  return Object.assign(new Error(`ENOTDIR: "${printablePath(target)}" is not a directory`), { code: "ENOTDIR" });
}
