import { UpstreamError } from "../errors.ts";
import { ExpiringMap } from "../expiring-map.ts";
import type { Digest } from "../reference/grammar.ts";
import type { ByteSpan } from "../reference/range.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { orAbort, SingleFlight } from "../single-flight.ts";
import type { Body } from "../storage/body.ts";
import type { Disk } from "../storage/disk.ts";
import type { Fill, FillSeat } from "../storage/fill/fill.ts";
import type { Fills } from "../storage/fill/fills.ts";
import type { Records } from "../storage/records.ts";
import type { Asker } from "../upstream/client.ts";
import { askerKey } from "./access.ts";
import type { Access } from "./access.ts";
import { createBlobSource, lengthOf } from "./blob-source.ts";
import type { BlobSourceOptions } from "./blob-source.ts";
import { BrokenFills } from "./broken-fills.ts";
import type { ReturningClient } from "./broken-fills.ts";
import { WalkFailure } from "./failures.ts";
import type { StepFailure } from "./failures.ts";
import type { CacheResult } from "./messages.ts";
import { negativeLifetime } from "./negative-lifetime.ts";
import { openingBy } from "./openings.ts";
import type { Openings } from "./openings.ts";
import { checkedBody, checkStored, plainBody } from "./stored-body.ts";

export interface BlobsOptions extends BlobSourceOptions {
  readonly records: Records;
  readonly disk: Disk;
  readonly fills: Fills;
  readonly openings: Openings;
  readonly access: Access;
  readonly now: () => number;
}

/** Who may be asked for a blob, in order, and in whose name. */
export interface BlobInquiry extends ReturningClient {
  readonly digest: Digest;
  readonly candidates: readonly UpstreamImage[];
  readonly askerFor: (image: UpstreamImage, signal: AbortSignal) => Promise<Asker>;
  readonly signal: AbortSignal;
}

/** A blob whose length may still be unknown. */
export interface FoundBlob {
  /** The upstream whose consent counts. */
  readonly image: UpstreamImage;
  readonly bytes: number | undefined;
  readonly result: CacheResult;
  /** Where a client may get it by itself. */
  readonly location: string | undefined;
  /** Whether a part is of no use to this client. */
  readonly isWholeOnly?: boolean;
  /** Opens a part, or everything. Called at most once; otherwise `release` is. */
  read(span?: ByteSpan): Promise<Body>;
  release(): void;
}

/** Blobs from the disk, from a fill that goes on, from the shared store, or from an upstream. */
export class Blobs {
  readonly #options: BlobsOptions;
  readonly #negative: ExpiringMap<UpstreamError>;
  readonly #broken: BrokenFills;
  readonly #confirmations = new SingleFlight<void>();

  constructor(options: BlobsOptions) {
    this.#options = options;
    this.#negative = new ExpiringMap(10_000, options.now);
    this.#broken = new BrokenFills(options.now);
  }

