import { withDeadline } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import type { ByteSpan } from "../reference/range.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { orAbort } from "../single-flight.ts";
import type { Body } from "../storage/body.ts";
import type { Disk } from "../storage/disk.ts";
import type { Fill, FillSeat } from "../storage/fill/fill.ts";
import type { Fills } from "../storage/fill/fills.ts";
import type { Records } from "../storage/records.ts";
import type { Access } from "./permission/access.ts";
import type { BlobConsent, BlobQuestion } from "./permission/blob-consent.ts";
import { createBlobSource } from "./blob-source.ts";
import type { BlobSourceOptions } from "./blob-source.ts";
import { BrokenFills } from "./broken-fills.ts";
import type { ReturningClient } from "./broken-fills.ts";
import type { CacheResult } from "./messages.ts";
import type { Openings } from "./permission/openings.ts";
import type { Withdrawals } from "./permission/withdrawals.ts";
import { checkedBody, plainBody } from "./stored-body.ts";
import { StoredChecks } from "./stored-checks.ts";

export interface BlobsOptions extends BlobSourceOptions {
  readonly records: Records;
  readonly disk: Disk;
  readonly fills: Fills;
  readonly openings: Openings;
  readonly withdrawals: Pick<Withdrawals, "noteFailure">;
  readonly access: Access;
  readonly consent: BlobConsent;
  readonly now: () => number;
}

