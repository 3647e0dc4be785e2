import {
  close,
  closeSync,
  fchmod,
  fchmodSync,
  fchown,
  fchownSync,
  futimes,
  futimesSync,
  open,
  openSync,
  unlink,
  unlinkSync,
  write,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";
import type { ArchivedEntry } from "./archived-entry.ts";
import { errnoOf } from "./errors.ts";
import { removeExisting } from "./remove-existing.ts";

// The callback functions through promisify take less time per call than FileHandle, and files are many.
const openFile = promisify(open);
const writeFile = promisify(write);
const closeFile = promisify(close);
const changeMode = promisify(fchmod);
const changeOwner = promisify(fchown);
const changeTimes = promisify(futimes);
const removeFile = promisify(unlink);

/** A file that is being restored. Ends with `finish` or `abandon`. */
export interface TargetFile {
  write(bytes: Uint8Array): Promise<void>;
  /** Sets times, permission bits and owner, and closes. */
  finish(entry: ArchivedEntry): Promise<void>;
  /** Closes and removes. */
  abandon(): Promise<void>;
}

/**
 * Creates a file in a place where nothing may be left of what was there: neither content nor a link to elsewhere.
 *
 * @param modeMask - bits of the mode that come back
 */
export async function createTargetFile(place: string | Buffer, modeMask: number): Promise<TargetFile> {
  // Nobody else may read it until its own bits are set.
  const create = async (): Promise<number> => await openFile(place, "wx", 0o600);
  let descriptor: number;
  try {
    descriptor = await create();
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
    await removeExisting(place);
    descriptor = await create();
  }
  return new OpenTargetFile(descriptor, place, modeMask);
}

/** Files up to this length are written with synchronous calls, which take a tenth of a millisecond in all. */
export const SMALL_FILE_BYTES: number = 64 * 1024;

/**
 * Writes a whole small file at once, as {@link createTargetFile} and its `write` and `finish` would.
 *
 * Six trips to another thread cost several times more than the calls themselves; with tens of thousands of small files that is most of a restore.
 *
 * @param content - at most {@link SMALL_FILE_BYTES}
 */
export async function writeSmallFile(
  place: string | Buffer,
  content: Uint8Array,
  entry: ArchivedEntry,
  modeMask: number,
): Promise<void> {
  let descriptor: number;
  try {
    descriptor = openSync(place, "wx", 0o600);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
    await removeExisting(place);
    descriptor = openSync(place, "wx", 0o600);
  }
  try {
    for (let done = 0; done < content.length;) done += writeSync(descriptor, content, done);
    finishSmallFile(descriptor, entry, entry.mode & modeMask);
  } catch (error) {
    closeSync(descriptor);
    unlinkSync(place);
    throw error;
  }
  closeSync(descriptor);
}

function finishSmallFile(descriptor: number, { mtimeMs, owner }: ArchivedEntry, mode: number): void {
  futimesSync(descriptor, Date.now() / 1000, mtimeMs / 1000);
  fchmodSync(descriptor, mode);
  if (owner === undefined || (owner.uid === process.getuid?.() && owner.gid === process.getgid?.())) return;
  try {
    fchownSync(descriptor, owner.uid, owner.gid);
  } catch {
    // Only root may give files away; everybody else's files stay their own, which is what they need.
  }
  // A change of the owner takes them away again.
  if (mode > 0o777) fchmodSync(descriptor, mode);
}

class OpenTargetFile implements TargetFile {
  readonly #descriptor: number;
  readonly #place: string | Buffer;
  readonly #modeMask: number;
  #open = true;

  constructor(descriptor: number, place: string | Buffer, modeMask: number) {
    this.#descriptor = descriptor;
    this.#place = place;
    this.#modeMask = modeMask;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const { bytesWritten } = await writeFile(this.#descriptor, bytes, done, bytes.length - done, null);
      done += bytesWritten;
    }
  }

  async finish(entry: ArchivedEntry): Promise<void> {
    const { mtimeMs, owner } = entry;
    const mode = entry.mode & this.#modeMask;
    await changeTimes(this.#descriptor, new Date(), new Date(mtimeMs));
    // An explicit change, since the umask cuts the bits given to open.
    await changeMode(this.#descriptor, mode);
    if (owner !== undefined) await changeOwner(this.#descriptor, owner.uid, owner.gid).catch(() => undefined);
    // A change of the owner takes them away again.
    if (mode > 0o777) await changeMode(this.#descriptor, mode);
    await this.#close();
  }

  async abandon(): Promise<void> {
    await this.#close().catch(() => undefined);
    await removeFile(this.#place).catch(() => undefined);
  }

  async #close(): Promise<void> {
    // Once only: the number may already be another file's.
    if (!this.#open) return;
    this.#open = false;
    await closeFile(this.#descriptor);
  }
}