  /**
   * Length of a blob, without fetching it.
   *
   * @throws {UpstreamError | WalkFailure}
   */
  async head(
    inquiry: BlobInquiry,
  ): Promise<{ readonly image: UpstreamImage; readonly bytes: number; readonly result: CacheResult }> {
    const { digest } = inquiry;
    const { disk } = this.#options;
    const opened = await disk.openBlob(digest);
    if (opened !== undefined) {
      await opened.handle.close();
      return { image: await this.#consenting(inquiry), bytes: opened.bytes, result: "hit" };
    }
    return this.#firstOf(inquiry, async (image) => {
      const asker = await inquiry.askerFor(image, inquiry.signal);
      const bytes = await this.#askLength(image, digest, asker, inquiry.signal);
      return { image, bytes, result: "miss" as const };
    });
  }

  /**
   * Opens a blob.
   *
   * @throws {UpstreamError | WalkFailure}
   */
  async open(inquiry: BlobInquiry, isWhole: boolean): Promise<FoundBlob> {
    const found = await this.#find(inquiry, isWhole);
    return this.#broken.isWrong(inquiry.digest, inquiry) ? { ...found, isWholeOnly: true } : found;
  }

  async #find(inquiry: BlobInquiry, isWhole: boolean): Promise<FoundBlob> {
    const { digest, signal } = inquiry;
    const { disk, fills } = this.#options;
    if (disk.has(digest)) {
      const image = await this.#consenting(inquiry);
      const found = await this.#fromDisk(image, digest, isWhole);
      if (found !== undefined) return found;
    }
    const running = fills.find(digest);
    if (running !== undefined) {
      const image = await this.#consenting(inquiry, running);
      // A failure reaches everybody who waits; who got nothing yet may try once by himself.
      const found = await this.#joined(image, running, signal);
      if (found !== undefined) return found;
    }
    return this.#firstOf(inquiry, (image) => this.#fetch(image, inquiry, isWhole));
  }

  async #fetch(image: UpstreamImage, inquiry: BlobInquiry, isWhole: boolean): Promise<FoundBlob> {
    const { digest, signal } = inquiry;
    const { fills, openings, records, shared } = this.#options;
    const refusal = this.#broken.refusal(image, digest, inquiry);
    if (refusal !== undefined) throw refusal;
    const asker = await inquiry.askerFor(image, signal);
    const isKnown = await openings.find(image, digest);
    if (isKnown && isWhole && !this.#options.access.isPerClient(image)) {
      const location = await shared.redirectFor(digest);
      if (location !== undefined) return redirected(image, location);
    }
    if (await shared.has(digest)) {
      // It comes from elsewhere then, so this upstream has not yet said that it is under this name.
      if (!isKnown || this.#options.access.isPerClient(image)) await this.#confirm(image, digest, asker, signal);
    } else {
      this.#throwNegative(image, digest, asker);
    }
    if (this.#options.disk.has(digest)) {
      // Somebody else has fetched it while this client was looked after.
      await this.#confirm(image, digest, asker, signal);
      const found = await this.#fromDisk(image, digest, isWhole);
      if (found !== undefined) return found;
    }
    const expectedBytes = records.bytesOf(image, digest);
    const confirm = (within: AbortSignal): Promise<void> => this.#confirm(image, digest, asker, within);
    const source = createBlobSource({ image, digest, asker, expectedBytes, confirm }, this.#options);
    const { fill, joined } = fills.join({
      digest,
      origin: this.#originOf(image),
      source,
      expectedBytes,
      onSettled: (failure, receivedBytes) => {
        const isWrong = failure instanceof UpstreamError && failure.code === "wrong-bytes";
        if (isWrong && source.origin === "shared-store") shared.discardDamaged(digest);
        this.#broken.note(image, digest, failure, receivedBytes);
      },
    });
    const seat = fill.attach();
    if (!joined) void fill.ended.then(() => shared.release(digest));
    // Somebody else has begun it meanwhile, under a name or with a login that says nothing about this client's.
    const isForeign = joined && (fill.origin !== this.#originOf(image) || this.#options.access.isPerClient(image));
    let isConsented = !isForeign;
    try {
      if (isForeign) await this.#confirm(image, digest, asker, signal);
      isConsented = true;
      await orAbort(fill.started, signal);
    } catch (error) {
      seat.release();
      signal.throwIfAborted();
      // What became of another's request is no answer to this one.
      if (isForeign && isConsented) return this.#fetch(image, inquiry, isWhole);
      if (!joined) this.#remember(image, digest, asker, error);
      throw error;
    }
    if (!joined && !isKnown) this.#note(image, digest, asker, fill.totalBytes);
    return fromFill(image, fill, seat, joined ? "join" : "miss");
  }

  async #joined(image: UpstreamImage, fill: Fill, signal: AbortSignal): Promise<FoundBlob | undefined> {
    if (!fill.canBeJoined) return undefined;
    const seat = fill.attach();
    try {
      await orAbort(fill.started, signal);
    } catch {
      seat.release();
      signal.throwIfAborted();
      return undefined;
    }
    return fromFill(image, fill, seat, "join");
  }

  /** The first candidate that may be asked and lets us have it. */
  #consenting(inquiry: BlobInquiry, running?: Fill): Promise<UpstreamImage> {
    const { digest, signal } = inquiry;
    const action = async (image: UpstreamImage): Promise<UpstreamImage> => {
      const asker = await inquiry.askerFor(image, signal);
      if (!this.#isOwner(image, running)) await this.#confirm(image, digest, asker, signal);
      return image;
    };
    return this.#firstOf(inquiry, action, running);
  }

  /** Under what a fill is begun. */
  #originOf(image: UpstreamImage): string {
    return `${image.upstream.id} ${image.name} ${this.#options.openings.withdrawals(image)}`;
  }

  /** Whether a fill goes on under a name, unless each client needs a consent of his own. */
  #isOwner(image: UpstreamImage, running: Fill | undefined): boolean {
    return running?.origin === this.#originOf(image) && !this.#options.access.isPerClient(image);
  }

  async #firstOf<Result>(
    { candidates, digest, signal }: BlobInquiry,
    action: (image: UpstreamImage) => Promise<Result>,
    running?: Fill,
  ): Promise<Result> {
    const { access, openings, records } = this.#options;
    const steps: StepFailure[] = [];
    const rank = (image: UpstreamImage): number => {
      if (this.#isOwner(image, running) || (openings.has(image, digest) && !access.isPerClient(image))) return 0;
      // Whoever gave the manifest comes before the others.
      return records.knows(image, digest) ? 1 : 2;
    };
    for (const image of candidates.toSorted((one, other) => rank(one) - rank(other))) {
      try {
        return await action(image);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof UpstreamError)) throw error;
        steps.push({ upstream: image.upstream.id, error });
      }
    }
    const [only] = steps;
    throw steps.length === 1 && only !== undefined ? only.error : new WalkFailure(steps);
  }

  async #confirm(image: UpstreamImage, digest: Digest, asker: Asker, signal: AbortSignal): Promise<void> {
    const { access, openings } = this.#options;
    if (access.isPerClient(image)) await access.confirm(image, `blobs/${digest}`, asker, signal);
    if (openings.has(image, digest)) return;
    const { result } = this.#confirmations.run(
      `${image.upstream.id} ${image.name} ${digest} ${askerKey(asker)}`,
      async () => {
        // Waited for by others, too, so it does not end with this client.
        const bytes = await this.#askLength(image, digest, asker, new AbortController().signal);
        this.#note(image, digest, asker, bytes);
      },
    );
    await orAbort(result, signal);
  }

  /** The upstream has said that the blob is under this name. */
  #note(image: UpstreamImage, digest: Digest, asker: Asker, totalBytes: number | undefined): void {
    const { records } = this.#options;
    const bytes = totalBytes ?? records.bytesOf(image, digest) ?? 0;
    const manifest = records.digest(image, digest)?.manifest;
    records.setDigest(image, digest, { bytes, manifest, openTo: openingBy(asker, image) });
  }

  async #askLength(image: UpstreamImage, digest: Digest, asker: Asker, signal: AbortSignal): Promise<number> {
    this.#throwNegative(image, digest, asker);
    try {
      const answer = await this.#options.clientOf(image).send({
        method: "HEAD",
        resource: `blobs/${digest}`,
        name: image.name,
        kind: "blob",
        asker,
        signal,
      });
      answer.discard();
      const bytes = lengthOf(answer.headers["content-length"]) ?? this.#options.records.bytesOf(image, digest);
      if (bytes !== undefined) return bytes;
      throw new UpstreamError({
        code: "failing",
        upstream: image.upstream.id,
        reason: "it does not tell the blob's length",
      });
    } catch (error) {
      this.#remember(image, digest, asker, error);
      throw error;
    }
  }

  async #fromDisk(image: UpstreamImage, digest: Digest, isWhole: boolean): Promise<FoundBlob | undefined> {
    const { disk, shared } = this.#options;
    const location = isWhole ? await shared.redirectFor(digest) : undefined;
    if (location !== undefined) return redirected(image, location);
    const opened = await disk.openBlob(digest);
    if (opened === undefined) return undefined;
    const close = (): void => void opened.handle.close();
    // A part cannot be checked by itself, so everything is, once.
    const state = opened.isVerified || isWhole ? "readable" : await checkStored(digest, opened);
    if (state !== "readable") {
      close();
      if (state === "damaged") await disk.discardDamaged(digest);
      return undefined;
    }
    const onDamaged = (): Promise<void> => disk.discardDamaged(digest);
    const read = async (span: ByteSpan = { start: 0, end: opened.bytes }): Promise<Body> =>
      opened.isVerified || !isWhole ? plainBody(opened, span, close) : checkedBody(digest, opened, close, onDamaged);
    return { image, bytes: opened.bytes, result: "hit", location: undefined, read, release: close };
  }

  #throwNegative(image: UpstreamImage, digest: Digest, asker: Asker): void {
    const error = this.#negative.get(negativeKey(image, digest, asker));
    if (error !== undefined) throw error;
  }

  #remember(image: UpstreamImage, digest: Digest, asker: Asker, error: unknown): void {
    if (!(error instanceof UpstreamError)) return;
    this.#options.openings.noteFailure(image, error);
    const lifetimeMs = negativeLifetime(error, true);
    if (lifetimeMs > 0) this.#negative.set(negativeKey(image, digest, asker), error, lifetimeMs);
  }
}

function fromFill(image: UpstreamImage, fill: Fill, seat: FillSeat, result: CacheResult): FoundBlob {
  const read = async (span?: ByteSpan): Promise<Body> => seat.read(span);
  return { image, bytes: fill.totalBytes, result, location: undefined, read, release: () => seat.release() };
}

function redirected(image: UpstreamImage, location: string): FoundBlob {
  const read = (): Promise<Body> => Promise.reject(new Error("a redirected blob is not read here"));
  return { image, bytes: undefined, result: "hit", location, read, release: () => {} };
}

function negativeKey(image: UpstreamImage, digest: Digest, asker: Asker): string {
  return `${image.upstream.id} ${image.name} ${digest} ${askerKey(asker)}`;
}
