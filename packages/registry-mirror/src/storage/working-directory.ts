import { randomUUID } from "node:crypto";
import type { BigIntStats, StatsFs } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, readdir, rename, rm, rmdir, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeDirectory } from "@fleetfoot/state-directory";
import { acquireLock, LockHeldError, UnusableLockError } from "@fleetfoot/directory-lock";
import type { DirectoryLock } from "@fleetfoot/directory-lock";
import type { Clock } from "../clock.ts";
import { DirectoryInUseError, MirrorOptionsError } from "../errors.ts";
import { OncePerMinute } from "../logger.ts";
import type { Logger } from "../logger.ts";
import type { DiskCalls } from "./disk-calls.ts";
import { OpenedFile } from "./opened-file.ts";
import { systemCodeOf } from "./system-error.ts";

export interface WorkingDirectoryOptions {
  readonly directory: string;
  readonly calls: DiskCalls;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The directory of one mirror, which no other one writes to: files are filled in `tmp` and get their name when they are whole. Somebody may
 * remove it at any time; it is made anew then. Remembers whether something could be stored.
 */
export class WorkingDirectory {
  readonly #options: WorkingDirectoryOptions;
  readonly #seldom: OncePerMinute;
  #lock: DirectoryLock;
  #problem: string | undefined;
  #restoring: Promise<void> | undefined;
  /** Under way: another lock, in place of the one that was lost with the directory. */
  #locking: Promise<void> | undefined;
  #closed: Promise<void> | undefined;
  readonly #leaving = new AbortController();
  /** Forgets what was lost with the directory, and tells how much that was. */
  #onMadeAnew: () => Promise<number> = async () => 0;

  private constructor(options: WorkingDirectoryOptions, lock: DirectoryLock) {
    this.#options = options;
    this.#lock = lock;
    this.#seldom = new OncePerMinute(() => options.clock.now());
  }

  /**
   * Takes the directory, which is made if there is none. What is unfinished in it goes.
   *
   * @throws {DirectoryInUseError | MirrorOptionsError}
   */
  static async open(options: WorkingDirectoryOptions): Promise<WorkingDirectory> {
    const { calls, directory } = options;
    await calls.run(() => makeDirectory(directory, 0o700));
    // What is unfinished may be what another process is filling.
    const lock = await lockDirectory(directory, calls);
    try {
      // May be much, and its blocks are freed one by one.
      await calls.run(() => rm(join(directory, "tmp"), { recursive: true, force: true }), { isSync: true });
      await calls.run(() => mkdir(join(directory, "tmp"), { mode: 0o700 }));
      return new WorkingDirectory(options, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Lets another process have the directory; nothing new is written to it from now on. */
  close(): Promise<void> {
    this.#closed ??= this.#giveBack();
    return this.#closed;
  }

  async #giveBack(): Promise<void> {
    this.#leaving.abort(new Error("the directory is given back"));
    // What comes of it is the lock that there is to release; a failure was told to who waits for the directory.
    await this.#locking?.catch(() => {});
    await this.#lock.release();
  }

  get #isClosed(): boolean {
    return this.#leaving.signal.aborted;
  }

  /** Names what must be done when the directory was made anew. */
  whenMadeAnew(forgetLost: () => Promise<number>): void {
    this.#onMadeAnew = forgetLost;
  }

  /** Why nothing could be stored the last time; undefined when it could. */
  get problem(): string | undefined {
    return this.#options.calls.isSilent ? "the disk does not answer" : this.#problem;
  }

  /** Opens a file of the directory. */
  async openFile(path: string, flags: string): Promise<OpenedFile> {
    const { calls } = this.#options;
    const onLate = (handle: FileHandle): void => void calls.afterwards(() => handle.close());
    const handle = await calls.run(() => open(path, flags, 0o600), { onLate });
    return new OpenedFile(path, handle, calls);
  }

  createTemporary(): Promise<OpenedFile> {
    return this.#storing(async () => {
      this.#leaving.signal.throwIfAborted();
      const path = join(this.#options.directory, "tmp", randomUUID());
      if (!(await this.#lock.isHeld())) await this.#restore();
      return this.#inDirectory(() => this.openFile(path, "wx+"));
    });
  }

  /** Opens a file again that is filled up to here; undefined when it cannot be gone on with. */
  async reopenTemporary(path: string, bytes: number): Promise<OpenedFile | undefined> {
    let file: OpenedFile | undefined;
    try {
      file = await this.openFile(path, "r+");
      if (!this.#isClosed && Number((await file.stat()).size) === bytes) return file;
    } catch {
      // It is fetched anew then.
    }
    await file?.close();
    return undefined;
  }

  /**
   * Gives a filled file its name, once it is on the disk as a whole.
   *
   * @param onPublished - called with what it is now, also when nobody waits for it any more
   */
  publish(file: OpenedFile, path: string, onPublished: (facts: BigIntStats) => void = () => {}): Promise<void> {
    return this.#storing(async () => {
      await file.sync();
      await this.#options.calls.run(async () => {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        await rename(file.path, path);
        onPublished(await stat(path, { bigint: true }));
      });
    });
  }

