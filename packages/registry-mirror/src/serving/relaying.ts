import { parseRelayTarget } from "../reference/path.ts";
import type { Registries, Upstream } from "../routing/registries.ts";
import { canonicalHost } from "../routing/registry-host.ts";
import { selectRegistry } from "../routing/select.ts";
import type { UpstreamClient } from "../upstream/client.ts";
import type { RelayedRequest } from "../upstream/messages.ts";
import { failureResponse } from "./failures.ts";
import { errorResponse } from "./messages.ts";
import type { MirrorResponse } from "./messages.ts";
import { relayedResponse } from "./relay.ts";

/** A request that is passed on as it is, and the registry that it is for. */
export interface RelayRequest extends Omit<RelayedRequest, "authorization"> {
  /** Host, with a port unless it is the usual one. */
  readonly registry: string;
  /** The client's own; used when the registry's access is `pass-through`. */
  readonly authorization: string | undefined;
}

/** Passes requests on to registries, as far as the rules for names let them. */
export class Relaying {
  readonly #registries: Registries;
  readonly #clientOf: (upstream: Upstream) => UpstreamClient;

  constructor(registries: Registries, clientOf: (upstream: Upstream) => UpstreamClient) {
    this.#registries = registries;
    this.#clientOf = clientOf;
  }

  /** @throws {TypeError} no upstream is configured for the host */
  async relay({ authorization, registry, ...request }: RelayRequest): Promise<MirrorResponse> {
    const upstream = this.#registries.byHost.get(canonicalHost(registry));
    if (upstream === undefined) throw new TypeError(`no upstream is configured for ${registry}`);
    const refusal = this.#refusalOf(request.target, registry, upstream);
    if (refusal !== undefined) return refusal;
    const ownLogin = upstream.options.access === "pass-through" ? authorization : undefined;
    try {
      const answer = await this.#clientOf(upstream).relay({ ...request, authorization: ownLogin });
      return relayedResponse(answer, request.method, upstream, registry);
    } catch (error) {
      request.signal.throwIfAborted();
      const response = failureResponse(error, { kind: "manifest", hasSecondChoice: false });
      if (response === undefined) throw error;
      return response;
    }
  }

  /** What the rules for names say of a request that reaches the registry untouched. */
  #refusalOf(target: string, registry: string, upstream: Upstream): MirrorResponse | undefined {
    const relayed = parseRelayTarget(target);
    if (relayed.kind === "ambiguous") return errorResponse(400, "NAME_INVALID", "no path like this is passed on");
    if (relayed.kind === "other") {
      if (!relayed.prefixes.some((prefix) => upstream.deny.matches(prefix))) return undefined;
      return errorResponse(403, "DENIED", "this is not allowed by this mirror's rules");
    }
    for (const image of relayed.images) {
      const hints = { namespace: undefined, entry: undefined, registry };
      const selection = selectRegistry(image, hints, this.#registries);
      if (selection.kind === "refused") return errorResponse(selection.status, selection.code, selection.message);
    }
    return undefined;
  }
}
