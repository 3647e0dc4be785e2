import type { Clock } from "../clock.ts";
import { matchesEntityTag } from "../reference/conditions.ts";
import type { Digest, Reference } from "../reference/grammar.ts";
import { manifestTypes } from "../reference/manifest.ts";
import type { Route } from "../reference/path.ts";
import type { VirtualRegistry } from "../routing/registries.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { askerKey } from "../upstream/asker.ts";
import type { Asker } from "../upstream/asker.ts";
import type { Access } from "./permission/access.ts";
import { blobHeaders, blobResponse } from "./blob-response.ts";
import type { Blobs } from "./blobs.ts";
import { WalkFailure } from "./failures.ts";
import { firstAnswer } from "./first-answer.ts";
import type { Images } from "./images.ts";
import { pageOf, referrersIndex } from "./lists.ts";
import type { Lists } from "./lists.ts";
import { jsonOf } from "./tag-list.ts";
import { manifestResponse, warningHeader } from "./manifest-response.ts";
import { jsonResponse, jsonResponseInPieces, neverAborted } from "./messages.ts";
import type { MirrorRequest, MirrorResponse } from "./messages.ts";
import type { Walk } from "./walk.ts";

export interface ImageEndpointsOptions {
  readonly images: Images;
  readonly blobs: Blobs;
  readonly lists: Lists;
  readonly walk: Walk;
  readonly access: Access;
  readonly clock: Clock;
}

/** A path that names an image. */
export type ImageRoute = Exclude<Route, { readonly kind: "catalog" | "ping" | "refused" }>;

/** What an image path means, and who may be asked. */
export interface Target {
  readonly candidates: readonly UpstreamImage[];
  /** Set when the candidates are the ordered list of a virtual registry. */
  readonly virtual: { readonly registry: VirtualRegistry; readonly name: string } | undefined;
  readonly hasSecondChoice: boolean;
  readonly namespace: string | undefined;
}

/** Answers what is asked about images, once it is known who may be asked. */
export class ImageEndpoints {
  readonly #options: ImageEndpointsOptions;

  constructor(options: ImageEndpointsOptions) {
    this.#options = options;
  }

  /**
   * @throws {UpstreamError | WalkFailure}
   */
  answer(request: MirrorRequest, route: ImageRoute, query: URLSearchParams, target: Target): Promise<MirrorResponse> {
    switch (route.kind) {
      case "manifest":
        return this.#manifest(request, target, route.reference);
      case "blob":
        return this.#blob(request, target, route.digest);
      case "tags":
        return this.#tags(request, target, query);
      default:
        return this.#referrers(request, target, route.digest, query);
    }
  }

