import { constants, createWriteStream } from "node:fs";
import { copyFile, link, lstat, lutimes, readlink, rm, symlink, utimes } from "node:fs/promises";
import { join, posix } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { extract as createExtract } from "tar-stream";
import type { Header } from "tar-stream";

import { ensureRealDirectory, lstatIfThere } from "./safe-path.ts";

export interface UnpackOptions {
  /** Absolute directory of this host in which the archive's names begin. */
  readonly root: string;
  /** Where an entry goes, by its clean name: a clean path below the root; undefined leaves it out. */
  readonly place: (name: string) => string | undefined;
  readonly signal: AbortSignal;
}

/**
 * Unpacks what came out of a container. Nothing of it leaves the root: names with `..` are refused, links are never followed,
 * and modes lose what would give rights to others.
 *
 * @throws {Error} the archive is broken or a name leads out of it
 */
export async function unpack(archive: Readable, { root, place, signal }: UnpackOptions): Promise<void> {
  const directories = new RealDirectories(root);
  const extract = createExtract();
  const feeding = pipeline(archive, extract as unknown as NodeJS.WritableStream, { signal });
  // Looked at below.
  feeding.catch(() => undefined);
  for await (const entry of extract) {
    const name = place(cleanName(entry.header.name));
    if (name !== undefined && name !== ".") {
      await writeEntry(entry as unknown as Readable, entry.header, name, directories, place);
    }
    entry.resume();
  }
  await feeding;
}

/** Makes each directory once, and again when something may have taken its place. */
class RealDirectories {
  readonly #root: string;
  readonly #known = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  async make(name: string): Promise<string> {
    if (this.#known.has(name)) return join(this.#root, name);
    const path = await ensureRealDirectory(this.#root, name);
    this.#known.add(name);
    return path;
  }

  /** A path at which there is nothing. */
  async vacate(name: string): Promise<string> {
    const path = join(await this.make(posix.dirname(name)), posix.basename(name));
    const facts = await lstatIfThere(path);
    if (facts === undefined) return path;
    if (facts.isDirectory()) this.#known.clear();
    await rm(path, { recursive: true, force: true });
    return path;
  }
}

async function writeEntry(
  content: Readable,
  header: Header,
  name: string,
  directories: RealDirectories,
  place: UnpackOptions["place"],
): Promise<void> {
  const { type, linkname, mtime, mode } = header;
  if (type === "directory") {
    await directories.make(name);
  } else if (type === "symlink") {
    const path = await directories.vacate(name);
    await symlink(linkname, path);
    if (mtime !== undefined) await lutimes(path, mtime, mtime);
  } else if (type === "link") {
    const target = place(cleanName(linkname));
    if (target === undefined) return;
    const source = join(await directories.make(posix.dirname(target)), posix.basename(target));
    await linkOrCopy(source, await directories.vacate(name));
  } else if (type === "file") {
    const path = await directories.vacate(name);
    await pipeline(content, createWriteStream(path, { flags: "wx", mode: mode & 0o777 }));
    if (mtime !== undefined) await utimes(path, mtime, mtime);
  }
}

/** A second name for a file or a link, or a copy of it where there can be no second name: it is told apart by nobody but who writes to it. */
async function linkOrCopy(source: string, path: string): Promise<void> {
  try {
    await link(source, path);
  } catch (error) {
    const facts = NO_HARD_LINKS.has((error as NodeJS.ErrnoException).code) ? await lstat(source) : undefined;
    if (facts?.isSymbolicLink() === true) await symlink(await readlink(source, "buffer"), path);
    else if (facts?.isFile() === true) await copyFile(source, path, constants.COPYFILE_EXCL);
    else throw error;
    await lutimes(path, facts.atime, facts.mtime);
  }
}

/** How file systems say that they have no hard links, as FAT and some network shares, or no further one of this file. */
const NO_HARD_LINKS: ReadonlySet<unknown> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

function cleanName(name: string): string {
  const clean = posix.normalize(name).replace(/\/+$/, "");
  if (clean.startsWith("/") || clean === ".." || clean.startsWith("../")) {
    throw new Error(`an archive from a container has the name ${JSON.stringify(name)}, which leads out of it`);
  }
  return clean === "" ? "." : clean;
}
