import type { Readable } from "node:stream";

import { Archiver } from "archiver";
import { ZipArchiveEntry, ZipArchiveOutputStream } from "compress-commons";

import type { ArchiveEntry } from "../types.ts";
import { FLAG_UTF8, METHOD_STORED } from "../zip/constants.ts";
import { entryHeader } from "../zip/records.ts";

/** What archiver hands to a format: the data given to `append`, untouched but for its own fields. */
interface AppendedData {
  readonly exact: ArchiveEntry;
}

/**
 * archiver with a zip format that keeps names as bytes, times to the second, owners, and modes with special bits. Its own
 * one rewrites names and knows DOS times only.
 */
export class ExactZipArchive extends Archiver {
  constructor(level: number) {
    super();
    const format = new ExactZipFormat(level);
    // How archiver's own formats plug themselves in.
    Object.assign(this, { _format: "zip", _module: format, _supportsDirectory: true, _supportsSymlink: true });
    (this as unknown as { _modulePipe(): void })._modulePipe();
  }

  /** Packs one entry and waits for it. Several at once would gather in memory. */
  async add(entry: ArchiveEntry, source: Buffer | Readable): Promise<void> {
    // It would not say so once more.
    if (this.destroyed) throw new Error("the archive was closed");
    await new Promise<void>((resolve, reject) => {
      const cleanUp = (): void => {
        this.off("entry", packed);
        this.off("error", failed);
        this.off("close", closed);
      };
      const packed = (): void => {
        cleanUp();
        resolve();
      };
      const failed = (error: Error): void => {
        cleanUp();
        reject(error);
      };
      const closed = (): void => failed(new Error("the archive was closed"));
      this.on("entry", packed);
      this.on("error", failed);
      this.on("close", closed);
      // archiver would change the name; the format takes it from the entry.
      const data = { name: "entry", exact: entry };
      this.append(source, data);
    });
  }
}

class ExactZipFormat {
  readonly #level: number;
  readonly #stream: ZipArchiveOutputStream;

  constructor(level: number) {
    this.#level = level;
    this.#stream = new ZipArchiveOutputStream({ zlib: { level }, forceLocalTime: true });
  }

  append(source: Buffer | Readable, { exact }: AppendedData, callback: (error: Error | null) => void): void {
    this.#stream.entry(new ExactEntry(exact, this.#level), source, callback);
  }

  finalize(): void {
    this.#stream.finish();
  }

  on(event: string, listener: (error: Error) => void): unknown {
    return this.#stream.on(event, listener);
  }

  pipe(target: NodeJS.WritableStream): unknown {
    return this.#stream.pipe(target);
  }

  unpipe(target: NodeJS.WritableStream): unknown {
    return this.#stream.unpipe(target);
  }
}

const PLATFORM_UNIX = 3;

class ExactEntry extends ZipArchiveEntry {
  readonly #name: Buffer;
  readonly #isDirectory: boolean;

  constructor(entry: ArchiveEntry, level: number) {
    super("");
    const header = entryHeader(entry, METHOD_STORED, "time-first");
    this.#name = header.name;
    this.#isDirectory = entry.kind === "directory";
    this.getGeneralPurposeBit().useUTF8ForNames((header.flags & FLAG_UTF8) !== 0);
    this.setExtra(header.extra);
    this.setPlatform(PLATFORM_UNIX);
    this.setExternalAttributes(header.externalAttributes);
    this.setTime(new Date(entry.mtimeMs), true);
    if (entry.kind !== "file" || level === 0) this.setMethod(METHOD_STORED);
  }

  override getName(): Buffer {
    // The base class asks before this one is complete.
    return #name in this ? this.#name : Buffer.alloc(0);
  }

  override isDirectory(): boolean {
    return #isDirectory in this && this.#isDirectory;
  }
}
