import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import type { Stats } from "node:fs";

import { unlessMissing } from "../missing.ts";
import { changed, entryPath, sourceError } from "../source-file.ts";
import type { ArchiveEntry } from "../types.ts";

// A link or FIFO that took the file's place since it was listed must be neither followed nor waited for.
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** A file that has grown beyond this since it was listed is not read into memory any more. */
const MAX_GROWN_BYTES = 64 * 1024 * 1024;

/** Opens an entry for as long as `use` takes. */
function withEntry<T>(root: string, entry: ArchiveEntry, use: (descriptor: number) => T): T {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(entryPath(root, entry), OPEN_FLAGS);
    return use(descriptor);
  } catch (error) {
    throw sourceError(error, entry);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Told how an entry is, before anything of its content is read. */
export type Look = (found: Stats) => void;

/** Looks at an entry that is not opened; at nothing when it is not there any more. */
export function lookAtEntry(root: string, entry: ArchiveEntry, look: Look): void {
  const found = unlessMissing(() => lstatSync(entryPath(root, entry), { throwIfNoEntry: false }));
  if (found !== undefined) look(found);
}

/**
 * The content as it is now, whether it has grown or shrunk since it was listed.
 *
 * @param target - has room at `at` for one byte more than the entry
 * @returns the part of `target` from `at` on when it is as long as it was listed; else it lies elsewhere
 */
export function readWhole(root: string, entry: ListedFile, target: Buffer, at: number, look?: Look): Buffer {
  // Without a function of its own to call: one of tens of thousands takes as long as a part of the system calls.
  let descriptor: number | undefined;
  try {
    descriptor = openSync(entryPath(root, entry), OPEN_FLAGS);
    look?.(fstatSync(descriptor));
    // One byte more than planned shows in the same call that nothing was added.
    const length = readSync(descriptor, target, at, entry.bytes + 1, 0);
    return length === entry.bytes ? target.subarray(at, at + length) : readChanged(descriptor, entry, target, at);
  } catch (error) {
    throw sourceError(error, entry);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** What reading needs to know of a file. */
type ListedFile = Pick<ArchiveEntry, "path" | "bytes">;

function readChanged(descriptor: number, entry: ListedFile, target: Buffer, at: number): Buffer {
  const stats = fstatSync(descriptor);
  if (!stats.isFile() || stats.size > MAX_GROWN_BYTES) throw changed(entry);
  const content = Buffer.allocUnsafe(stats.size);
  const length = readFully(descriptor, content, 0);
  if (length !== entry.bytes) return content.subarray(0, length);
  // It has its length again, but the call that was told another one left something else there.
  content.copy(target, at, 0, length);
  return target.subarray(at, at + length);
}

/** A part of the content; shorter only where the file ends. */
export function readPart(root: string, entry: ArchiveEntry, position: number, target: Buffer): Buffer {
  return withEntry(root, entry, (descriptor) => {
    if (position === 0 && !fstatSync(descriptor).isFile()) throw changed(entry);
    return target.subarray(0, readFully(descriptor, target, position));
  });
}

/** Short pieces from all over a long file. */
export function readSamples(root: string, entry: ArchiveEntry, count: number, bytes: number): Buffer[] {
  return withEntry(root, entry, (descriptor) =>
    Array.from({ length: count }, (_, nth) => {
      const piece = Buffer.allocUnsafe(bytes);
      const position = Math.floor(((entry.bytes - bytes) * nth) / (count - 1));
      return piece.subarray(0, readFully(descriptor, piece, position));
    }),
  );
}

/** Fills the target from a place of the file on, and says how far it came. */
function readFully(descriptor: number, target: Buffer, position: number): number {
  let done = 0;
  while (done < target.length) {
    const got = readSync(descriptor, target, done, target.length - done, position + done);
    if (got === 0) break;
    done += got;
  }
  return done;
}
