import { randomUUID } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { link, open, opendir, rename, rm, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { NoHardLinksError } from "./errors.ts";
import type { FileCalls } from "./file-calls.ts";
import { lockByKernel } from "./kernel-lock.ts";
import { ownMark, writeMark } from "./mark.ts";
import { hasCode } from "./system-error.ts";

/** A file with the mark of this process, open, and locked where the kernel can do that. It is given the name of a lock when it may have it. */
export class OwnFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #facts: BigIntStats;
  readonly #calls: FileCalls;

  private constructor(path: string, handle: FileHandle, facts: BigIntStats, calls: FileCalls) {
    this.#path = path;
    this.#handle = handle;
    this.#facts = facts;
    this.#calls = calls;
  }

  /** Makes it beside a lock. */
  static async create(lockPath: string, calls: FileCalls): Promise<OwnFile> {
    const path = `${lockPath}.${randomUUID()}`;
    const discard = async (handle: FileHandle): Promise<void> => {
      await rm(path, { force: true });
      await handle.close();
    };
    const handle = await calls.run(() => open(path, "wx+", 0o600), {
      onLate: (late) => void calls.afterwards(() => discard(late)),
    });
    try {
      const isKernelLocked = await calls.run(() => lockByKernel(handle.fd));
      const mark = writeMark({ ...(await ownMark()), isKernelLocked });
      await calls.run(() => handle.writeFile(mark));
      const facts = await calls.run(() => handle.stat({ bigint: true }));
      return new OwnFile(path, handle, facts, calls);
    } catch (error) {
      await calls.afterwards(() => discard(handle));
      throw error;
    }
  }

  /** Gives it one more name, unless something else has that. */
  linkTo(target: string): Promise<boolean> {
    const make = async (): Promise<boolean> => {
      try {
        await link(this.#path, target);
        return true;
      } catch (error) {
        if (hasCode(error, "EEXIST")) return false;
        const errno = NO_HARD_LINKS.find((code) => hasCode(error, code));
        throw errno === undefined ? error : new NoHardLinksError(target, errno, { cause: error });
      }
    };
    return this.#calls.run(make, { onLate: (isLinked) => this.#undo(isLinked, target) });
  }

  /** Gives it a name in place of one that it has, whatever has that name now; without success it has neither. */
  rename(name: string, target: string): Promise<void> {
    const make = async (): Promise<void> => {
      try {
        await rename(name, target);
      } catch (error) {
        await rm(name, { force: true });
        throw error;
      }
    };
    return this.#calls.run(make, { onLate: () => this.#undo(true, target) });
  }

  /** Takes a name from it. */
  removeName(name: string): Promise<void> {
    return this.#calls.afterwards(() => rm(name, { force: true }));
  }

  /** Takes the name from it under which it was made. */
  removeFirstName(): Promise<void> {
    return this.removeName(this.#path);
  }

  /** Whether it still has a name. */
  hasName(name: string): Promise<boolean> {
    return this.#calls.run(() => this.#isAt(name));
  }

  /** Shows that this process lives. */
  touch(): Promise<void> {
    const now = new Date();
    return this.#calls.run(() => this.#handle.utimes(now, now));
  }

  /** Takes a name from it, if it still has that, and closes it. */
  close(name: string = this.#path): Promise<void> {
    return this.#calls.afterwards(async () => {
      try {
        await this.#removeAt(name);
      } finally {
        await this.#handle.close();
      }
    });
  }

  /** Nobody waits any more for the name that it has got. */
  #undo(isNamed: boolean, name: string): void {
    if (isNamed) void this.#calls.afterwards(() => this.#removeAt(name));
  }

  async #removeAt(name: string): Promise<void> {
    if (await this.#isAt(name)) await rm(name, { force: true });
  }

  async #isAt(name: string): Promise<boolean> {
    try {
      const { dev, ino } = await stat(name, { bigint: true });
      return ino === this.#facts.ino && dev === this.#facts.dev;
    } catch (error) {
      if (hasCode(error, "ENOENT")) return false;
      throw error;
    }
  }
}

/**
 * How systems say that there are none: EPERM for FAT and exFAT, the others for FUSE, 9p and network file systems. A file of two names has not too many.
 *
 * @see https://man7.org/linux/man-pages/man2/link.2.html
 */
const NO_HARD_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"];

/** What the right to replace a dead process's file is called; see `take`. */
export function nameOfRight(lockPath: string, key: string): string {
  return `${lockPath}.takeover.${key}`;
}

/**
 * Removes what killed processes have left beside a lock that this process has: own files without the lock, and rights to take it over. Whoever
 * is just trying to get it may lose his, too; he looks anew then, and finds that it is taken.
 */
export async function removeLeftovers(lockPath: string, calls: FileCalls): Promise<void> {
  const directory = dirname(lockPath);
  const names = await calls.run(async () => {
    const found: string[] = [];
    for await (const { name } of await opendir(directory)) if (isLeftover(name, basename(lockPath))) found.push(name);
    return found;
  });
  for (const name of names) await calls.run(() => rm(join(directory, name), { force: true }));
}

function isLeftover(name: string, lockName: string): boolean {
  return name.startsWith(`${lockName}.`) && leftoverEnd.test(name.slice(lockName.length));
}

/** Also the one name that all rights had once. */
const leftoverEnd = /^\.(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|takeover(?:\.[0-9a-f]{32})?)$/;
