import type { Clock } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { Metrics } from "../metrics.ts";
import { matchesEntityTag } from "../reference/conditions.ts";
import type { Digest, Reference } from "../reference/grammar.ts";
import { manifestTypes } from "../reference/manifest.ts";
import { parseTarget } from "../reference/path.ts";
import type { Route } from "../reference/path.ts";
import { canonicalHost } from "../routing/registry-host.ts";
import type { Registries, Upstream, VirtualRegistry } from "../routing/registries.ts";
import { selectRegistry } from "../routing/select.ts";
import type { UpstreamImage } from "../routing/select.ts";
import type { Body } from "../storage/body.ts";
import type { Records } from "../storage/records.ts";
import type { Asker } from "../upstream/client.ts";
import { askerKey } from "./access.ts";
import type { Access } from "./access.ts";
import { blobHeaders, blobResponse } from "./blob-response.ts";
import type { Blobs } from "./blobs.ts";
import { failureResponse, WalkFailure } from "./failures.ts";
import type { StepFailure } from "./failures.ts";
import type { Images } from "./images.ts";
import { pageOf, referrersIndex, sorted } from "./lists.ts";
import type { Lists } from "./lists.ts";
import type { Openings } from "./openings.ts";
import { manifestResponse, warningHeader } from "./manifest-response.ts";
import { errorResponse, jsonResponse } from "./messages.ts";
import type { MirrorRequest, MirrorResponse } from "./messages.ts";
import { loginResponse } from "./pings.ts";
import type { Pings } from "./pings.ts";
import type { Walk } from "./walk.ts";

export interface HandlerOptions {
  readonly registries: Registries;
  readonly records: Records;
  readonly images: Images;
  readonly blobs: Blobs;
  readonly lists: Lists;
  readonly walk: Walk;
  readonly access: Access;
  readonly openings: Openings;
  readonly pings: Pings;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly catalog: boolean;
}

/** What an image path means, and who may be asked. */
interface Target {
  readonly candidates: readonly UpstreamImage[];
  /** Set when the candidates are the ordered list of a virtual registry. */
  readonly virtual: { readonly registry: VirtualRegistry; readonly name: string } | undefined;
  readonly hasSecondChoice: boolean;
  readonly namespace: string | undefined;
}

/** Answers the requests of container engines. */
export class Handler {
  readonly #options: HandlerOptions;

  constructor(options: HandlerOptions) {
    this.#options = options;
  }

  async answer(request: MirrorRequest): Promise<MirrorResponse> {
    const response = await this.#answer(request);
    if (request.method !== "HEAD" || response.body === undefined) return this.#counted(response);
    if (!(response.body instanceof Uint8Array)) await response.body.return();
    return { ...response, body: undefined };
  }

