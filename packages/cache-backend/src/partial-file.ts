import { createHash, randomUUID } from "node:crypto";
import type { Hash } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import type { ObjectFacts } from "./store.ts";
import { writeInPieces } from "./write-pieces.ts";

const REREAD_BYTES = 1024 * 1024;
/** What comes from a socket is collected: to wake the threads that write for each of its chunks takes longer than all the rest. */
const WRITE_BYTES = 512 * 1024;

/** Bytes of the object that were not written yet; `start` moves towards `end`. */
export interface MissingPiece {
  start: number;
  readonly end: number;
}

/** Bytes of a piece that are on their way to the file. One buffer is filled while the other is written; no further ones are made. */
interface Collected {
  buffer: Uint8Array;
  other: Uint8Array;
  /** Where in the object the buffer begins. */
  start: number;
  filled: number;
  /** Of the other buffer; undefined when it is free. */
  writing: Promise<void> | undefined;
}

interface CommitOptions {
  readonly signal?: AbortSignal | undefined;
  /** Waited for right before the file takes its place. */
  readonly beforeReplace?: (() => Promise<void>) | undefined;
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
  readonly #collected = new Map<MissingPiece, Collected>();
  #takenBytes = 0;
  /** Buffers that no piece uses; there are two for each piece that comes at the same time. */
  readonly #spare: Uint8Array[] = [];

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

  /** What is here, also while it is on its way to the file. */
  get takenBytes(): number {
    return this.#takenBytes;
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
    this.#takenBytes = 0;
  }

  /**
   * Takes bytes of a piece. They are collected, and written when it pays, while more of them come; so the caller must `flush` at the end, also
   * after a failure.
   *
   * @returns what the caller must wait for before it gives more; undefined when there is room
   */
  write(chunk: Uint8Array, piece: MissingPiece): Promise<void> | undefined {
    const collected = this.#collected.get(piece) ?? this.#collect(piece);
    this.#takenBytes += chunk.byteLength;
    let rest = fill(collected, chunk);
    while (collected.filled === WRITE_BYTES) {
      if (collected.writing !== undefined) return this.#writeRest(rest, collected, piece);
      this.#startWriting(collected, piece);
      rest = fill(collected, rest);
    }
    return undefined;
  }

  async #writeRest(chunk: Uint8Array, collected: Collected, piece: MissingPiece): Promise<void> {
    let rest = chunk;
    while (collected.filled === WRITE_BYTES) {
      await this.#writeBehind(collected, piece);
      rest = fill(collected, rest);
    }
  }

  #collect(piece: MissingPiece): Collected {
    const buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(WRITE_BYTES);
    const other = this.#spare.pop() ?? Buffer.allocUnsafeSlow(WRITE_BYTES);
    const collected = { buffer, other, start: piece.start, filled: 0, writing: undefined };
    this.#collected.set(piece, collected);
    return collected;
  }

  /** How many bytes of a piece are still to come. */
  missingBytes(piece: MissingPiece): number {
    const collected = this.#collected.get(piece);
    return piece.end - (collected === undefined ? piece.start : collected.start + collected.filled);
  }

  /** Writes what was collected of a piece. */
  async flush(piece: MissingPiece): Promise<void> {
    const collected = this.#collected.get(piece);
    this.#collected.delete(piece);
    if (collected === undefined) return;
    await this.#writeBehind(collected, piece);
    await collected.writing;
    this.#spare.push(collected.buffer, collected.other);
  }

  /** Starts to write what was collected when what was collected before it is in the file, and goes on with the other buffer. */
  async #writeBehind(collected: Collected, piece: MissingPiece): Promise<void> {
    await collected.writing;
    this.#startWriting(collected, piece);
  }

  #startWriting(collected: Collected, piece: MissingPiece): void {
    const { buffer, start, filled } = collected;
    const writing = this.#writeAll(buffer.subarray(0, filled), piece);
    collected.writing = writing;
    // A failure stays there for whoever awaits it next; until then it is nobody's.
    writing.then(
      () => {
        if (collected.writing === writing) collected.writing = undefined;
      },
      () => {},
    );
    collected.buffer = collected.other;
    collected.other = buffer;
    collected.start = start + filled;
    collected.filled = 0;
  }

  async #writeAll(bytes: Uint8Array, piece: MissingPiece): Promise<void> {
    if (piece.start === this.#hashedBytes) this.#addToHash(bytes);
    await writeInPieces(this.#opened(), bytes, piece.start);
    piece.start += bytes.byteLength;
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
  async commit(modifiedAtMs: number, { signal, beforeReplace }: CommitOptions): Promise<void> {
    const handle = this.#opened();
    await handle.utimes(new Date(), new Date(modifiedAtMs));
    await this.#close();
    signal?.throwIfAborted();
    await beforeReplace?.();
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

/** Copies as much of a chunk as there is room for. @returns the rest */
function fill(collected: Collected, chunk: Uint8Array): Uint8Array {
  const taken = chunk.subarray(0, WRITE_BYTES - collected.filled);
  collected.buffer.set(taken, collected.filled);
  collected.filled += taken.byteLength;
  return chunk.subarray(taken.byteLength);
}
