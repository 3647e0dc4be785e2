import type { FileHandle } from "node:fs/promises";
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

import { LocalCoordinatorError } from "../errors.ts";
import type { StateEntry } from "./state-entry.ts";

/** Writes down what a later coordinator needs to go on. */
export interface Keeper {
  /** Whether anything outlives the coordinator; if not, nothing needs to be made safe on the disk. */
  readonly isLasting: boolean;
  /**
   * Notes that something has changed. What is to be written is asked for later, once for all changes until then.
   *
   * @param key - the same for all changes of one thing
   * @param describe - `isFirst` until a description of that thing was written by this keeper
   */
  mark(key: string, describe: (isFirst: boolean) => readonly StateEntry[]): void;
  /**
   * Resolves when everything marked so far would survive a crash and a power cut. Rejects when it cannot be written, or is
   * marked after closing.
   */
  flush(): Promise<void>;
  /** Writes what is marked and closes the file. */
  close(): Promise<void>;
}

/** For a coordinator whose state ends with it. */
export const forgetfulKeeper: Keeper = {
  isLasting: false,
  mark: () => undefined,
  flush: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

/**
 * Keeps a journal: a line for every flush, of all that changed since the one before, so that a line is there as a whole or
 * not at all. The file of the coordinator before is replaced with the first flush, which therefore must come after everything
 * that was read from it is marked.
 *
 * @param soon - called when something is marked that nobody has asked to flush
 */
export function createKeeper(path: string, soon: (work: Promise<void>) => void): Keeper {
  type Mark = Parameters<Keeper["mark"]>[1];
  let marks = new Map<string, Mark>();
  const written = new Set<string>();
  let file: FileHandle | undefined;
  /** Where the next line goes; a line that could not be written as a whole is written over. */
  let end = 0;
  let current: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  let isAnnounced = false;
  let isClosed = false;

  const writeMarks = async (): Promise<void> => {
    const batch = marks;
    if (batch.size === 0 && file !== undefined) return;
    marks = new Map();
    try {
      // A new file counts only as a whole, so that all there is need not be one text. Nothing may change in between.
      const size = file === undefined ? marksPerLine : batch.size;
      const lines = inGroups([...batch], size).map((group) => {
        const entries = group.flatMap(([key, describe]) => describe(!written.has(key)));
        return Buffer.from(`${JSON.stringify(entries)}\n`);
      });
      await writeLines(lines);
    } catch (error) {
      // What was marked meanwhile is described later and counts.
      marks = new Map([...batch, ...marks]);
      throw error;
    }
    for (const key of batch.keys()) written.add(key);
  };
  const writeLines = async (lines: readonly Buffer[]): Promise<void> => {
    const target = file ?? (await open(`${path}.new`, "w", 0o600));
    let position = end;
    try {
      for (const bytes of lines) {
        for (let at = 0; at < bytes.length;) {
          at += (await target.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
        }
        position += bytes.length;
      }
      await target.datasync();
      if (file === undefined) await replace(`${path}.new`, path);
    } catch (error) {
      if (file === undefined) await target.close();
      throw error;
    }
    file = target;
    end = position;
  };
  const flush = (): Promise<void> => {
    if (next !== undefined) return next;
    if (marks.size === 0) return current ?? Promise.resolve();
    // A new file would replace the journal and have nothing but this.
    if (isClosed) return Promise.reject(new LocalCoordinatorError("closed", "the coordinator is closed"));
    const before = current?.catch(() => undefined) ?? Promise.resolve();
    const own = before.then(() => {
      next = undefined;
      const work = writeMarks().finally(() => {
        if (current === work) current = undefined;
      });
      current = work;
      return work;
    });
    next = own;
    return own;
  };

  return {
    isLasting: true,
    mark: (key, describe) => {
      marks.set(key, describe);
      if (isAnnounced || isClosed) return;
      isAnnounced = true;
      const { promise, resolve } = Promise.withResolvers<void>();
      setImmediate(() => {
        isAnnounced = false;
        resolve(flush());
      });
      soon(promise);
    },
    flush,
    close: async () => {
      if (isClosed) return;
      try {
        await flush();
      } finally {
        isClosed = true;
        await current?.catch(() => undefined);
        await file?.close();
      }
    },
  };
}

/** Gives a written file its name, for good. */
async function replace(from: string, to: string): Promise<void> {
  await rename(from, to);
  const folder = await open(dirname(to), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function inGroups<Item>(items: readonly Item[], size: number): readonly (readonly Item[])[] {
  const groups: (readonly Item[])[] = [];
  for (let at = 0; at < items.length; at += size) groups.push(items.slice(at, at + size));
  return groups;
}

/** Some hundred jobs take some milliseconds. */
const marksPerLine = 500;
