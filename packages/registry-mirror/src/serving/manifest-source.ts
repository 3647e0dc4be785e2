import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import type { Metrics } from "../metrics.ts";
import type { TimeLimits } from "../options.ts";
import { isDigest } from "../reference/grammar.ts";
import type { Digest } from "../reference/grammar.ts";
import { digestOf } from "../reference/hash.ts";
import { isManifest, isPage, manifestAccept, maxManifestBytes, mediaTypeOf } from "../reference/manifest.ts";
import type { UpstreamImage } from "../routing/select.ts";
import type { Asker } from "../upstream/asker.ts";
import type { UpstreamClient } from "../upstream/client.ts";
import { lateAnswerOf } from "../upstream/failure.ts";
import type { UpstreamAnswer } from "../upstream/messages.ts";

export interface ManifestSourceOptions {
  readonly clientOf: (image: UpstreamImage) => UpstreamClient;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly limits: Pick<Required<TimeLimits>, "manifestTotalMs">;
}

/** How an upstream is asked for a manifest. */
export interface ManifestQuestion {
  readonly asker: Asker;
  /** Less time than usual for one answer. */
  readonly withinMs?: number | undefined;
  readonly signal: AbortSignal;
}

/** What an upstream says of a manifest. */
export interface DescribedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: number;
}

/** A manifest whose bytes fit its digest. */
export interface FetchedManifest {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  readonly contentType: string | undefined;
}

/** Manifests, as upstreams give them. */
export class ManifestSource {
  readonly #options: ManifestSourceOptions;

  constructor(options: ManifestSourceOptions) {
    this.#options = options;
  }

  /** @returns undefined when the answer does not say enough */
  async head(
    image: UpstreamImage,
    reference: string,
    question: ManifestQuestion,
  ): Promise<DescribedManifest | undefined> {
    const answer = await this.#send("HEAD", image, reference, question);
    answer.discard();
    const digest = answer.headers["docker-content-digest"] ?? "";
    const mediaType = mediaTypeOf(answer.headers["content-type"]);
    const length = answer.headers["content-length"] ?? "";
    if (!isDigest(digest) || mediaType === undefined || isPage(mediaType) || !/^\d{1,10}$/.test(length))
      return undefined;
    return { digest, mediaType, bytes: Number(length) };
  }

  async byTag(image: UpstreamImage, tag: string, question: ManifestQuestion): Promise<FetchedManifest> {
    const answer = await this.#send("GET", image, tag, question);
    const bytes = await this.#readBody(image, answer, question.signal);
    const contentType = answer.headers["content-type"];
    const told = answer.headers["docker-content-digest"] ?? "";
    // Only a hint: the bytes decide, by the algorithm that the upstream prefers.
    const digest = digestOf(bytes, isDigest(told) ? told : "sha256:");
    if (isDigest(told) && told !== digest) throw this.#wrongBytes(image);
    if (!isManifest(bytes, contentType)) throw this.#noManifest(image);
    return { digest, bytes, contentType };
  }

  async byDigest(image: UpstreamImage, digest: Digest, question: ManifestQuestion): Promise<FetchedManifest> {
    const answer = await this.#send("GET", image, digest, question);
    const bytes = await this.#readBody(image, answer, question.signal);
    if (digestOf(bytes, digest) !== digest) throw this.#wrongBytes(image);
    return { digest, bytes, contentType: answer.headers["content-type"] };
  }

  /** Runs everything that one manifest needs of an upstream. */
  inTotal<Result>(
    image: UpstreamImage,
    signal: AbortSignal | undefined,
    action: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const { clock, limits } = this.#options;
    const late = (): Error => lateAnswerOf(image.upstream);
    return withDeadline(clock, limits.manifestTotalMs, late, action, signal);
  }

  #send(
    method: "GET" | "HEAD",
    image: UpstreamImage,
    reference: string,
    { asker, signal, withinMs }: ManifestQuestion,
  ): Promise<UpstreamAnswer> {
    const resource = `manifests/${reference}`;
    const headers = { accept: manifestAccept };
    return this.#options
      .clientOf(image)
      .send({ method, resource, name: image.name, kind: "manifest", asker, headers, withinMs, signal });
  }

  async #readBody(image: UpstreamImage, answer: UpstreamAnswer, signal: AbortSignal): Promise<Uint8Array> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const onAbort = (): void => answer.discard();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      for await (const chunk of answer.body) {
        bytes += chunk.byteLength;
        if (bytes > maxManifestBytes) {
          throw new UpstreamError({
            code: "failing",
            upstream: image.upstream.id,
            reason: "the manifest is too large",
          });
        }
        chunks.push(chunk);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof UpstreamError) throw error;
      throw new UpstreamError(
        { code: "unreachable", upstream: image.upstream.id, reason: "the body broke off" },
        { cause: error },
      );
    } finally {
      signal.removeEventListener("abort", onAbort);
      answer.discard();
    }
    this.#options.metrics.add("upstream_bytes_total", { upstream: image.upstream.id }, bytes);
    return Buffer.concat(chunks);
  }

  #wrongBytes(image: UpstreamImage): UpstreamError {
    this.#options.metrics.add("verification_failures_total", { origin: "upstream" });
    return new UpstreamError({
      code: "wrong-bytes",
      upstream: image.upstream.id,
      reason: "the manifest does not fit its digest",
    });
  }

  #noManifest(image: UpstreamImage): UpstreamError {
    const reason = "it answered with something that is no manifest";
    return new UpstreamError({ code: "failing", upstream: image.upstream.id, reason });
  }
}
