import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock } from "../clock.ts";
import type { RegistryMirror } from "../registry-mirror.ts";
import { viaHeader } from "../loops.ts";
import { createNodeListener, respond } from "../node-listener.ts";
import { parseTarget } from "../reference/path.ts";
import { errorResponse } from "../serving/messages.ts";
import type { MirrorResponse } from "../serving/messages.ts";
import type { ConnectPolicy } from "./policy.ts";
import { formatTarget, parseHostEntry, registryName } from "./target.ts";
import type { ConnectTarget } from "./target.ts";

export interface InsideListenerOptions {
  readonly mirror: Pick<RegistryMirror, "answer" | "registryAt" | "relay">;
  readonly policy: ConnectPolicy;
  readonly clientIdleMs: number;
  readonly clock: Clock;
}

/** The registry that a request is for, as its client believes. */
interface Place {
  readonly target: ConnectTarget;
  readonly usualPort: 80 | 443;
}

/** Answers what comes out of intercepted connections, and requests in absolute form. */
export class InsideListener {
  readonly #options: InsideListenerOptions;
  readonly #places = new WeakMap<object, Place>();

  constructor(options: InsideListenerOptions) {
    this.#options = options;
  }

  /** Takes note of what a connection is for. */
  adopt(socket: Duplex, target: ConnectTarget): void {
    this.#places.set(socket, { target, usualPort: 443 });
  }

  owns(socket: Duplex): boolean {
    return this.#places.has(socket);
  }

  respond(request: IncomingMessage, response: ServerResponse): void {
    const place = this.#places.get(request.socket);
    const named = parseHostEntry(request.headers.host ?? "", 443);
    if (place === undefined || named === undefined || formatTarget(named) !== formatTarget(place.target)) {
      return this.#send(
        request,
        response,
        errorResponse(421, "DENIED", "this connection was made for another registry"),
      );
    }
    this.#answer(request, response, place, request.url ?? "/");
  }

  /** A request as proxies get it: `GET http://host/path`. Only listed hosts are answered; this is no general proxy. */
  respondAbsolute(request: IncomingMessage, response: ServerResponse, isLetIn: boolean): void {
    if (!isLetIn) {
      const headers = { "proxy-authenticate": 'Basic realm="fleetfoot-mirror"' };
      const message = "this proxy wants a user and a password (connect.proxyAuth)";
      return this.#send(request, response, errorResponse(407, "UNAUTHORIZED", message, headers));
    }
    const [, scheme = "", authority = "", path = ""] = /^([^:]+):\/\/([^/?#]*)(.*)$/s.exec(request.url ?? "") ?? [];
    const target = parseHostEntry(authority, 80);
    if (scheme.toLowerCase() !== "http" || target === undefined) {
      return this.#send(request, response, errorResponse(400, "UNSUPPORTED", "there is no registry at such a URL"));
    }
    const name = formatTarget(target);
    if (!this.#options.policy.httpHosts.has(name)) {
      const message = `${name} is not on the list (connect.httpHosts)`;
      return this.#send(request, response, errorResponse(403, "DENIED", message));
    }
    this.#answer(request, response, { target, usualPort: 80 }, path.startsWith("/") ? path : `/${path}`);
  }

  #answer(request: IncomingMessage, response: ServerResponse, place: Place, target: string): void {
    const { clientIdleMs, mirror, policy } = this.#options;
    const registry = registryName(place.target, place.usualPort);
    const { route } = parseTarget(target);
    const isReading = request.method === "GET" || request.method === "HEAD";
    const isPushHost = policy.pushHosts.has(formatTarget(place.target));
    const isElsewhere = route.kind === "refused" && route.code === "UNSUPPORTED";
    if (target.startsWith("/v1/") || target === "/v1") {
      return this.#send(request, response, errorResponse(404, "UNSUPPORTED", "there is nothing at this path"));
    }
    if (isReading) {
      // A push asks which layers it may leave out; only the registry itself can say that.
      const isPushing =
        (request.method === "HEAD" && route.kind === "blob") ||
        (route.kind === "refused" && route.code === "BLOB_UPLOAD_UNKNOWN");
      if (isElsewhere || (isPushHost && isPushing)) return this.#relay(request, response, registry, target);
    } else if (isPushHost || (isElsewhere && this.#isTokenRequest(request, registry))) {
      return this.#relay(request, response, registry, target);
    }
    createNodeListener({ answer: (asked) => mirror.answer({ ...asked, target }) }, { registry, clientIdleMs })(
      request,
      response,
    );
  }

  /** Clients may ask a token server with a form. */
  #isTokenRequest(request: IncomingMessage, registry: string): boolean {
    return request.method === "POST" && this.#options.mirror.registryAt(registry)?.access === "pass-through";
  }

  #relay(request: IncomingMessage, response: ServerResponse, registry: string, target: string): void {
    const { clientIdleMs, mirror } = this.#options;
    const method = request.method ?? "GET";
    const hasBody = method !== "GET" && method !== "HEAD";
    if (request.headers.expect !== undefined) response.writeContinue();
    void respond(
      (signal) => {
        const slow = new AbortController();
        if (hasBody) this.#watch(request, response, slow);
        return mirror.relay({
          registry,
          target,
          method,
          headers: relayedHeaders(request),
          authorization: request.headers.authorization,
          ...(hasBody ? { body: request } : {}),
          signal: AbortSignal.any([signal, slow.signal]),
        });
      },
      request,
      response,
      clientIdleMs,
    );
  }

  /** Gives up when neither the client sends nor the registry answers. */
  #watch(request: IncomingMessage, response: ServerResponse, slow: AbortController): void {
    const { clientIdleMs, clock } = this.#options;
    const done = new AbortController();
    response.once("close", () => done.abort());
    const watch = async (): Promise<void> => {
      for (let before = -1; request.socket.bytesRead !== before;) {
        before = request.socket.bytesRead;
        await clock.sleep(clientIdleMs, done.signal);
      }
      slow.abort(new Error("nothing came any more"));
      response.destroy();
    };
    watch().catch(() => {});
  }

  #send(request: IncomingMessage, response: ServerResponse, answer: MirrorResponse): void {
    void respond(() => Promise.resolve(answer), request, response, this.#options.clientIdleMs);
  }
}

/** Headers that registries and token servers read, and nothing that tells more of the client. */
function relayedHeaders({ headers }: IncomingMessage): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const name of passedOn) {
    const value = headers[name];
    if (typeof value === "string") passed[name] = value;
  }
  return passed;
}

const passedOn = [
  "accept",
  "content-length",
  "content-range",
  "content-type",
  "if-none-match",
  "range",
  viaHeader,
] as const;
