import type { Hash } from "node:crypto";
import type { Clock } from "../../clock.ts";
import { UpstreamError } from "../../errors.ts";
import type { Metrics } from "../../metrics.ts";
import type { Digest } from "../../reference/grammar.ts";
import type { ByteSpan } from "../../reference/range.ts";
import { bodyOf } from "../body.ts";
import type { Body } from "../body.ts";
import type { Disk } from "../disk.ts";
import { fetchInTries } from "./attempts.ts";
import type { BlockPool } from "./block-pool.ts";
import { CheckedBytes } from "./checked-bytes.ts";
import { Pace } from "./pace.ts";
import { Patience } from "./patience.ts";
import { Readers } from "./readers.ts";
import type { Reader } from "./readers.ts";
import { Reading } from "./reading.ts";
import { RecentBytes } from "./recent-bytes.ts";
import type { BlobSource, OpenedSource } from "./source.ts";
import { Spool } from "./spool.ts";

export interface FillOptions {
  readonly digest: Digest;
  /** Upstream and name under which it is fetched: who may have the name may have the blob. */
  readonly origin: string;
  readonly source: BlobSource;
  /** Length according to a manifest, for sources that tell none. */
  readonly expectedBytes: number | undefined;
  readonly disk: Disk;
  /** Common to all fills. */
  readonly pool: BlockPool;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** How long the first answer may take, with all that comes before it but a free slot: a token, redirects. */
  readonly headMs: number;
  /** How long one try may bring nothing. */
  readonly idleMs: number;
  /** How long all tries together may bring nothing. */
  readonly stallMs: number;
  readonly abandonedFillMs: number;
  /** Resolves with what an earlier fill left, and with nothing when there is none. Must not reject. */
  readonly takePartial: () => Promise<PartialBlob | undefined>;
  /** Gets what this fill leaves when it is given up. */
  readonly onPartial: (partial: PartialBlob) => void;
  /** Called when the blob cannot be stored, with the reason. */
  readonly onPassThrough: (reason: unknown) => void;
  /** Called once it lies on the disk. */
  readonly onStored: () => void;
  /** Called when all bytes are here and right, or with the reason why they will not be, before readers learn of it. */
  readonly onSettled: (failure: unknown, receivedBytes: number) => void;
}

/** The first bytes of a blob, in a file that is not open, and the state of their hash. */
export interface PartialBlob {
  readonly path: string;
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

/**
 * Fetches one blob for everybody who wants it, at its own pace: into a file, from which (or from memory, as long as the
 * bytes are still there) each client reads at its own. No client gets the last byte of what it asked for before the whole
 * blob was found to be right.
 */
export class Fill {
  readonly digest: Digest;
  readonly origin: string;
  /** Settles when the source has answered: its length is known then, or it has failed. */
  readonly started: Promise<void>;
  /** Settles when nothing more happens; never rejects. */
  readonly ended: Promise<void>;
  readonly #options: FillOptions;
  readonly #start = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  readonly #checked: CheckedBytes;
  readonly #recent: RecentBytes;
  readonly #spool: Spool;
  readonly #readers = new Readers();
  readonly #reading: Reading;
  readonly #patience: Patience;
  readonly #pace: Pace;
  /** How much an earlier fill had left. */
  #continuedBytes = 0;
  #failure: unknown;
  #isAnnounced = false;
  #hasBegun = false;
  #hasEnded = false;
  #grace: AbortController | undefined;

