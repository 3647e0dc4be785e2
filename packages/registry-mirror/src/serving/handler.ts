import { UpstreamError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { Metrics } from "../metrics.ts";
import { parseTarget } from "../reference/path.ts";
import { canonicalHost } from "../routing/registry-host.ts";
import type { Registries, Upstream } from "../routing/registries.ts";
import { selectRegistry } from "../routing/select.ts";
import type { UpstreamImage } from "../routing/select.ts";
import type { Body } from "../storage/body.ts";
import type { Records } from "../storage/records.ts";
import type { Access } from "./permission/access.ts";
import { catalogResponse } from "./catalog.ts";
import { failureResponse, WalkFailure } from "./failures.ts";
import type { ImageEndpoints, ImageRoute, Target } from "./image-endpoints.ts";
import { errorResponse, jsonResponse, neverAborted } from "./messages.ts";
import type { MirrorRequest, MirrorResponse } from "./messages.ts";
import type { Openings } from "./permission/openings.ts";
import type { Withdrawals } from "./permission/withdrawals.ts";
import { loginResponse } from "./pings.ts";
import type { Pings } from "./pings.ts";
import type { Walk } from "./walk.ts";

export interface HandlerOptions {
  readonly registries: Registries;
  readonly records: Records;
  readonly endpoints: ImageEndpoints;
  readonly walk: Walk;
  readonly access: Access;
  readonly openings: Openings;
  readonly withdrawals: Withdrawals;
  readonly pings: Pings;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly catalog: boolean;
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
    if (route.kind === "catalog") {
      if (!this.#options.catalog) return errorResponse(404, "UNSUPPORTED", "the list of repositories is switched off");
      return catalogResponse(query, this.#upstreamOf(request), this.#options);
    }
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

  async #route(request: MirrorRequest, route: ImageRoute, query: URLSearchParams): Promise<MirrorResponse> {
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
      const response = await this.#withdrawalsKept(target.candidates, () =>
        this.#options.endpoints.answer(request, route, query, target),
      );
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

  /** Answers by what is known of withdrawals, and not before those that it has brought are written down. */
  async #withdrawalsKept(
    candidates: readonly UpstreamImage[],
    answer: () => Promise<MirrorResponse>,
  ): Promise<MirrorResponse> {
    const { withdrawals } = this.#options;
    const learnt = withdrawals.learn(candidates);
    if (learnt !== undefined) await learnt;
    try {
      return await answer();
    } finally {
      const written = withdrawals.written(candidates);
      if (written !== undefined) await written;
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
