import type { Clock } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import type { Metrics } from "../metrics.ts";
import type { Digest } from "../reference/grammar.ts";
import { maxManifestBytes, readManifest } from "../reference/manifest.ts";
import { isFresh, mayBeStale, tagLifetime } from "../routing/freshness.ts";
import { isWithdrawal } from "../routing/opening.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { orAbort, SingleFlight } from "../single-flight.ts";
import type { Expected } from "../storage/era.ts";
import type { ManifestStore } from "../storage/manifest-store.ts";
import type { DigestRecord, TagRecord } from "../storage/record-texts.ts";
import type { Records } from "../storage/records.ts";
import type { SharedStore } from "../storage/shared-store.ts";
import { askerKey } from "../upstream/asker.ts";
import type { Asker } from "../upstream/asker.ts";
import type { Access } from "./permission/access.ts";
import type { DescribedManifest, FetchedManifest, ManifestQuestion, ManifestSource } from "./manifest-source.ts";
import type { CacheResult } from "./messages.ts";
import { NegativeAnswers } from "./negative-answers.ts";
import type { Openings } from "./permission/openings.ts";
import type { Withdrawals } from "./permission/withdrawals.ts";

export interface ImagesOptions {
  readonly records: Records;
  readonly manifests: ManifestStore;
  /** Whether a blob can be given without asking anybody. */
  readonly hasBlob: (digest: Digest) => boolean;
  readonly shared: SharedStore;
  readonly openings: Openings;
  readonly withdrawals: Withdrawals;
  readonly access: Access;
  readonly source: ManifestSource;
  /** Whether an upstream is known not to answer. */
  readonly isDown: (image: UpstreamImage) => boolean;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly staleIfErrorMs: number;
  readonly keepDeletedTags: boolean;
}

/** How something is asked for. */
export interface Inquiry {
  readonly asker: Asker;
  /** Whether the bytes will be wanted, too. */
  readonly wantsBody: boolean;
  readonly isInVirtualRegistry: boolean;
  /** Less time than usual for one answer of the upstream. */
  readonly withinMs?: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** What a tag leads to, and how that is known. */
export interface ResolvedTag {
  readonly record: TagRecord;
  readonly result: CacheResult;
  /** Why the upstream was not asked although it should have been. */
  readonly warning: string | undefined;
}

/** A manifest's length and type. */
export interface ManifestHead extends DescribedManifest {
  readonly result: CacheResult;
}

/** Tags and manifests of single upstreams, kept and renewed. */
export class Images {
  readonly #options: ImagesOptions;
  readonly #negative: NegativeAnswers;
  readonly #checks = new SingleFlight<TagRecord>();
  readonly #fetches = new SingleFlight<Uint8Array>();
  readonly #heads = new SingleFlight<DescribedManifest | undefined>();

  constructor(options: ImagesOptions) {
    this.#options = options;
    this.#negative = new NegativeAnswers(options.withdrawals, () => options.clock.now());
  }

  /**
   * Finds out what a tag leads to; asks the upstream when the cache is too old to say.
   *
   * @throws {UpstreamError}
   */
  async resolveTag(image: UpstreamImage, tag: string, inquiry: Inquiry): Promise<ResolvedTag> {
    const { access, clock, isDown, openings, shared } = this.#options;
    const lifetime = tagLifetime(image.upstream, tag, inquiry.isInVirtualRegistry);
    if (access.isPerClient(image)) {
      await this.#options.source.inTotal(image, inquiry.signal, (signal) =>
        access.confirm(image, `manifests/${tag}`, inquiry.asker, signal),
      );
    }
    let known = openings.tag(image, tag);
    if (known === undefined || !isFresh(known, lifetime, clock.now())) {
      await shared.adoptTag(image, tag);
      known = openings.tag(image, tag);
    }
    if (known !== undefined && isFresh(known, lifetime, clock.now())) {
      if (isDown(image) && !(await this.isComplete(image, known.digest))) throw this.#incomplete(image);
      return { record: known, result: "hit", warning: undefined };
    }
    try {
      const record = await this.#check(image, tag, inquiry, known);
      const result = known === undefined ? "miss" : "revalidated";
      return { record, result, warning: undefined };
    } catch (error) {
      if (known === undefined || !(error instanceof UpstreamError)) throw error;
      return this.#stale(image, tag, known, error);
    }
  }