  async #manifest(request: MirrorRequest, target: Target, reference: Reference): Promise<MirrorResponse> {
    const signal = request.signal ?? neverAborted;
    const wantsBody = request.method === "GET";
    const { images } = this.#options;
    if ("digest" in reference) {
      return this.#firstOf(target, signal, async (image) => {
        const asker = await this.#asker(request, image, `manifests/${reference.digest}`, signal);
        const inquiry = { asker, wantsBody, isInVirtualRegistry: target.virtual !== undefined, signal };
        if (!wantsBody) return manifestResponse(request, await images.head(image, reference.digest, inquiry));
        const { bytes, result } = await images.manifest(image, reference.digest, inquiry);
        const mediaType = images.mediaTypeOf(image, reference.digest, bytes);
        return manifestResponse(
          request,
          { digest: reference.digest, mediaType, bytes: bytes.byteLength, result },
          bytes,
        );
      });
    }
    const { tag } = reference;
    const askerFor = (image: UpstreamImage, within: AbortSignal): Promise<Asker> =>
      this.#asker(request, image, `manifests/${tag}`, within);
    const { access } = this.#options;
    const isPerClient = target.candidates.some((image) => access.isPerClient(image));
    const authorization = isPerClient ? request.headers["authorization"] : undefined;
    const key = askerKey(authorization === undefined ? "anonymous" : { authorization });
    const { image, record, result, warning } = await this.#resolve(target, tag, wantsBody, key, askerFor, signal);
    const age = Math.max(0, Math.floor((this.#options.clock.now() - record.checkedAtMs) / 1000));
    const headers = { age: String(age), ...(warning === undefined ? {} : { warning: warningHeader(warning) }) };
    const head = { digest: record.digest, mediaType: record.mediaType, bytes: record.bytes, result };
    if (!wantsBody) return manifestResponse(request, head, undefined, headers);
    const asker = await askerFor(image, signal);
    const inquiry = { asker, wantsBody, isInVirtualRegistry: target.virtual !== undefined, signal };
    const { bytes } = await images.manifest(image, record.digest, inquiry);
    return manifestResponse(request, { ...head, bytes: bytes.byteLength }, bytes, headers);
  }

  async #resolve(
    { candidates, virtual }: Target,
    tag: string,
    wantsBody: boolean,
    key: string,
    askerFor: (image: UpstreamImage, signal: AbortSignal) => Promise<Asker>,
    signal: AbortSignal,
  ): Promise<Awaited<ReturnType<Walk["resolve"]>>> {
    const { images, walk } = this.#options;
    if (virtual !== undefined) return walk.resolve({ ...virtual, tag, wantsBody, askerKey: key, askerFor, signal });
    const [image] = candidates;
    if (image === undefined) throw new WalkFailure([]);
    const asker = await askerFor(image, signal);
    return {
      ...(await images.resolveTag(image, tag, { asker, wantsBody, isInVirtualRegistry: false, signal })),
      image,
    };
  }

  async #blob(
    request: MirrorRequest,
    { candidates, hasSecondChoice }: Target,
    digest: Digest,
  ): Promise<MirrorResponse> {
    const signal = request.signal ?? neverAborted;
    const askerFor = (image: UpstreamImage, within: AbortSignal): Promise<Asker> =>
      this.#asker(request, image, `blobs/${digest}`, within);
    const isResume = /^bytes=0*[1-9]\d*-$/.test(request.headers["range"] ?? "");
    const inquiry = { digest, candidates, askerFor, isResume, hasSecondChoice, signal };
    if (request.method === "HEAD") {
      const { bytes, result } = await this.#options.blobs.head(inquiry);
      return { status: 200, headers: blobHeaders(digest, bytes, result), body: undefined };
    }
    const range =
      request.headers["if-range"] === undefined || matchesEntityTag(request.headers["if-range"], digest)
        ? request.headers["range"]
        : undefined;
    const found = await this.#options.blobs.open(inquiry, range === undefined);
    try {
      return await blobResponse(found, digest, range, request.headers["if-none-match"]);
    } catch (error) {
      found.release();
      throw error;
    }
  }

  async #tags(request: MirrorRequest, target: Target, query: URLSearchParams): Promise<MirrorResponse> {
    const signal = request.signal ?? neverAborted;
    return this.#firstOf(target, signal, async (image) => {
      const asker = await this.#asker(request, image, "tags/list", signal);
      const list = await this.#options.lists.tags(image, asker, signal);
      const isWhole = !query.has("n") && !query.has("last");
      const page = isWhole ? undefined : pageOf(list.tags, query, Number.POSITIVE_INFINITY);
      const json = page === undefined ? list.json : await jsonOf(page.entries);
      const path = request.target.split("?")[0] ?? "";
      const name = path.slice("/v2/".length, -"/tags/list".length);
      const namespace = query.get("ns");
      const more = namespace === null ? "" : `&ns=${encodeURIComponent(namespace)}`;
      const link = page?.next === undefined ? {} : { link: `<${path}?${page.next}${more}>; rel="next"` };
      const pieces = [Buffer.from(`{"name":${JSON.stringify(name)},"tags":`), ...json, Buffer.from("}")];
      return jsonResponseInPieces(200, pieces, link);
    });
  }

  async #referrers(
    request: MirrorRequest,
    target: Target,
    digest: Digest,
    query: URLSearchParams,
  ): Promise<MirrorResponse> {
    const signal = request.signal ?? neverAborted;
    const artifactType = query.get("artifactType");
    return this.#firstOf(target, signal, async (image) => {
      const asker = await this.#asker(request, image, `referrers/${digest}`, signal);
      const manifests = await this.#options.lists.referrers(image, digest, asker, signal);
      return jsonResponse(200, referrersIndex(manifests, artifactType), {
        "content-type": manifestTypes.ociIndex,
        ...(artifactType === null ? {} : { "oci-filters-applied": "artifactType" }),
      });
    });
  }

  /** The first candidate that gives an answer; what is known under a name comes first. */
  async #firstOf<Result>(
    { candidates, virtual }: Target,
    signal: AbortSignal,
    action: (image: UpstreamImage) => Promise<Result>,
  ): Promise<Result> {
    const [only] = candidates;
    if (virtual === undefined && only !== undefined) return action(only);
    return firstAnswer(candidates, signal, action);
  }

  #asker(request: MirrorRequest, image: UpstreamImage, resource: string, signal: AbortSignal): Promise<Asker> {
    return this.#options.access.askerFor(image, resource, request.headers["authorization"], signal);
  }
}
