import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { rm } from "node:fs/promises";
import type { Clock } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import type { Metrics } from "../metrics.ts";
import type { Digest } from "../reference/grammar.ts";
import type { ByteSpan } from "../reference/range.ts";
import { orAbort } from "../single-flight.ts";
import { bodyOf } from "./body.ts";
import type { Body } from "./body.ts";
import type { Disk, TemporaryFile } from "./disk.ts";

/** Where the bytes of a blob come from. */
export interface BlobSource {
  /** Names it in errors. */
  readonly id: string;
  /** Where the bytes that came so far are from, for figures. */
  readonly origin: "shared-store" | "upstream";
  /**
   * Opens the blob.
   *
   * @param offset - where to go on; a source may begin at 0 all the same
   */
  open(offset: number, signal: AbortSignal): Promise<OpenedSource>;
}

export interface OpenedSource {
  readonly offset: number;
  /** Length of the whole blob, when it is told. */
  readonly totalBytes: number | undefined;
  readonly chunks: AsyncIterable<Uint8Array>;
  discard(): void;
}

export interface FillOptions {
  readonly digest: Digest;
  /** Upstream and name under which it is fetched: who may have the name may have the blob. */
  readonly origin: string;
  readonly source: BlobSource;
  /** Length according to a manifest, for sources that tell none. */
  readonly expectedBytes: number | undefined;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** How long the first answer may take, with all that comes before it: a free slot, a token, redirects. */
  readonly headMs: number;
  /** How long one try may bring nothing. */
  readonly idleMs: number;
  /** How long all tries together may bring nothing. */
  readonly stallMs: number;
  readonly abandonedFillMs: number;
  /** What an earlier fill left. */
  readonly partial: PartialBlob | undefined;
  /** Gets what this fill leaves when it is given up. */
  readonly onPartial: (partial: PartialBlob) => void;
  /** Called when the blob cannot be stored, with the reason. */
  readonly onPassThrough: (reason: unknown) => void;
  /** Called once it lies on the disk. */
  readonly onStored: () => void;
  /** Called when all bytes are here and right, or with the reason why they will not be, before readers learn of it. */
  readonly onSettled: (failure: unknown, receivedBytes: number) => void;
}

/** The first bytes of a blob and the state of their hash. */
export interface PartialBlob {
  readonly file: TemporaryFile;
  readonly hash: Hash;
  readonly bytes: number;
  readonly totalBytes: number | undefined;
}

/** One reader's place at a fill. */
export interface FillSeat {
  /** Reads a part, or everything, while it arrives. Ends with an error when the blob cannot be had whole and right. */
  read(span?: ByteSpan): Body;
  /** To be called when nothing is read; the end of a body does it by itself. */
  release(): void;
}

interface Piece {
  readonly start: number;
  readonly chunk: Uint8Array;
}

interface Reader {
  position: number;
  isDropped: boolean;
  hasLeft: boolean;
  /** For what is read from the file; used again and again. */
  buffer: Buffer | undefined;
}

/**
 * Fetches one blob for everybody who wants it, at its own pace: into a file, from which (or from memory, as long as the
 * piece is still there) each client reads at its own. No client gets the last byte of what it asked for before the whole
 * blob was found to be right.
 */
export class Fill {
  readonly digest: Digest;
  readonly origin: string;
  /** Settles when the source has answered: its length is known then, or it has failed. */
  readonly started: Promise<void>;
  /** Settles when nothing more happens; never rejects. */
  readonly ended: Promise<void>;
  totalBytes: number | undefined;
  readonly #options: FillOptions;
  readonly #start = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  readonly #hash: Hash;
  readonly #readers = new Set<Reader>();
  #waiters: (() => void)[] = [];
  #pieces: Piece[] = [];
  #receivedBytes: number;
  #isVerified = false;
  #failure: unknown;
  #file: TemporaryFile | undefined;
  /** Bytes of the file that can be read. */
  #fileBytes: number;
  #isStoring = true;
  #unwritten: Piece[] = [];
  #unwrittenBytes = 0;
  #writing: Promise<void> | undefined;
  /** When the last bytes came that are worth being called progress. */
  #progressAtMs: number;
  #progressBytes: number;
  #isPaused = false;
  #hasStarted = false;
  #hasEnded = false;
  #grace: AbortController | undefined;