  /**
   * Bytes of a manifest, from the cache or from the upstream.
   *
   * @throws {UpstreamError}
   */
  async manifest(
    image: UpstreamImage,
    digest: Digest,
    inquiry: Inquiry,
  ): Promise<{ readonly bytes: Uint8Array; readonly result: CacheResult }> {
    const cached = await this.#cached(image, digest, inquiry);
    if (cached !== undefined) return { bytes: cached, result: "hit" };
    this.#throwNegative(image, digest, inquiry.asker);
    const arrived = this.#arrived(image, digest);
    if (arrived !== undefined) return { bytes: arrived, result: "hit" };
    const key = `${this.#options.openings.keyOf(image)} ${digest} ${askerKey(inquiry.asker)}`;
    const { result, joined } = this.#fetches.run(key, () => this.#fetchDigest(image, digest, inquiry));
    return { bytes: await orAbort(result, inquiry.signal), result: joined ? "join" : "miss" };
  }

  /** Length and type of a manifest, without fetching it. */
  async head(image: UpstreamImage, digest: Digest, inquiry: Inquiry): Promise<ManifestHead> {
    const record = this.#options.records.digest(image, digest);
    const cached = await this.#cached(image, digest, inquiry);
    if (cached !== undefined) return { ...headOf(digest, cached, record), result: "hit" };
    this.#throwNegative(image, digest, inquiry.asker);
    const key = `${this.#options.openings.keyOf(image)} ${digest} ${askerKey(inquiry.asker)}`;
    const { result } = this.#heads.run(key, () =>
      this.#remembering(image, digest, inquiry.asker, () =>
        this.#options.source.inTotal(image, undefined, (signal) =>
          this.#options.source.head(image, digest, { ...inquiry, signal }),
        ),
      ),
    );
    const head = await orAbort(result, inquiry.signal);
    if (head !== undefined) return { ...head, digest, result: "miss" };
    const fetched = await this.manifest(image, digest, inquiry);
    return { ...headOf(digest, fetched.bytes, this.#options.records.digest(image, digest)), result: fetched.result };
  }

  /** Media type of a manifest that was seen under a name. */
  mediaTypeOf(image: UpstreamImage, digest: Digest, bytes: Uint8Array): string {
    return headOf(digest, bytes, this.#options.records.digest(image, digest)).mediaType;
  }

  /** Whether everything that a manifest leads to directly can be given without the upstream. */
  async isComplete(image: UpstreamImage, digest: Digest): Promise<boolean> {
    const { hasBlob, manifests, openings, shared } = this.#options;
    const isKnown = await openings.find(image, digest);
    const bytes = isKnown ? ((await manifests.get(digest)) ?? (await this.#fromShared(digest))) : undefined;
    if (bytes === undefined) return false;
    const { children } = readManifest(bytes, undefined);
    const blobs = children.filter(({ kind }) => kind === "blob");
    for (const child of blobs) if (!hasBlob(child.digest) && !(await shared.has(child.digest))) return false;
    // Access may have been withdrawn meanwhile.
    if (!openings.has(image, digest)) return false;
    const inner = children.filter(({ kind }) => kind === "manifest");
    for (const child of inner)
      if (manifests.has(child.digest) && (await this.isComplete(image, child.digest))) return true;
    return inner.length === 0;
  }

  /** Forgets refusals of a repository, so that it is asked again at once. */
  forgetNegative(image: UpstreamImage): void {
    this.#negative.forget(image);
  }

  #check(image: UpstreamImage, tag: string, inquiry: Inquiry, known: TagRecord | undefined): Promise<TagRecord> {
    const { asker, wantsBody } = inquiry;
    this.#throwNegative(image, tag, asker);
    // A GET needs more than a HEAD leaves behind when nothing is known yet.
    const isFetch = wantsBody && known === undefined;
    const key = `${this.#options.openings.keyOf(image)} ${tag} ${askerKey(asker)} ${isFetch ? "fetch" : "check"}`;
    const { result } = this.#checks.run(key, () =>
      this.#remembering(image, tag, asker, () =>
        this.#options.source.inTotal(image, undefined, (signal) =>
          this.#ask(image, tag, { ...inquiry, signal }, known, isFetch),
        ),
      ),
    );
    return orAbort(result, inquiry.signal);
  }

  async #ask(
    image: UpstreamImage,
    tag: string,
    inquiry: ManifestQuestion,
    known: TagRecord | undefined,
    isFetch: boolean,
  ): Promise<TagRecord> {
    const { clock, openings, records, source } = this.#options;
    const expected = openings.ifGivenTo(inquiry.asker, image);
    const head = isFetch ? undefined : await source.head(image, tag, inquiry);
    const found = head ?? this.#keep(image, await source.byTag(image, tag, inquiry), expected);
    const now = clock.now();
    const fetchedAtMs = known?.digest === found.digest ? known.fetchedAtMs : now;
    const record: TagRecord = {
      digest: found.digest,
      mediaType: found.mediaType,
      bytes: found.bytes,
      checkedAtMs: now,
      fetchedAtMs,
      ...expected.opened,
    };
    return records.setTag(image, tag, record, expected.refusals);
  }

  #fetchDigest(image: UpstreamImage, digest: Digest, inquiry: Inquiry): Promise<Uint8Array> {
    const { openings, source } = this.#options;
    const expected = openings.ifGivenTo(inquiry.asker, image);
    return this.#remembering(image, digest, inquiry.asker, () =>
      source.inTotal(image, undefined, async (signal) => {
        const fetched = await source.byDigest(image, digest, { ...inquiry, signal });
        this.#keep(image, fetched, expected);
        return fetched.bytes;
      }),
    );
  }

  #keep(image: UpstreamImage, { bytes, contentType, digest }: FetchedManifest, expected: Expected): DescribedManifest {
    const { manifests, records, shared } = this.#options;
    const manifest = readManifest(bytes, contentType);
    manifests.put(digest, bytes, () => shared.upload(digest));
    const { opened, refusals } = expected;
    records.setDigest(image, digest, { bytes: bytes.byteLength, manifest, ...opened }, refusals);
    return { digest, mediaType: manifest.mediaType, bytes: bytes.byteLength };
  }

  /** What is cached, if this client may have it under this name. */
  async #cached(image: UpstreamImage, digest: Digest, inquiry: Inquiry): Promise<Uint8Array | undefined> {
    const { access, manifests, openings, records } = this.#options;
    if (!(await openings.find(image, digest))) return undefined;
    const bytes = manifests.peek(digest) ?? (await manifests.get(digest)) ?? (await this.#fromShared(digest));
    if (bytes === undefined) return undefined;
    if (access.isPerClient(image)) {
      await this.#options.source.inTotal(image, inquiry.signal, (signal) =>
        access.confirm(image, `manifests/${digest}`, inquiry.asker, signal),
      );
    }
    // Access may have been withdrawn meanwhile.
    if (!openings.has(image, digest)) return undefined;
    if (records.digest(image, digest)?.manifest === undefined) {
      const manifest = readManifest(bytes, undefined);
      // Nothing new was said by the upstream.
      const opened = { openTo: records.openingOf(image, digest), era: records.eraOf(image) };
      records.setDigest(image, digest, { bytes: bytes.byteLength, manifest, ...opened });
    }
    return bytes;
  }

  /** What another client's request has brought while the shared store was asked for this one's. */
  #arrived(image: UpstreamImage, digest: Digest): Uint8Array | undefined {
    const { access, manifests, openings } = this.#options;
    return openings.has(image, digest) && !access.isPerClient(image) ? manifests.peek(digest) : undefined;
  }

  async #fromShared(digest: Digest): Promise<Uint8Array | undefined> {
    const { manifests, shared } = this.#options;
    const bytes = await shared.read(digest, maxManifestBytes);
    if (bytes === undefined) return undefined;
    manifests.put(digest, bytes);
    return bytes;
  }

  async #stale(image: UpstreamImage, tag: string, known: TagRecord, error: UpstreamError): Promise<ResolvedTag> {
    const { clock, keepDeletedTags, metrics, openings, records, staleIfErrorMs } = this.#options;
    if (error.code === "absent" && !keepDeletedTags) {
      records.deleteTag(image, tag);
      throw error;
    }
    // Another client's question may have been refused meanwhile.
    if (isWithdrawal(image, error.code) || openings.tag(image, tag) === undefined) throw error;
    if (!mayBeStale(known, staleIfErrorMs, clock.now())) throw error;
    if (!(await this.isComplete(image, known.digest))) throw this.#incomplete(image, error);
    metrics.add("stale_answers_total", { upstream: image.upstream.id });
    return { record: known, result: "stale", warning: `${image.upstream.id} could not be asked: ${error.reason}` };
  }

  #throwNegative(image: UpstreamImage, reference: string, asker: Asker): void {
    const error = this.#negative.find(image, reference, asker);
    if (error === undefined) return;
    this.#options.metrics.add("requests_total", { kind: "manifest", result: "negative", upstream: image.upstream.id });
    throw error;
  }

  async #remembering<Result>(
    image: UpstreamImage,
    reference: string,
    asker: Asker,
    action: () => Promise<Result>,
  ): Promise<Result> {
    try {
      return await action();
    } catch (error) {
      this.#negative.note(image, reference, asker, error);
      throw error;
    }
  }

  #incomplete(image: UpstreamImage, cause?: unknown): UpstreamError {
    const reason = "it could not be asked, and the image is not complete here";
    return new UpstreamError({ code: "timeout", upstream: image.upstream.id, reason }, { cause });
  }
}

function headOf(digest: Digest, bytes: Uint8Array, record: DigestRecord | undefined): DescribedManifest {
  const mediaType = record?.manifest?.mediaType ?? readManifest(bytes, undefined).mediaType;
  return { digest, mediaType, bytes: bytes.byteLength };
}
