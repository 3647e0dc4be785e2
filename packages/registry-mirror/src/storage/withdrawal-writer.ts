import type { Logger } from "../logger.ts";
import type { Era } from "./era.ts";
import { recordFolders, repositoryName, withdrawalName } from "./layout.ts";
import type { ImagePlace } from "./layout.ts";
import type { RecordDisk, RecordWriter } from "./record-writer.ts";

export interface WithdrawalWriterOptions {
  readonly disk: Pick<RecordDisk, "removeFolder" | "writeDurably">;
  readonly records: Pick<RecordWriter, "forget">;
  readonly logger: Logger;
}

/**
 * Writes down that access to a name was withdrawn, at once. Where that cannot be done, because the disk is full or broken, what is known of
 * the name is removed: nothing can be given then that nothing is known of.
 */
export class WithdrawalWriter {
  readonly #options: WithdrawalWriterOptions;
  /** Of each name, what is to be written next. */
  readonly #next = new Map<string, Withdrawal>();
  readonly #failed = new Map<string, Withdrawal>();
  readonly #writing = new Map<string, Promise<void>>();

  constructor(options: WithdrawalWriterOptions) {
    this.#options = options;
  }

  /** Resolves when it is on the disk, or cannot be. Never rejects. */
  write(place: ImagePlace, era: Era): Promise<void> {
    const name = withdrawalName(place);
    this.#failed.delete(name);
    this.#next.set(name, { place, era, isRemoved: false, isTold: false });
    return this.#start(name);
  }

  /** Tries once more, in the background, what could not be written. */
  retry(): void {
    for (const [name, withdrawal] of this.#failed) {
      this.#next.set(name, withdrawal);
      void this.#start(name);
    }
    this.#failed.clear();
  }

  /** The same, and waits for it. */
  async flush(): Promise<void> {
    this.retry();
    await Promise.all(this.#writing.values());
  }

  #start(name: string): Promise<void> {
    let writing = this.#writing.get(name);
    if (writing === undefined) {
      writing = this.#writeAll(name);
      this.#writing.set(name, writing);
    }
    return writing;
  }

  async #writeAll(name: string): Promise<void> {
    try {
      for (let next = this.#next.get(name); next !== undefined; next = this.#next.get(name)) {
        this.#next.delete(name);
        const left = await this.#writeOne(name, next);
        if (left !== undefined && !this.#next.has(name)) this.#failed.set(name, left);
      }
    } finally {
      // In the turn in which nothing more was found: what comes later starts anew.
      this.#writing.delete(name);
    }
  }

  /** @returns what is still to be done */
  async #writeOne(name: string, withdrawal: Withdrawal): Promise<Withdrawal | undefined> {
    const { disk, logger } = this.#options;
    const { era, isRemoved, isTold, place } = withdrawal;
    const about = { upstream: place.upstream.id, name: place.name };
    try {
      await disk.writeDurably(name, era);
      return undefined;
    } catch (error) {
      if (isRemoved) return withdrawal;
      const why = messageOf(error);
      try {
        await this.#removeRecords(place);
        logger.warn("that access was withdrawn cannot be written down, so what was known of the name was removed", {
          ...about,
          why,
        });
      } catch (failure) {
        const fields = { ...about, why, stays: messageOf(failure) };
        const message = "that access was withdrawn cannot be written down; the name is refused until the mirror ends";
        if (!isTold) logger.warn(message, fields);
        return { ...withdrawal, isTold: true };
      }
    }
    try {
      // There may be room for it now.
      await disk.writeDurably(name, era);
      return undefined;
    } catch {
      return { ...withdrawal, isRemoved: true };
    }
  }

  async #removeRecords(place: ImagePlace): Promise<void> {
    const { disk, records } = this.#options;
    for (const kind of recordFolders) {
      const folder = `${repositoryName(place)}/${kind}`;
      await records.forget(folder);
      await disk.removeFolder(folder);
    }
  }
}

interface Withdrawal {
  readonly place: ImagePlace;
  readonly era: Era;
  /** Whether what was known of the name is off the disk. */
  readonly isRemoved: boolean;
  /** Whether operators know that it cannot be written. */
  readonly isTold: boolean;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