  constructor(options: FillOptions) {
    const { clock, digest, expectedBytes, partial } = options;
    this.#options = options;
    this.digest = digest;
    this.origin = options.origin;
    this.#hash = partial?.hash ?? createHash(digest.slice(0, digest.indexOf(":")));
    this.#file = partial?.file;
    this.#receivedBytes = partial?.bytes ?? 0;
    this.#fileBytes = this.#receivedBytes;
    this.totalBytes = partial?.totalBytes ?? expectedBytes;
    this.#progressAtMs = clock.now();
    this.#progressBytes = this.#receivedBytes;
    this.started = this.#start.promise;
    this.started.catch(() => {});
    this.ended = this.#run();
  }

  /** Whether all bytes are here and right. */
  get isVerified(): boolean {
    return this.#isVerified;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  get readers(): number {
    return this.#readers.size;
  }

  /** Whether somebody who comes now can still get the first byte. */
  get canBeJoined(): boolean {
    if (this.#failure !== undefined || this.#hasEnded) return false;
    return this.#isStoring || (this.#pieces[0]?.start ?? this.#receivedBytes) <= this.#fileBytes;
  }

  /** Takes part: from now on nothing is thrown away that this reader may still need. */
  attach(): FillSeat {
    const reader: Reader = { position: 0, isDropped: false, hasLeft: false, buffer: undefined };
    let isSeated = true;
    const release = (): void => {
      if (isSeated) this.#leave(reader);
      isSeated = false;
    };
    this.#readers.add(reader);
    this.#grace?.abort();
    this.#options.metrics.add("fill_readers");
    return {
      read: (span) => {
        reader.position = span?.start ?? 0;
        return bodyOf(() => this.#next(reader, span?.end), release);
      },
      release,
    };
  }

  /** Gives up; the readers' bodies end with the reason. */
  abort(reason: unknown): void {
    this.#stop.abort(reason);
    this.#wake();
  }

  async #next(reader: Reader, wantedEnd: number | undefined): Promise<Uint8Array | undefined> {
    for (;;) {
      const end = Math.min(wantedEnd ?? Number.POSITIVE_INFINITY, this.#isVerified ? this.#receivedBytes : Infinity);
      if (reader.hasLeft || reader.position >= end) return undefined;
      if (this.#failure !== undefined) throw this.#failure;
      if (reader.isDropped) throw new Error("the client was too slow for a blob that cannot be stored");
      // The last byte is held back: who gets it believes that all of them are right.
      const lastByte = Math.min(end, this.totalBytes ?? this.#receivedBytes) - 1;
      const readable = this.#isVerified ? end : Math.min(this.#receivedBytes, lastByte);
      if (reader.position < readable) {
        const chunk = this.#pieceFor(reader.position, readable) ?? (await this.#readFor(reader, readable));
        reader.position += chunk.byteLength;
        if (!this.#isStoring) this.#wake();
        return chunk;
      }
      await this.#change();
    }
  }

  #pieceFor(position: number, end: number): Uint8Array | undefined {
    const piece = this.#pieceAt(position);
    return piece?.chunk.subarray(position - piece.start, end - piece.start);
  }

  async #readFor(reader: Reader, end: number): Promise<Uint8Array> {
    const { position } = reader;
    const file = this.#file;
    if (file === undefined) throw new Error("bytes that a reader needs are neither in memory nor on the disk");
    reader.buffer ??= Buffer.allocUnsafeSlow(readBytes);
    const length = Math.min(readBytes, end - position, this.#fileBytes - position);
    const { bytesRead } = await file.handle.read(reader.buffer, 0, length, position);
    if (bytesRead === 0) throw new Error("the file of a running fill ends early");
    return reader.buffer.subarray(0, bytesRead);
  }

  #pieceAt(position: number): Piece | undefined {
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const piece = this.#pieces[middle];
      if (piece === undefined || position < piece.start) high = middle - 1;
      else if (position >= piece.start + piece.chunk.byteLength) low = middle + 1;
      else return piece;
    }
    return undefined;
  }

  #leave(reader: Reader): void {
    reader.hasLeft = true;
    this.#readers.delete(reader);
    this.#options.metrics.add("fill_readers", {}, -1);
    this.#wake();
    if (this.#hasEnded) return void this.#closeWhenUnused();
    if (this.#readers.size === 0) void this.#giveUpUnlessWanted();
  }

  /** Nobody wants it any more. A second try usually comes at once, and what is nearly done is worth finishing. */
  async #giveUpUnlessWanted(): Promise<void> {
    const grace = new AbortController();
    this.#grace = grace;
    try {
      await this.#options.clock.sleep(this.#options.abandonedFillMs, grace.signal);
    } catch {
      return;
    }
    if (this.#readers.size > 0 || this.#hasEnded) return;
    const total = this.totalBytes ?? Number.POSITIVE_INFINITY;
    if (this.#isStoring && (total < worthFinishingBytes || this.#receivedBytes * 2 >= total)) return;
    this.abort(new Error("nobody wants the blob any more"));
  }

  async #run(): Promise<void> {
    const { metrics } = this.#options;
    metrics.add("fills_running");
    try {
      await this.#fetch();
      this.#verify();
      this.#options.onSettled(undefined, this.#receivedBytes);
      this.#wake();
      await this.#store();
    } catch (error) {
      this.#failure = error;
      this.#options.onSettled(error, this.#receivedBytes);
      this.#start.reject(error);
      this.#wake();
      await this.#clearUp();
    } finally {
      metrics.add("fills_running", {}, -1);
      this.#grace?.abort();
      this.#hasEnded = true;
      this.#pieces = this.#isStoring ? [] : this.#pieces;
      await this.#closeWhenUnused();
    }
  }

  async #fetch(): Promise<void> {
    const { clock, stallMs } = this.#options;
    const { signal } = this.#stop;
    for (let tries = 0; ; tries += 1) {
      try {
        return await this.#fetchOnce();
      } catch (error) {
        signal.throwIfAborted();
        const pauseMs = pausesMs[tries];
        // Who has got nothing yet can be told at once, and go elsewhere.
        const isFinal = error instanceof UpstreamError && (error.isDefinite || error.code === "wrong-bytes");
        if (!this.#hasStarted || isFinal || pauseMs === undefined) throw error;
        if (clock.now() + pauseMs - this.#progressAtMs >= stallMs) throw error;
        await clock.sleep(pauseMs, signal);
      }
    }
  }

  async #fetchOnce(): Promise<void> {
    const { source } = this.#options;
    const attempt = new AbortController();
    const ended = new AbortController();
    const onStop = (): void => attempt.abort(this.#stop.signal.reason);
    this.#stop.signal.addEventListener("abort", onStop, { once: true });
    void this.#watch(attempt, ended.signal);
    try {
      this.#stop.signal.throwIfAborted();
      const opening = source.open(this.#receivedBytes, attempt.signal);
      const opened = await orAbort(opening, attempt.signal).catch((error: unknown) => {
        // What still comes, from a source that does not look at its signal, is not wanted any more.
        opening.then(
          (late) => late.discard(),
          () => {},
        );
        throw error;
      });
      const discard = (): void => opened.discard();
      attempt.signal.addEventListener("abort", discard, { once: true });
      try {
        attempt.signal.throwIfAborted();
        await this.#read(opened);
      } finally {
        attempt.signal.removeEventListener("abort", discard);
        discard();
      }
    } catch (error) {
      this.#stop.signal.throwIfAborted();
      if (attempt.signal.aborted) throw attempt.signal.reason;
      if (error instanceof UpstreamError) throw error;
      const reason = "the body broke off";
      throw new UpstreamError({ code: "unreachable", upstream: source.id, reason }, { cause: error });
    } finally {
      ended.abort();
      this.#stop.signal.removeEventListener("abort", onStop);
    }
    if (this.totalBytes !== undefined && this.#receivedBytes < this.totalBytes) {
      throw new UpstreamError({ code: "unreachable", upstream: source.id, reason: "the body ended early" });
    }
  }

  async #read(opened: OpenedSource): Promise<void> {
    this.#checkTotal(opened);
    if (this.#file === undefined && this.#isStoring) {
      if (await this.#options.disk.makeRoom(this.totalBytes ?? 0)) await this.#createFile();
      else this.#stopStoring(new Error("there is no room for it"));
    }
    if (!this.#hasStarted) this.#progressAtMs = this.#options.clock.now();
    this.#hasStarted = true;
    this.#start.resolve();
    let skip = this.#receivedBytes - opened.offset;
    for await (const chunk of opened.chunks) {
      const skipped = Math.min(skip, chunk.byteLength);
      skip -= skipped;
      if (skipped < chunk.byteLength) await this.#take(chunk.subarray(skipped));
    }
  }

  #checkTotal({ totalBytes }: OpenedSource): void {
    const { expectedBytes, source } = this.#options;
    if (totalBytes === undefined) return;
    const known = this.#receivedBytes > 0 ? this.totalBytes : expectedBytes;
    if (known !== undefined && known !== totalBytes) {
      throw new UpstreamError({
        code: "wrong-bytes",
        upstream: source.id,
        reason: "the blob has another length than announced",
      });
    }
    this.totalBytes = totalBytes;
  }

  /** Ends a try that brings nothing, or next to nothing, for too long; what the mirror itself waits for does not count. */
  async #watch(attempt: AbortController, ended: AbortSignal): Promise<void> {
    const { clock, headMs, idleMs, source, stallMs } = this.#options;
    const beganAtMs = clock.now();
    try {
      for (;;) {
        const now = clock.now();
        if (this.#isPaused) this.#progressAtMs = now;
        const sinceMs = Math.max(this.#progressAtMs, beganAtMs);
        const stallLeftMs = stallMs - (now - this.#progressAtMs);
        // The head of the first answer has a limit of its own; nobody was given anything yet.
        const leftMs = this.#hasStarted ? Math.min(idleMs - (now - sinceMs), stallLeftMs) : headMs - (now - beganAtMs);
        if (leftMs <= 0) break;
        await clock.sleep(Math.min(leftMs, idleMs), ended);
      }
    } catch {
      // The try has ended.
      return;
    }
    attempt.abort(
      new UpstreamError({
        code: "timeout",
        upstream: source.id,
        reason: "it sent nothing, or too little, for too long",
      }),
    );
  }

  async #take(chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk);
    const piece = { start: this.#receivedBytes, chunk };
    this.#pieces.push(piece);
    this.#receivedBytes += chunk.byteLength;
    if (this.#receivedBytes - this.#progressBytes >= this.#worthwhileBytes) {
      this.#progressBytes = this.#receivedBytes;
      this.#progressAtMs = this.#options.clock.now();
    }
    if (this.#receivedBytes > (this.totalBytes ?? Number.POSITIVE_INFINITY)) {
      const reason = "the blob is longer than announced";
      throw new UpstreamError({ code: "wrong-bytes", upstream: this.#options.source.id, reason });
    }
    this.#wake();
    if (this.#isStoring) {
      this.#unwritten.push(piece);
      this.#unwrittenBytes += chunk.byteLength;
      this.#writing ??= this.#write();
      if (this.#unwrittenBytes > maxUnwrittenBytes) await this.#waitForDisk();
    }
    if (!this.#isStoring) await this.#waitForReaders();
  }

  /** A disk that stands still is not waited for: the clients get their bytes without it. */
  async #waitForDisk(): Promise<void> {
    const { clock, idleMs } = this.#options;
    const timer = new AbortController();
    const late = clock.sleep(idleMs, timer.signal).then(
      () => this.#stopStoring(new Error("the disk takes nothing for too long")),
      () => {},
    );
    this.#isPaused = true;
    try {
      while (this.#isStoring && this.#unwrittenBytes > maxUnwrittenBytes) {
        this.#stop.signal.throwIfAborted();
        await Promise.race([this.#change(), late]);
      }
    } finally {
      this.#isPaused = false;
      this.#progressAtMs = clock.now();
      timer.abort();
    }
  }

  /** Nothing keeps the bytes but memory, so the slowest reader sets the pace; one that stands still is left behind. */
  async #waitForReaders(): Promise<void> {
    const { clock, idleMs } = this.#options;
    this.#isPaused = true;
    try {
      for (let waited = false; ;) {
        this.#trim();
        if (this.#readers.size === 0 && this.#receivedBytes > maxPiecesBytes)
          this.abort(new Error("nobody wants the blob any more"));
        this.#stop.signal.throwIfAborted();
        if (this.#piecesBytes() <= maxPiecesBytes) return;
        if (waited) for (const reader of this.#readers) if (reader.position <= this.#slowest()) reader.isDropped = true;
        for (const reader of this.#readers) if (reader.isDropped) this.#readers.delete(reader);
        const before = this.#slowest();
        const timer = new AbortController();
        const change = (async () => {
          while (this.#slowest() === before && !this.#stop.signal.aborted && !timer.signal.aborted)
            await this.#change();
        })();
        const late = clock.sleep(idleMs, timer.signal).then(
          () => true,
          () => false,
        );
        waited = await Promise.race([change.then(() => false), late]);
        timer.abort();
        this.#wake();
      }
    } finally {
      this.#isPaused = false;
      this.#progressAtMs = clock.now();
    }
  }

  /** A byte now and then is no progress. */
  get #worthwhileBytes(): number {
    return (this.#options.idleMs / 1000) * slowBytesPerSecond;
  }

  #slowest(): number {
    let slowest = Number.POSITIVE_INFINITY;
    for (const { position } of this.#readers) slowest = Math.min(slowest, position);
    return slowest;
  }

  async #write(): Promise<void> {
    try {
      while (this.#unwritten.length > 0) {
        const batch = this.#unwritten.splice(0, maxBatch);
        await this.#writeBatch(batch.map(({ chunk }) => chunk));
        this.#trim();
        this.#wake();
      }
    } catch (error) {
      this.#stopStoring(error);
      this.#wake();
    } finally {
      this.#writing = undefined;
    }
  }

  async #writeBatch(chunks: Uint8Array[]): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    for (let rest = chunks; rest.length > 0;) {
      const { bytesWritten } = await file.handle.writev(rest, this.#fileBytes);
      this.#fileBytes += bytesWritten;
      this.#unwrittenBytes -= bytesWritten;
      rest = afterBytes(rest, bytesWritten);
    }
  }

  /** Pieces that are on the disk stay in memory only for readers that are close behind. */
  #trim(): void {
    const needed = this.#isStoring ? this.#fileBytes : this.#slowest();
    const keep = this.#isStoring ? maxPiecesBytes : 0;
    let count = 0;
    for (const { start, chunk } of this.#pieces) {
      const end = start + chunk.byteLength;
      if (end > needed || this.#receivedBytes - end < keep) break;
      count += 1;
    }
    if (count > 0) this.#pieces.splice(0, count);
  }

  #piecesBytes(): number {
    return this.#receivedBytes - (this.#pieces[0]?.start ?? this.#receivedBytes);
  }

  async #createFile(): Promise<void> {
    try {
      this.#file = await this.#options.disk.createTemporary();
    } catch (error) {
      this.#stopStoring(error);
    }
  }

  #stopStoring(reason: unknown): void {
    if (!this.#isStoring) return;
    this.#isStoring = false;
    this.#unwritten = [];
    this.#unwrittenBytes = 0;
    this.#options.onPassThrough(reason);
    // Readers that are behind still read from it; its name is not needed for that.
    if (this.#file !== undefined) void rm(this.#file.path, { force: true });
  }

  #verify(): void {
    const { digest, metrics, source } = this.#options;
    const actual = this.#hash.digest("hex");
    if (actual === digest.slice(digest.indexOf(":") + 1)) {
      this.totalBytes = this.#receivedBytes;
      this.#isVerified = true;
      return;
    }
    metrics.add("verification_failures_total", { origin: source.origin });
    throw new UpstreamError({ code: "wrong-bytes", upstream: source.id, reason: "the bytes do not fit the digest" });
  }

  async #store(): Promise<void> {
    // Everything is in memory or on its way to the disk.
    while (this.#isStoring && (this.#writing !== undefined || this.#unwritten.length > 0)) {
      this.#writing ??= this.#write();
      await this.#writing;
    }
    const file = this.#file;
    if (!this.#isStoring || file === undefined) return;
    try {
      await this.#options.disk.adopt(file, this.digest);
      this.#options.onStored();
    } catch (error) {
      this.#stopStoring(error);
    }
  }

  /** Keeps what a later fill can go on with, and removes everything else. */
  async #clearUp(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    await this.#writing;
    const isUsable = !(this.#failure instanceof UpstreamError && this.#failure.code === "wrong-bytes");
    if (isUsable && this.#isStoring && this.#fileBytes === this.#receivedBytes && this.#fileBytes > 0) {
      this.#file = undefined;
      this.#options.onPartial({ file, hash: this.#hash, bytes: this.#receivedBytes, totalBytes: this.totalBytes });
      return;
    }
    await rm(file.path, { force: true });
  }

  async #closeWhenUnused(): Promise<void> {
    if (this.#readers.size > 0) return;
    const file = this.#file;
    this.#file = undefined;
    this.#pieces = [];
    await file?.handle.close();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }
}

const pausesMs: readonly number[] = [500, 1000, 2000];
/** Whoever sends less stands still. */
const slowBytesPerSecond = 1024;
const readBytes = 256 * 1024;
/** Per fill, for readers that keep up: they need no file. */
const maxPiecesBytes = 4 * 1024 * 1024;
/** More than this waits for a disk that is slower than the network. */
const maxUnwrittenBytes = 16 * 1024 * 1024;
/** The least that every system takes in one call. */
const maxBatch = 256;
const worthFinishingBytes = 64 * 1024 * 1024;

function afterBytes(chunks: Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  for (const [index, chunk] of chunks.entries()) {
    if (left < chunk.byteLength) return [chunk.subarray(left), ...chunks.slice(index + 1)];
    left -= chunk.byteLength;
  }
  return [];
}