  async #answer(request: MirrorRequest): Promise<MirrorResponse> {
    const isReading = request.method === "GET" || request.method === "HEAD";
    if (!isReading && (request.target === "/v2" || request.target.startsWith("/v2/"))) {
      const message =
        request.registry === undefined
          ? "this registry is a read-only mirror; push to the registry itself"
          : "pushes do not go through this mirror; add the registry to NO_PROXY";
      return errorResponse(405, "UNSUPPORTED", message, { allow: "GET, HEAD" });
    }
    const { query, route } = parseTarget(request.target);
    if (!isReading) return errorResponse(405, "UNSUPPORTED", "there is nothing to write here", { allow: "GET, HEAD" });
    if (route.kind === "ping") return this.#ping(request);
    if (route.kind === "refused") return errorResponse(route.status, route.code, route.message);
    if (route.kind === "catalog") return this.#catalog(query, this.#upstreamOf(request));
    try {
      return await this.#route(request, route, query);
    } catch (error) {
      request.signal?.throwIfAborted();
      this.#options.logger.error("a request failed", { error });
      return errorResponse(500, "UNKNOWN", "the mirror cannot answer this request");
    }
  }

  /** The upstream that the client believes to talk to. */
  #upstreamOf({ registry }: MirrorRequest): Upstream | undefined {
    return registry === undefined ? undefined : this.#options.registries.byHost.get(canonicalHost(registry));
  }

  async #ping(request: MirrorRequest): Promise<MirrorResponse> {
    const upstream = this.#upstreamOf(request);
    if (upstream?.options.access !== "pass-through") return jsonResponse(200, Buffer.from("{}"));
    return this.#options.pings.answer(upstream, request.headers["authorization"], request.signal ?? neverAborted);
  }

  async #route(
    request: MirrorRequest,
    route: Exclude<Route, { readonly kind: "catalog" | "ping" | "refused" }>,
    query: URLSearchParams,
  ): Promise<MirrorResponse> {
    const { registries } = this.#options;
    const [namespace, ...more] = query.getAll("ns");
    if (more.length > 0 && request.registry === undefined)
      return errorResponse(400, "NAME_INVALID", "the request names its registry more than once (ns)");
    const hints = { namespace, entry: request.entry, registry: request.registry };
    const selection = selectRegistry(route.image, hints, registries);
    if (selection.kind === "refused") return errorResponse(selection.status, selection.code, selection.message);
    const target = this.#target(selection);
    const kind = route.kind === "blob" ? "blob" : "manifest";
    const labels = {
      kind: route.kind,
      upstream: target.virtual?.registry.id ?? target.candidates[0]?.upstream.id ?? "",
    };
    try {
      if (target.candidates.length === 0) throw new WalkFailure([]);
      const response = await this.#dispatch(request, route, query, target);
      const result = response.headers["x-cache"] ?? (response.status < 400 ? "miss" : "error");
      this.#options.metrics.add("requests_total", { ...labels, result });
      if (target.namespace === undefined) return response;
      return { ...response, headers: { ...response.headers, "oci-namespace": target.namespace } };
    } catch (error) {
      const response = failureResponse(error, { kind, hasSecondChoice: target.hasSecondChoice });
      if (response === undefined) throw error;
      this.#options.metrics.add("requests_total", { ...labels, result: "error" });
      return this.#loginFor(request, error) ?? response;
    }
  }

  /** A client that talks to the registry, as it believes, learns what login the registry wants to see. */
  #loginFor(request: MirrorRequest, error: unknown): MirrorResponse | undefined {
    const upstream = this.#upstreamOf(request);
    if (upstream?.options.access !== "pass-through") return undefined;
    if (!(error instanceof UpstreamError) || error.code !== "denied") return undefined;
    const isAnonymous = request.headers["authorization"] === undefined;
    if (!isAnonymous && error.status !== 401) return undefined;
    const challenge = error.challenge ?? (isAnonymous ? this.#options.pings.knownChallenge(upstream) : undefined);
    return challenge === undefined ? undefined : loginResponse(challenge);
  }

  #target(selection: Exclude<ReturnType<typeof selectRegistry>, { readonly kind: "refused" }>): Target {
    if (selection.kind === "virtual") {
      const candidates = this.#options.walk.candidates(selection.registry, selection.name);
      return { candidates, virtual: selection, hasSecondChoice: false, namespace: undefined };
    }
    const { hasSecondChoice, image, namespace } = selection;
    return { candidates: [image], virtual: undefined, hasSecondChoice, namespace };
  }

  #dispatch(
    request: MirrorRequest,
    route: Exclude<Route, { readonly kind: "catalog" | "ping" | "refused" }>,
    query: URLSearchParams,
    target: Target,
  ): Promise<MirrorResponse> {
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
      const tags = await this.#options.lists.tags(image, asker, signal);
      const { entries, next } = pageOf(tags, query, Number.POSITIVE_INFINITY);
      const path = request.target.split("?")[0] ?? "";
      const name = path.slice("/v2/".length, -"/tags/list".length);
      const namespace = query.get("ns");
      const more = namespace === null ? "" : `&ns=${encodeURIComponent(namespace)}`;
      const link = next === undefined ? {} : { link: `<${path}?${next}${more}>; rel="next"` };
      return jsonResponse(200, Buffer.from(JSON.stringify({ name, tags: entries })), link);
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

  #catalog(query: URLSearchParams, only: Upstream | undefined): MirrorResponse {
    const { access, catalog, openings, records, registries } = this.#options;
    if (!catalog) return errorResponse(404, "UNSUPPORTED", "the list of repositories is switched off");
    const names: string[] = [];
    for (const repository of records.repositories()) {
      const upstream = registries.upstreams.get(repository.upstream);
      // Nobody can ask for what came from an upstream that is none any more.
      if (upstream === undefined || (only !== undefined && upstream !== only)) continue;
      const image = { upstream, name: repository.name };
      // Names, too, are told to those only whom the upstream lets in, and nobody has asked it.
      if (access.isPerClient(image) || !openings.hasAny(image, repository)) continue;
      const isPlain = only !== undefined || upstream === registries.defaultRegistry;
      names.push(isPlain ? repository.name : `${upstream.hosts[0]}/${repository.name}`);
    }
    const { entries, next } = pageOf(sorted(names), query, catalogPage);
    const link = next === undefined ? {} : { link: `</v2/_catalog?${next}>; rel="next"` };
    return jsonResponse(200, Buffer.from(JSON.stringify({ repositories: entries })), link);
  }

  /** The first candidate that gives an answer; what is known under a name comes first. */
  async #firstOf<Result>(
    { candidates, virtual }: Target,
    signal: AbortSignal,
    action: (image: UpstreamImage) => Promise<Result>,
  ): Promise<Result> {
    const [only] = candidates;
    if (virtual === undefined && only !== undefined) return action(only);
    const steps: StepFailure[] = [];
    for (const image of candidates) {
      try {
        return await action(image);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof UpstreamError)) throw error;
        steps.push({ upstream: image.upstream.id, error });
      }
    }
    throw new WalkFailure(steps);
  }

  #asker(request: MirrorRequest, image: UpstreamImage, resource: string, signal: AbortSignal): Promise<Asker> {
    return this.#options.access.askerFor(image, resource, request.headers["authorization"], signal);
  }

  #counted(response: MirrorResponse): MirrorResponse {
    const { metrics } = this.#options;
    const { body } = response;
    if (body === undefined) return response;
    if (body instanceof Uint8Array) {
      metrics.add("client_bytes_total", {}, body.byteLength);
      return response;
    }
    return { ...response, body: countedBody(body, (bytes) => metrics.add("client_bytes_total", {}, bytes)) };
  }
}

const catalogPage = 100;
const neverAborted: AbortSignal = new AbortController().signal;

function countedBody(body: Body, count: (bytes: number) => void): Body {
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      const result = await body.next();
      if (result.done !== true) count(result.value.byteLength);
      return result;
    },
    return: () => body.return(),
  };
}
