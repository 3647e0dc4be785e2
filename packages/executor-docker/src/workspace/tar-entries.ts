import { createReadStream } from "node:fs";
import type { Stats } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { posix } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { pack as createPack } from "tar-stream";
import type { Pack } from "tar-stream";

/** A tree of this host, and where it goes. */
export interface TreeToSend {
  /** Absolute path on this host of a directory. */
  readonly source: string;
  /** Absolute path in the container. */
  readonly target: string;
  /** Names at the top that are left out. */
  readonly without?: readonly string[];
}

export interface TarOptions {
  readonly trees: readonly TreeToSend[];
  /** Directories to make or to open for everybody, absolute, parents first. */
  readonly directories: readonly string[];
  readonly signal: AbortSignal;
}

/**
 * Writes a tar archive for the root of a container.
 *
 * Everybody may write to everything in it, because nobody knows as which users the commands of the image will run; what is
 * executable stays so. Special files are left out.
 */
export function packTrees({ trees, directories, signal }: TarOptions): Readable {
  const pack = createPack();
  const fill = async (): Promise<void> => {
    for (const directory of directories) addDirectory(pack, directory, new Date(0));
    for (const tree of trees) await addTree(pack, tree, signal);
    pack.finalize();
  };
  fill().catch((error: unknown) => pack.destroy(error instanceof Error ? error : new Error(String(error))));
  return pack as unknown as Readable;
}

async function addTree(pack: Pack, { source, target, without = [] }: TreeToSend, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const facts = await lstat(source);
  if (facts.isSymbolicLink()) {
    pack.entry({ ...common(target, facts), type: "symlink", linkname: await readlink(source) });
  } else if (facts.isFile()) {
    await addFile(pack, source, target, facts);
  } else if (facts.isDirectory()) {
    addDirectory(pack, target, facts.mtime);
    for (const name of await readdir(source)) {
      if (without.includes(name)) continue;
      await addTree(pack, { source: posix.join(source, name), target: posix.join(target, name) }, signal);
    }
  }
}

async function addFile(pack: Pack, source: string, target: string, facts: Stats): Promise<void> {
  const mode = facts.mode & 0o111 ? 0o777 : 0o666;
  const header = { ...common(target, facts), type: "file", size: facts.size, mode } as const;
  if (facts.size === 0) {
    pack.entry(header, Buffer.alloc(0));
    return;
  }
  const entry = pack.entry(header);
  // A file that grows meanwhile must not run into the next entry.
  await pipeline(createReadStream(source, { end: facts.size - 1 }), entry as unknown as NodeJS.WritableStream);
}

function addDirectory(pack: Pack, target: string, mtime: Date): void {
  pack.entry({ name: `${relative(target)}/`, type: "directory", mode: 0o777, uid: 0, gid: 0, mtime });
}

function common(target: string, facts: Stats): { name: string; mtime: Date; uid: number; gid: number } {
  return { name: relative(target), mtime: facts.mtime, uid: 0, gid: 0 };
}

/** Archives for the root have names without a slash in front. */
function relative(path: string): string {
  return path.replace(/^\/+/, "");
}
