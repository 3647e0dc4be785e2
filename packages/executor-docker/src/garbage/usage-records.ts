import { appendFile, mkdir, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** When something was last used, and what is known of it. */
export interface Usage {
  /** Epoch milliseconds. */
  readonly lastUsedMs: number;
  readonly notes: ReadonlySet<string>;
}

/**
 * Remembers on this host what jobs used and when, since an engine does not: a file for each thing, whose time is that of the last
 * use.
 */
export class UsageRecords {
  readonly #folder: string;
  readonly #now: () => number;

  constructor(folder: string, now: () => number) {
    this.#folder = folder;
    this.#now = now;
  }

  /** @param note - is added to those that are there */
  async begin(name: string, note = ""): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const known = await this.find(name);
    if (known === undefined) await writeFile(this.#path(name), note === "" ? "" : `${note}\n`);
    else if (note !== "" && !known.notes.has(note)) await appendFile(this.#path(name), `${note}\n`);
    await this.#setTime(name);
  }

  /** Notes another use of what there is a record of. */
  async renew(name: string): Promise<void> {
    if ((await this.find(name)) !== undefined) await this.#setTime(name);
  }

  async find(name: string): Promise<Usage | undefined> {
    try {
      const [{ mtimeMs }, text] = await Promise.all([stat(this.#path(name)), readFile(this.#path(name), "utf8")]);
      return { lastUsedMs: mtimeMs, notes: new Set(text.split("\n").filter(Boolean)) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Forgets all but these. */
  async keepOnly(names: ReadonlySet<string>): Promise<void> {
    const kept = new Set([...names].map(encodeURIComponent));
    const files = await readdir(this.#folder).catch(() => []);
    for (const file of files) if (!kept.has(file)) await rm(join(this.#folder, file), { force: true });
  }

  async #setTime(name: string): Promise<void> {
    const seconds = this.#now() / 1_000;
    await utimes(this.#path(name), seconds, seconds);
  }

  #path(name: string): string {
    return join(this.#folder, encodeURIComponent(name));
  }
}
