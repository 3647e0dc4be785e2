import { join } from "node:path";
import { OncePerMinute } from "../logger.ts";
import type { Logger } from "../logger.ts";
import type { Disk } from "./disk.ts";

export interface RecordWriterOptions {
  readonly directory: string;
  readonly disk: Pick<Disk, "removeFile" | "writeWhole">;
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

  async #writeAll(): Promise<void> {
    const { directory, disk, logger } = this.#options;
    for (const [name, text] of this.#unwritten) {
      this.#unwritten.delete(name);
      try {
        if (text === undefined) await disk.removeFile(join(directory, name));
        else await disk.writeWhole(name, text);
      } catch (error) {
        if (!this.#unwritten.has(name)) this.#failed.set(name, text);
        const why = error instanceof Error ? error.message : String(error);
        this.#seldom.run("write", () => logger.warn("what is known of images cannot be written down", { why }));
      }
    }
    this.#writing = undefined;
    // What came in while the last one was written.
    if (this.#unwritten.size > 0) this.#writing = this.#writeAll();
  }
}