  constructor(options: FillOptions) {
    const { clock, digest, disk, expectedBytes, onPassThrough, pool, source } = options;
    this.#options = options;
    this.digest = digest;
    this.origin = options.origin;
    this.#checked = new CheckedBytes(digest, expectedBytes, () => source.id);
    this.#recent = new RecentBytes(pool);
    const onChange = (): void => this.#onSpooled();
    this.#spool = new Spool({ disk, recent: this.#recent, onChange, onStopped: onPassThrough });
    this.#reading = new Reading({
      readers: this.#readers,
      checked: this.#checked,
      recent: this.#recent,
      spool: this.#spool,
      failure: () => this.#failure,
    });
    this.#patience = new Patience({ ...options, now: () => clock.now() });
    this.#pace = new Pace({
      ...options,
      recent: this.#recent,
      spool: this.#spool,
      readers: this.#readers,
      patience: this.#patience,
      giveUp: () => this.abort(new Error("nobody wants the blob any more")),
      signal: this.#stop.signal,
    });
    this.started = this.#start.promise;
    this.started.catch(() => {});
    this.ended = this.#run();
  }

  /** Whether all bytes are here and right. */
  get isVerified(): boolean {
    return this.#checked.isVerified;
  }

  get receivedBytes(): number {
    return this.#checked.bytes;
  }

  get totalBytes(): number | undefined {
    return this.#checked.totalBytes;
  }

  get readers(): number {
    return this.#readers.size;
  }

  /** Whether the source has answered. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Whether it will not get all bytes, though it may still be putting down those that it got. */
  get isBrokenOff(): boolean {
    return this.#failure !== undefined || (this.#stop.signal.aborted && !this.isVerified);
  }

  /** Whether somebody who comes now can still get the first byte. */
  get canBeJoined(): boolean {
    if (this.isBrokenOff || this.#hasEnded) return false;
    return this.#spool.isStoring || this.#recent.start <= this.#spool.readableBytes;
  }

  /** Takes part: from now on nothing is thrown away that this reader may still need. */
  attach(): FillSeat {
    const reader = this.#readers.add();
    let isSeated = true;
    const release = (): void => {
      if (isSeated) this.#leave(reader);
      isSeated = false;
    };
    this.#grace?.abort();
    this.#options.metrics.add("fill_readers");
    return {
      read: (span) => {
        reader.position = span?.start ?? 0;
        return bodyOf(() => this.#reading.next(reader, span?.end), release);
      },
      release,
    };
  }

  /** Gives up; the readers' bodies end with the reason. */
  abort(reason: unknown): void {
    this.#stop.abort(reason);
    this.#readers.wake();
  }

  #leave(reader: Reader): void {
    this.#reading.leave(reader);
    this.#options.metrics.add("fill_readers", {}, -1);
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
    if (this.#spool.isStoring && (total < worthFinishingBytes || this.receivedBytes * 2 >= total)) return;
    this.abort(new Error("nobody wants the blob any more"));
  }

  async #run(): Promise<void> {
    const { metrics } = this.#options;
    metrics.add("fills_running");
    try {
      await this.#fetch();
      this.#verify();
      this.#options.onSettled(undefined, this.receivedBytes);
      this.#readers.wake();
      await this.#store();
    } catch (error) {
      this.#failure = error;
      this.#options.onSettled(error, this.receivedBytes);
      this.#start.reject(error);
      this.#readers.wake();
      await this.#clearUp();
    } finally {
      metrics.add("fills_running", {}, -1);
      this.#grace?.abort();
      this.#hasEnded = true;
      if (this.#spool.isStoring) this.#recent.clear();
      await this.#closeWhenUnused();
    }
  }

  /** All readers can have everything by now: what goes wrong here is not theirs. */
  async #store(): Promise<void> {
    try {
      if (await this.#spool.adopt(this.digest)) this.#options.onStored();
    } catch (error) {
      this.#spool.stop(error);
    }
  }

  async #fetch(): Promise<void> {
    const { clock, source, takePartial } = this.#options;
    const partial = await takePartial();
    if (partial !== undefined) await this.#continue(partial);
    await fetchInTries({
      source,
      clock,
      patience: this.#patience,
      checked: this.#checked,
      begin: (opened) => this.#begin(opened),
      take: (chunk) => this.#take(chunk),
      signal: this.#stop.signal,
    });
  }

  async #continue(partial: PartialBlob): Promise<void> {
    if (!(await this.#spool.continue(partial.path, partial.bytes))) return;
    this.#checked.continue(partial);
    this.#recent.startAt(partial.bytes);
    this.#continuedBytes = partial.bytes;
  }

  async #begin({ totalBytes }: OpenedSource): Promise<void> {
    this.#checked.announce(totalBytes);
    this.#spool.open(this.totalBytes ?? 0);
    this.#hasBegun = true;
    this.#start.resolve();
  }

  #take(chunk: Uint8Array): Promise<void> | undefined {
    this.#checked.add(chunk);
    this.#recent.append(chunk, this.totalBytes);
    this.#announce();
    return this.#pace.next();
  }

  /** What the connection has at once goes on together, at the end of this turn. */
  #announce(): void {
    if (this.#isAnnounced) return;
    this.#isAnnounced = true;
    setImmediate(() => {
      this.#isAnnounced = false;
      if (this.#hasEnded) return;
      this.#spool.write();
      this.#readers.wake();
    });
  }

  #onSpooled(): void {
    this.#pace.trim();
    this.#readers.wake();
  }

  #verify(): void {
    const { metrics, source } = this.#options;
    try {
      this.#checked.verify();
    } catch (error) {
      metrics.add("verification_failures_total", { origin: source.origin });
      throw error;
    }
  }

  /** Keeps what a later fill can go on with, and removes everything else. */
  async #clearUp(): Promise<void> {
    const isWrong = this.#failure instanceof UpstreamError && this.#failure.code === "wrong-bytes";
    // From what a source that answered could not go on with, the next fill would get no further.
    const isUseless = this.#patience.hasAnswer && this.receivedBytes === this.#continuedBytes;
    const path = isWrong || isUseless ? undefined : await this.#spool.leave();
    if (path === undefined) await this.#spool.discard();
    else this.#options.onPartial({ ...this.#checked.state, path });
  }

  async #closeWhenUnused(): Promise<void> {
    if (this.#readers.size > 0) return;
    await this.#spool.close();
    this.#recent.clear();
  }
}

const worthFinishingBytes = 64 * 1024 * 1024;