  /** Writes a small file. Readers see the old one or the new one, also after a crash. */
  async writeWhole(name: string, text: string): Promise<void> {
    const file = await this.createTemporary();
    try {
      await file.write([Buffer.from(text)], 0);
      await this.publish(file, join(this.#options.directory, name));
    } catch (error) {
      await this.removeFile(file.path);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** The same, found also after a loss of power. */
  async writeDurably(name: string, text: string): Promise<void> {
    await this.writeWhole(name, text);
    await this.#syncFolder(dirname(join(this.#options.directory, name)));
  }

  /** Removes a folder of files, at once for whoever looks; that needs no room. */
  async removeFolder(name: string): Promise<void> {
    const { calls, directory } = this.#options;
    if (this.#isClosed) throw new Error("the directory is given back");
    const path = join(directory, name);
    const aside = join(directory, "tmp", randomUUID());
    const isThere = async (): Promise<boolean> => (await stat(path).catch(() => undefined)) !== undefined;
    if (!(await calls.run(isThere))) return;
    await this.#inDirectory(() => calls.run(() => rename(path, aside)));
    await this.#syncFolder(dirname(path));
    // One by one: no single call may take long. What is left over goes at the next start.
    const files = await calls.run(() => readdir(aside)).catch(() => []);
    for (const file of files) await this.removeFile(join(aside, file));
    await calls.afterwards(() => rmdir(aside));
  }

  /** Removes a file, if it is there. Never rejects; of a silent disk it is not waited for. */
  removeFile(path: string): Promise<void> {
    return this.#options.calls.afterwards(() => rm(path, { force: true }));
  }

  /** What may still be written to its file system by users without privileges. */
  async freeBytes(): Promise<number> {
    const { calls, directory } = this.#options;
    const look = (): Promise<StatsFs> => calls.run(() => statfs(directory));
    const { bavail, bsize } = await this.#storing(() => this.#inDirectory(look));
    return bavail * bsize;
  }

  /** Finds out whether something can be stored, and makes the directory anew when somebody has removed it. */
  async probe(): Promise<void> {
    const { calls, directory } = this.#options;
    if (this.#isClosed || calls.isSilent) return;
    const isThere = async (): Promise<boolean> => {
      const facts = await stat(join(directory, "tmp")).catch(() => undefined);
      return facts?.isDirectory() === true;
    };
    if (this.#problem === undefined && (await this.#lock.isHeld()) && (await calls.run(isThere))) return;
    try {
      const file = await this.createTemporary();
      await this.removeFile(file.path);
      await file.close();
    } catch {
      // It was told of, and is tried again.
    }
  }

  async #syncFolder(path: string): Promise<void> {
    const folder = await this.openFile(path, "r");
    try {
      await folder.sync();
    } catch (error) {
      // Not every file system can.
      if (!unableToSync.has(systemCodeOf(error) ?? "")) throw error;
    } finally {
      await folder.close();
    }
  }

  async #inDirectory<Result>(action: () => Promise<Result>): Promise<Result> {
    try {
      return await action();
    } catch (error) {
      if (systemCodeOf(error) !== "ENOENT") throw error;
      await this.#restore();
      return action();
    }
  }

  /** Somebody has removed the directory, or a part of it. */
  #restore(): Promise<void> {
    this.#restoring ??= this.#storing(() => this.#makeAnew()).finally(() => {
      this.#restoring = undefined;
    });
    return this.#restoring;
  }

  async #makeAnew(): Promise<void> {
    const { calls, directory, logger } = this.#options;
    await calls.run(() => makeDirectory(directory, 0o700));
    if (!(await this.#lock.isHeld())) {
      this.#leaving.signal.throwIfAborted();
      this.#locking = this.#lockAnew().finally(() => {
        this.#locking = undefined;
      });
      await this.#locking;
    }
    this.#leaving.signal.throwIfAborted();
    await calls.run(() => mkdir(join(directory, "tmp"), { recursive: true, mode: 0o700 }));
    const lostBlobs = await this.#onMadeAnew();
    logger.warn("the mirror's directory, or a part of it, was removed while it ran; it was made anew", {
      directory,
      lostBlobs,
    });
  }

  /** Another process may have made the directory, and have it now. */
  async #lockAnew(): Promise<void> {
    const { calls, directory } = this.#options;
    const lost = this.#lock;
    this.#lock = await lockDirectory(directory, calls, this.#leaving.signal);
    await lost.release();
  }

  /** Remembers whether something could be stored, and tells of a change. */
  async #storing<Result>(action: () => Promise<Result>): Promise<Result> {
    const { logger } = this.#options;
    try {
      const result = await action();
      if (this.#problem !== undefined) logger.info("blobs are stored again", { was: this.#problem });
      this.#problem = undefined;
      return result;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#problem = why;
      this.#seldom.run("problem", () => logger.error("nothing can be stored; blobs are passed on", { why }));
      throw error;
    }
  }
}

const unableToSync: ReadonlySet<string> = new Set(["EINVAL", "EISDIR", "ENOSYS", "ENOTSUP"]);

async function lockDirectory(directory: string, calls: DiskCalls, signal?: AbortSignal): Promise<DirectoryLock> {
  try {
    return await acquireLock(join(directory, "lock"), { calls, ...(signal === undefined ? {} : { signal }) });
  } catch (error) {
    if (error instanceof LockHeldError) throw new DirectoryInUseError(directory, error.processId, error.isElsewhere);
    if (error instanceof UnusableLockError) throw new MirrorOptionsError([`directory: ${error.message} ${error.cure}`]);
    throw error;
  }
}
