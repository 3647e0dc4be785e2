import { join } from "node:path";
import { OncePerMinute } from "../logger.ts";
import type { Logger } from "../logger.ts";
import type { Disk } from "./disk.ts";

/** What records need of a disk. */
export type RecordDisk = Pick<Disk, "removeFile" | "removeFolder" | "writeDurably" | "writeWhole">;

export interface RecordWriterOptions {
  readonly directory: string;
  readonly disk: RecordDisk;
  readonly logger: Logger;
  readonly now: () => number;
}

/** Writes records down in the background, one after the other. What the disk does not take is kept for the next flush. */
export class RecordWriter {
  readonly #options: RecordWriterOptions;
  readonly #unwritten = new Map<string, string | undefined>();
  readonly #failed = new Map<string, string | undefined>();
  readonly #seldom: OncePerMinute;
  #writing: Promise<void> | undefined;
  /** What is being written just now. */
  #current: { readonly name: string; readonly done: Promise<void> } | undefined;

  constructor(options: RecordWriterOptions) {
    this.#options = options;
    this.#seldom = new OncePerMinute(options.now);
  }

  /** @param text - `undefined` removes the record */
  save(name: string, text: string | undefined): void {
    this.#failed.delete(name);
    this.#unwritten.set(name, text);
    this.#writing ??= this.#writeAll();
  }

  async flush(): Promise<void> {
    for (const [name, text] of this.#failed) this.save(name, text);
    while (this.#writing !== undefined) await this.#writing;
  }

  /** Does not write what is still to be written into a folder, and waits for what is being written there. */
  async forget(folder: string): Promise<void> {
    const isInside = (name: string): boolean => name.startsWith(`${folder}/`);
    for (const records of [this.#unwritten, this.#failed])
      for (const name of records.keys()) if (isInside(name)) records.delete(name);
    const current = this.#current;
    if (current === undefined || !isInside(current.name)) return;
    await current.done.catch(() => {});
    this.#failed.delete(current.name);
  }

  async #writeAll(): Promise<void> {
    const { logger } = this.#options;
    for (const [name, text] of this.#unwritten) {
      this.#unwritten.delete(name);
      try {
        const done = this.#write(name, text);
        this.#current = { name, done };
        await done;
      } catch (error) {
        if (!this.#unwritten.has(name)) this.#failed.set(name, text);
        const why = error instanceof Error ? error.message : String(error);
        this.#seldom.run("write", () => logger.warn("what is known of images cannot be written down", { why }));
      }
    }
    this.#current = undefined;
    this.#writing = undefined;
    // What came in while the last one was written.
    if (this.#unwritten.size > 0) this.#writing = this.#writeAll();
  }

  #write(name: string, text: string | undefined): Promise<void> {
    const { directory, disk } = this.#options;
    return text === undefined ? disk.removeFile(join(directory, name)) : disk.writeWhole(name, text);
  }
}
