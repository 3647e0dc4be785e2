import { constants } from "node:fs";
import { chmod, cp, lstat, mkdir, readdir, rename, rm } from "node:fs/promises";
import { join, posix } from "node:path";

import { ensureRealDirectory, isRealPath, lstatIfThere } from "./safe-path.ts";
import type { TreeToSend } from "./tar-entries.ts";
import type { ReceiveOrder, Transport } from "./transport.ts";

export interface SharedTransportOptions {
  /** Absolute directory on this host and on the engine's; exists, is empty, and is only this job's. */
  readonly directory: string;
  /** Where the containers see it. */
  readonly builds: string;
  /** Why it was chosen. */
  readonly reason: string;
  /** Whether the commands of the image run as another user than root. */
  readonly forOthers: boolean;
}

/**
 * Files are moved into a directory that the containers have mounted, and out of it again. The runner's own files lie elsewhere:
 * the containers may write to all that they see.
 */
export function createSharedTransport({ directory, builds, reason, forOthers }: SharedTransportOptions): Transport {
  const below = (place: string): string => posix.relative(builds, place);
  return {
    description: `Files of the job lie in a directory that is shared with the engine: ${reason}`,
    mount: { source: directory, destination: builds },
    begin: async ({ directories }) => {
      for (const place of directories) {
        if (place.startsWith(`${builds}/`)) await ensureRealDirectory(directory, below(place));
      }
      if (forOthers) await openToAll(directory);
    },
    moveTo: () => undefined,
    send: async (trees, keep, signal) => {
      for (const tree of trees) await moveTree(tree, directory, below(tree.target), keep, signal);
      if (forOthers) await openToAll(directory);
    },
    receive: async (order) => takeBack(order, directory, below(order.from)),
    end: () => rm(directory, { recursive: true, force: true }),
  };
}

async function moveTree(
  { source, without = [] }: TreeToSend,
  directory: string,
  relative: string,
  keep: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const target = await ensureRealDirectory(directory, relative);
  for (const name of await readdir(source)) {
    signal.throwIfAborted();
    if (without.includes(name)) continue;
    const from = join(source, name);
    const to = join(target, name);
    if (keep.includes(name)) await copy(from, to);
    else await move(from, to);
  }
}

async function copy(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await cp(from, to, {
    recursive: true,
    verbatimSymlinks: true,
    preserveTimestamps: true,
    // Costs nothing where the file system can share blocks.
    mode: constants.COPYFILE_FICLONE,
  });
}

/** Directories that are there already are filled up, anything else is replaced. */
async function move(from: string, to: string): Promise<void> {
  const there = await lstatIfThere(to);
  const isDirectory = (await lstat(from)).isDirectory();
  if (there?.isDirectory() === true && isDirectory) {
    for (const name of await readdir(from)) await move(join(from, name), join(to, name));
    return;
  }
  if (there !== undefined) await rm(to, { recursive: true, force: true });
  await rename(from, to);
}

/** A path that leads through a link is left alone: on this host it may lead anywhere. */
async function takeBack({ root, relative, isWanted }: ReceiveOrder, directory: string, place: string): Promise<void> {
  if (!(await isRealPath(directory, place))) {
    const parent = await ensureRealDirectory(root, posix.dirname(relative));
    if (relative !== ".") await rm(join(parent, posix.basename(relative)), { recursive: true, force: true });
    return;
  }
  const from = join(directory, place);
  if ((await lstat(from)).isDirectory()) {
    const target = await ensureRealDirectory(root, relative);
    for (const name of await readdir(from)) {
      if (!isWanted(name)) continue;
      await rm(join(target, name), { recursive: true, force: true });
      await rename(join(from, name), join(target, name));
    }
    return;
  }
  const parent = await ensureRealDirectory(root, posix.dirname(relative));
  const to = join(parent, posix.basename(relative));
  await rm(to, { recursive: true, force: true });
  await rename(from, to);
}

/** Nobody knows as which user the commands run, so everybody may read and write; what is executable stays so. */
async function openToAll(path: string): Promise<void> {
  const facts = await lstat(path);
  if (facts.isDirectory()) {
    await chmod(path, 0o777);
    for (const name of await readdir(path)) await openToAll(join(path, name));
  } else if (facts.isFile()) {
    await chmod(path, facts.mode & 0o111 ? 0o777 : 0o666);
  }
}

/** Makes the directory that a job shares with its containers. What everybody may write to in there lies behind a closed door. */
export async function makeSharedDirectory(parent: string, name: string): Promise<string> {
  const directory = join(parent, name);
  await mkdir(parent, { recursive: true, mode: 0o700 });
  // One that an earlier version made stays as it was otherwise.
  await chmod(parent, 0o700);
  await mkdir(directory, { recursive: true, mode: 0o755 });
  return directory;
}