/** A client that wants a blob, and who may be asked for it. */
export interface BlobInquiry extends BlobQuestion, ReturningClient {}

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
  readonly #broken: BrokenFills;
  readonly #checks: StoredChecks;

  constructor(options: BlobsOptions) {
    this.#options = options;
    this.#checks = new StoredChecks(options.disk, options.clock);
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
    const { consent, disk } = this.#options;
    // It may come to its end while the disk is asked.
    const running = this.#running(inquiry);
    const opened = await disk.openBlob(digest);
    if (opened !== undefined) {
      await opened.handle.close();
      return { image: await consent.consenting(inquiry), bytes: opened.bytes, result: "hit" };
    }
    if (running?.totalBytes !== undefined) {
      const { totalBytes: bytes } = running;
      return { image: await consent.consenting(inquiry, running), bytes, result: "join" };
    }
    return consent.firstOf(inquiry, async (image) => {
      const asker = await inquiry.askerFor(image, inquiry.signal);
      const bytes = await consent.askLength(image, digest, asker, inquiry.signal);
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
    const { consent, disk } = this.#options;
    if (disk.has(digest)) {
      const image = await consent.consenting(inquiry);
      const found = await this.#fromDisk(image, inquiry, isWhole);
      if (found !== undefined) return found;
    }
    const running = this.#running(inquiry);
    if (running !== undefined) {
      const image = await consent.consenting(inquiry, running);
      // A failure reaches everybody who waits; who got nothing yet may try once by himself.
      const found = await this.#joined(image, running, signal);
      if (found !== undefined) return found;
    }
    const isImpatient = running !== undefined;
    return consent.firstOf(inquiry, (image) => this.#fetch(image, inquiry, isWhole, isImpatient));
  }

  #running({ candidates, digest }: BlobInquiry): Fill | undefined {
    const { consent, fills } = this.#options;
    return fills.find(
      digest,
      candidates.map((image) => consent.originOf(image)),
    );
  }

  /** @param isImpatient - whether others were waited for already */
  async #fetch(image: UpstreamImage, inquiry: BlobInquiry, isWhole: boolean, isImpatient: boolean): Promise<FoundBlob> {
    const { digest, signal } = inquiry;
    const { access, consent, disk, fills, openings, records, shared, withdrawals } = this.#options;
    const refusal = this.#broken.refusal(image, digest, inquiry);
    if (refusal !== undefined) throw refusal;
    const asker = await inquiry.askerFor(image, signal);
    if ((await openings.find(image, digest)) && isWhole && !access.isPerClient(image)) {
      const location = await shared.redirectFor(digest);
      // Access may have been withdrawn meanwhile.
      if (location !== undefined && openings.has(image, digest)) return redirected(image, location);
    }
    if (await shared.has(digest)) {
      // It comes from elsewhere then, so this upstream may not have said yet that it is under this name.
      await consent.confirm(image, digest, asker, signal);
    } else {
      const failure = consent.knownFailure(image, digest, asker);
      if (failure !== undefined) throw failure;
    }
    if (disk.has(digest)) {
      // Somebody else has fetched it while this client was looked after.
      await consent.confirm(image, digest, asker, signal);
      const found = await this.#fromDisk(image, inquiry, isWhole);
      if (found !== undefined) return found;
    }
    const expectedBytes = records.bytesOf(image, digest);
    const confirm = (within: AbortSignal): Promise<void> => consent.confirm(image, digest, asker, within);
    const source = createBlobSource({ image, digest, asker, expectedBytes, confirm }, this.#options);
    const expected = openings.ifGivenTo(asker, image);
    const { fill, joined } = fills.join({
      digest,
      origin: consent.originOf(image),
      source,
      expectedBytes,
      isImpatient,
      onSettled: (failure, receivedBytes) => {
        // Also when the upstream refuses to go on, or nobody waits for its answer any more.
        if (failure instanceof UpstreamError) withdrawals.noteFailure(image, failure);
        const isWrong = failure instanceof UpstreamError && failure.code === "wrong-bytes";
        if (isWrong && source.origin === "shared-store") source.discardDamaged();
        this.#broken.note(image, digest, failure, receivedBytes);
      },
    });
    const seat = fill.attach();
    if (!joined) void fill.ended.then(() => shared.release(digest));
    // Somebody else has begun it meanwhile, under a name or with a login that says nothing about this client's.
    const isForeign = joined && (fill.origin !== consent.originOf(image) || access.isPerClient(image));
    let isConsented = !isForeign;
    try {
      if (isForeign) await consent.confirm(image, digest, asker, signal);
      isConsented = true;
      await this.#begun(fill, image, signal);
    } catch (error) {
      seat.release();
      signal.throwIfAborted();
      // What became of another's request is no answer to this one.
      if (isForeign && isConsented) return this.#fetch(image, inquiry, isWhole, true);
      if (!joined) consent.noteFailure(image, digest, asker, error);
      throw error;
    }
    if (!joined && !openings.has(image, digest)) consent.note(image, digest, expected, fill.totalBytes);
    return fromFill(image, fill, seat, joined ? "join" : "miss");
  }

  /** Waits until a fill has begun; not for long when it was asked for under another name: this one's upstream may answer. */
  #begun(fill: Fill, image: UpstreamImage, signal: AbortSignal): Promise<void> {
    const { clock, consent } = this.#options;
    if (fill.origin === consent.originOf(image)) return orAbort(fill.started, signal);
    const late = (): Error => new Error("what another client has asked for does not come");
    return withDeadline(clock, foreignMs, late, () => fill.started, signal);
  }

  async #joined(image: UpstreamImage, fill: Fill, signal: AbortSignal): Promise<FoundBlob | undefined> {
    if (!fill.canBeJoined) return undefined;
    const seat = fill.attach();
    try {
      await this.#begun(fill, image, signal);
    } catch {
      seat.release();
      signal.throwIfAborted();
      return undefined;
    }
    return fromFill(image, fill, seat, "join");
  }

  async #fromDisk(image: UpstreamImage, inquiry: BlobInquiry, isWhole: boolean): Promise<FoundBlob | undefined> {
    const { digest, signal } = inquiry;
    const { disk, openings, shared } = this.#options;
    const location = isWhole ? await shared.redirectFor(digest) : undefined;
    let opened = location === undefined ? await disk.openBlob(digest) : undefined;
    if (opened !== undefined && !opened.isVerified && !isWhole) {
      await opened.handle.close();
      const reason = "the blob that is stored here takes long to be checked";
      const late = (): Error => new UpstreamError({ code: "timeout", upstream: image.upstream.id, reason });
      opened = (await this.#checks.isRight(digest, late, signal)) ? await disk.openBlob(digest) : undefined;
    }
    // Access may have been withdrawn meanwhile.
    const isOpen = openings.has(image, digest);
    if (location !== undefined) return isOpen ? redirected(image, location) : undefined;
    if (opened === undefined) return undefined;
    const { bytes, handle, isVerified } = opened;
    const close = (): void => void handle.close();
    if (!isOpen || (!isVerified && !isWhole)) {
      // Or somebody has touched it since.
      close();
      return undefined;
    }
    const onDamaged = (): Promise<void> => disk.discardDamaged(digest);
    const blob = opened;
    const read = async (span: ByteSpan = { start: 0, end: bytes }): Promise<Body> =>
      isVerified ? plainBody(blob, span, close) : checkedBody(digest, blob, close, onDamaged);
    return { image, bytes, result: "hit", location: undefined, read, release: close };
  }
}

/** For the first byte of what was begun under another name: as long as for a turn of its own. */
const foreignMs = 5000;

function fromFill(image: UpstreamImage, fill: Fill, seat: FillSeat, result: CacheResult): FoundBlob {
  const read = async (span?: ByteSpan): Promise<Body> => seat.read(span);
  return { image, bytes: fill.totalBytes, result, location: undefined, read, release: () => seat.release() };
}

function redirected(image: UpstreamImage, location: string): FoundBlob {
  const read = (): Promise<Body> => Promise.reject(new Error("a redirected blob is not read here"));
  return { image, bytes: undefined, result: "hit", location, read, release: () => {} };
}
