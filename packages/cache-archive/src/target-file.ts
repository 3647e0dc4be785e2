import { close, fchmod, fchown, futimes, open, unlink, write } from "node:fs";
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

/** Creates a file in a place where nothing may be left of what was there: neither content nor a link to elsewhere. */
export async function createTargetFile(place: string | Buffer): Promise<TargetFile> {
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
  return new OpenTargetFile(descriptor, place);
}

class OpenTargetFile implements TargetFile {
  readonly #descriptor: number;
  readonly #place: string | Buffer;
  #open = true;

  constructor(descriptor: number, place: string | Buffer) {
    this.#descriptor = descriptor;
    this.#place = place;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const { bytesWritten } = await writeFile(this.#descriptor, bytes, done, bytes.length - done, null);
      done += bytesWritten;
    }
  }

  async finish({ mtimeMs, mode, owner }: ArchivedEntry): Promise<void> {
    await changeTimes(this.#descriptor, new Date(), new Date(mtimeMs));
    // An explicit change, since the umask cuts the bits given to open.
    await changeMode(this.#descriptor, mode);
    if (owner !== undefined) await changeOwner(this.#descriptor, owner.uid, owner.gid).catch(() => undefined);
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
