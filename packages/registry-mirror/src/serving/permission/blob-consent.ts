import { withDeadline } from "../../clock.ts";
import type { Clock } from "../../clock.ts";
import { UpstreamError } from "../../errors.ts";
import type { TimeLimits } from "../../options.ts";
import type { Digest } from "../../reference/grammar.ts";
import { parseLength } from "../../reference/range.ts";
import type { UpstreamImage } from "../../routing/select.ts";
import { orAbort, SingleFlight } from "../../single-flight.ts";
import type { Expected } from "../../storage/era.ts";
import type { Fill } from "../../storage/fill/fill.ts";
import type { Records } from "../../storage/records.ts";
import { askerKey } from "../../upstream/asker.ts";
import type { Asker } from "../../upstream/asker.ts";
import type { UpstreamClient } from "../../upstream/client.ts";
import { lateAnswerOf } from "../../upstream/failure.ts";
import type { Access } from "./access.ts";
import { WalkFailure } from "../failures.ts";
import { firstAnswer } from "../first-answer.ts";
import { NegativeAnswers } from "../negative-answers.ts";
import type { Openings } from "./openings.ts";
import type { Withdrawals } from "./withdrawals.ts";

export interface BlobConsentOptions {
  readonly clientOf: (image: UpstreamImage) => UpstreamClient;
  readonly records: Records;
  readonly openings: Openings;
  readonly withdrawals: Withdrawals;
  readonly access: Access;
  readonly clock: Clock;
  readonly limits: Pick<Required<TimeLimits>, "blobMs" | "tokenMs">;
}

/** Who may be asked for a blob, in order, and in whose name. */
export interface BlobQuestion {
  readonly digest: Digest;
  readonly candidates: readonly UpstreamImage[];
  readonly askerFor: (image: UpstreamImage, signal: AbortSignal) => Promise<Asker>;
  readonly signal: AbortSignal;
}

/** Finds out under which name a client may have a blob, wherever its bytes are. */
export class BlobConsent {
  readonly #options: BlobConsentOptions;
  readonly #negative: NegativeAnswers;
  readonly #confirmations = new SingleFlight<void>();

  constructor(options: BlobConsentOptions) {
    this.#options = options;
    this.#negative = new NegativeAnswers(options.withdrawals, () => options.clock.now());
  }

  /** The first candidate that may be asked and lets us have it. */
  consenting(inquiry: BlobQuestion, running?: Fill): Promise<UpstreamImage> {
    const { digest, signal } = inquiry;
    const action = async (image: UpstreamImage): Promise<UpstreamImage> => {
      const asker = await inquiry.askerFor(image, signal);
      if (!this.#isOwner(image, running)) await this.confirm(image, digest, asker, signal);
      return image;
    };
    return this.firstOf(inquiry, action, running);
  }

  /** Under what a fill is begun: who may have the name may have the blob, unless access is withdrawn meanwhile. */
  originOf(image: UpstreamImage): string {
    return this.#options.openings.keyOf(image);
  }

  /** Whether a fill goes on under a name, unless each client needs a consent of his own. */
  #isOwner(image: UpstreamImage, running: Fill | undefined): boolean {
    return running?.origin === this.originOf(image) && !this.#options.access.isPerClient(image);
  }

  /**
   * The first candidate for which something works out, those first that need not be asked.
   *
   * @param running - a fill that goes on
   * @throws {UpstreamError | WalkFailure}
   */
  async firstOf<Result>(
    { candidates, digest, signal }: BlobQuestion,
    action: (image: UpstreamImage) => Promise<Result>,
    running?: Fill,
  ): Promise<Result> {
    const { access, openings, records } = this.#options;
    const rank = (image: UpstreamImage): number => {
      if (this.#isOwner(image, running) || (openings.has(image, digest) && !access.isPerClient(image))) return 0;
      // Whoever gave the manifest comes before the others.
      return records.knows(image, digest) ? 1 : 2;
    };
    const sorted = candidates.toSorted((one, other) => rank(one) - rank(other));
    try {
      return await firstAnswer(sorted, signal, action);
    } catch (error) {
      const [only, ...more] = error instanceof WalkFailure ? error.steps : [];
      throw only === undefined || more.length > 0 ? error : only.error;
    }
  }

  /**
   * Makes sure that a blob is under a name, and that whoever asks may have it.
   *
   * @throws {UpstreamError}
   */
  async confirm(image: UpstreamImage, digest: Digest, asker: Asker, signal: AbortSignal): Promise<void> {
    const { access, clock, limits, openings } = this.#options;
    if (access.isPerClient(image)) await access.confirm(image, `blobs/${digest}`, asker, signal);
    if (openings.has(image, digest)) return;
    // A head that does not come counts against the upstream, so its own limit is over first.
    const mostMs = limits.blobMs + limits.tokenMs;
    const late = (): Error => lateAnswerOf(image.upstream);
    const { result } = this.#confirmations.run(`${this.originOf(image)} ${digest} ${askerKey(asker)}`, async () => {
      const expected = openings.ifGivenTo(asker, image);
      // Waited for by others, too, so it does not end with this client.
      const ask = (within: AbortSignal): Promise<number> => this.askLength(image, digest, asker, within);
      this.note(image, digest, expected, await withDeadline(clock, mostMs, late, ask));
    });
    await orAbort(result, signal);
  }

  /** Takes note that the upstream has said that a blob is under a name. */
  note(image: UpstreamImage, digest: Digest, { opened, refusals }: Expected, totalBytes: number | undefined): void {
    const { records } = this.#options;
    const bytes = totalBytes ?? records.bytesOf(image, digest) ?? 0;
    const manifest = records.digest(image, digest)?.manifest;
    records.setDigest(image, digest, { bytes, manifest, ...opened }, refusals);
  }

  /**
   * Length of a blob, as the upstream says.
   *
   * @throws {UpstreamError}
   */
  async askLength(image: UpstreamImage, digest: Digest, asker: Asker, signal: AbortSignal): Promise<number> {
    const known = this.#negative.find(image, digest, asker);
    if (known !== undefined) throw known;
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
      const bytes = parseLength(answer.headers["content-length"]) ?? this.#options.records.bytesOf(image, digest);
      if (bytes !== undefined) return bytes;
      throw new UpstreamError({
        code: "failing",
        upstream: image.upstream.id,
        reason: "it does not tell the blob's length",
      });
    } catch (error) {
      this.noteFailure(image, digest, asker, error);
      throw error;
    }
  }

  /** Why an upstream did not give a blob a moment ago. */
  knownFailure(image: UpstreamImage, digest: Digest, asker: Asker): UpstreamError | undefined {
    return this.#negative.find(image, digest, asker);
  }

  noteFailure(image: UpstreamImage, digest: Digest, asker: Asker, error: unknown): void {
    this.#negative.note(image, digest, asker, error);
  }
}
