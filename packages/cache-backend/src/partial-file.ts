import { createHash, randomUUID } from "node:crypto";
import type { Hash } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import type { ObjectFacts } from "./store.ts";

const REREAD_BYTES = 1024 * 1024;

/** Bytes of the object that were not written yet; `start` moves towards `end`. */
export interface MissingPiece {
  start: number;
  readonly end: number;
}

/** A file that is being downloaded: it lies beside its place under a name of its own, and remembers what it lacks. */
export class PartialFile {
  readonly #path: string;
  readonly #temporary: string;
  #handle: FileHandle | undefined;
  #facts: ObjectFacts | undefined;
  #totalBytes = 0;
  #missing: readonly MissingPiece[] = [];
  #hash: Hash | undefined;
  #hashedBytes = 0;

  constructor(path: string) {
    this.#path = path;
    this.#temporary = join(dirname(path), `cache-${hostname()}-${process.pid}-${randomUUID()}.part`);
  }

  /** The object that it holds a part of; `undefined` when nothing of it could be gone on with. */
  get facts(): ObjectFacts | undefined {
    return this.#facts;
  }

  get missing(): readonly MissingPiece[] {
    return this.#missing;
  }

  get writtenBytes(): number {
    return this.#totalBytes - this.#missing.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  /**
   * Starts with an object, and with a digest of it where `hashes` says so. When the file cannot be made, the body that is about to be read is
   * released.
   */
  async begin(
    facts: ObjectFacts,
    missing: readonly MissingPiece[],
    { hashes, body }: { readonly hashes: boolean; readonly body?: ReadableStream<Uint8Array> },
  ): Promise<void> {
    try {
      this.#handle ??= await open(this.#temporary, "wx+", 0o600);
      await this.#handle.truncate();
    } catch (error) {
      await body?.cancel().catch(() => {});
      throw error;
    }
    // Without a version nobody can tell whether the rest belongs to what is here.
    this.#facts = facts.version === "" ? undefined : facts;
    this.#totalBytes = facts.bytes;
    this.#hash = hashes ? createHash("sha256") : undefined;
    this.#hashedBytes = 0;
    this.#missing = missing;
  }

  async write(chunk: Uint8Array, piece: MissingPiece): Promise<void> {
    if (piece.start === this.#hashedBytes) this.#addToHash(chunk);
    for (let written = 0; written < chunk.byteLength;) {
      const rest = chunk.byteLength - written;
      const { bytesWritten } = await this.#opened().write(chunk, written, rest, piece.start);
      written += bytesWritten;
      piece.start += bytesWritten;
    }
  }

  /** SHA-256 of the complete file in hexadecimal digits. What came out of order is read again. */
  async digest(signal: AbortSignal): Promise<string | undefined> {
    const rest = Buffer.allocUnsafe(REREAD_BYTES);
    while (this.#hash !== undefined && this.#hashedBytes < this.#totalBytes) {
      signal.throwIfAborted();
      const { bytesRead } = await this.#opened().read(rest, 0, rest.byteLength, this.#hashedBytes);
      if (bytesRead === 0) break;
      this.#addToHash(rest.subarray(0, bytesRead));
    }
    return this.#hash?.copy().digest("hex");
  }

  #addToHash(chunk: Uint8Array): void {
    this.#hash?.update(chunk);
    this.#hashedBytes += chunk.byteLength;
  }

  /** What was written is of no use. */
  forget(): void {
    this.#facts = undefined;
    this.#missing = [];
  }

  /** Gives the file its time, and moves it to its place. */
  async commit(modifiedAtMs: number, signal: AbortSignal | undefined): Promise<void> {
    const handle = this.#opened();
    await handle.utimes(new Date(), new Date(modifiedAtMs));
    await this.#close();
    signal?.throwIfAborted();
    await rename(this.#temporary, this.#path);
  }

  /** Leaves nothing that was not committed. */
  async discard(): Promise<void> {
    await this.#close();
    await rm(this.#temporary, { force: true });
  }

  #opened(): FileHandle {
    if (this.#handle === undefined) throw new Error("unreachable: nothing was begun");
    return this.#handle;
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }
}
