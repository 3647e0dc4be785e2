import type { FileHandle } from "node:fs/promises";
import { CacheStoreError } from "@fleetfoot/cache-backend";
import type { ByteRange, ObjectFacts } from "@fleetfoot/cache-backend";
import { asStoreError, systemCodeOf } from "./failures.ts";
import type { LocalCall } from "./failures.ts";
import type { LocalFileSystem } from "./file-system.ts";
import { readTrailer } from "./trailer.ts";

/** The file of an object, open for reading. Replacing or deleting the object does not change what it reads. */
export interface ObjectFile {
  readonly name: string;
  readonly facts: ObjectFacts;
  /** Epoch milliseconds, to the minute: when somebody last put or got it. */
  readonly usedAtMs: number;
  readonly handle: FileHandle;
}

/**
 * Opens an object's file.
 *
 * @param name - the object must have this name; `undefined` takes any
 * @returns `undefined` when there is none, or what is there is no whole object of this name
 */
export async function openObjectFile(
  fileSystem: LocalFileSystem,
  path: string,
  name: string | undefined,
): Promise<ObjectFile | undefined> {
  return withFreshFile(() => openOnce(fileSystem, path, name));
}

/** Reads a part of an object from its open file, and goes on in a file opened anew when a server has forgotten the first. */
export class ObjectReader {
  readonly #fileSystem: LocalFileSystem;
  readonly #path: string;
  readonly #call: LocalCall;
  #file: ObjectFile;

  constructor(fileSystem: LocalFileSystem, path: string, file: ObjectFile, call: LocalCall) {
    this.#fileSystem = fileSystem;
    this.#path = path;
    this.#file = file;
    this.#call = call;
  }

  async *chunks(range: ByteRange): AsyncGenerator<Uint8Array, void, void> {
    try {
      const end = Math.min(range.end, this.#file.facts.bytes);
      for (let position = range.start; position < end;) {
        const chunk = await this.#read(position, Math.min(end - position, chunkBytes));
        if (chunk.byteLength === 0) throw this.#failure("truncated", "the file ends early");
        position += chunk.byteLength;
        yield chunk;
      }
    } catch (error) {
      throw asStoreError(this.#call, error);
    }
  }

  async close(): Promise<void> {
    await this.#file.handle.close();
  }

  async #read(position: number, length: number): Promise<Uint8Array> {
    let first = true;
    return withFreshFile(async () => {
      if (!first) await this.#reopen();
      first = false;
      const buffer = Buffer.allocUnsafeSlow(length);
      const { bytesRead } = await this.#file.handle.read(buffer, 0, length, position);
      return buffer.subarray(0, bytesRead);
    });
  }

  async #reopen(): Promise<void> {
    await this.close();
    const file = await openOnce(this.#fileSystem, this.#path, this.#file.name);
    if (file === undefined) throw this.#failure("object-changed", "it went away while it was read");
    const same = file.facts.version === this.#file.facts.version;
    this.#file = file;
    if (!same) throw this.#failure("object-changed", "it was replaced while it was read");
  }

  #failure(code: "truncated" | "object-changed", reason: string): CacheStoreError {
    const { store, operation, object } = this.#call;
    return new CacheStoreError({ code, store, operation, object, reason });
  }
}

const chunkBytes = 256 * 1024;

async function openOnce(
  fileSystem: LocalFileSystem,
  path: string,
  name: string | undefined,
): Promise<ObjectFile | undefined> {
  let handle: FileHandle;
  try {
    handle = await fileSystem.open(path, "r");
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
  try {
    const found = await readTrailer(handle, name);
    if (found !== undefined) return { ...found, handle };
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  return undefined;
}

/** A network file system forgets files that another host replaced; opening the name again finds what is there now. */
async function withFreshFile<Result>(action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (error) {
    if (systemCodeOf(error) !== "ESTALE") throw error;
    return action();
  }
}
