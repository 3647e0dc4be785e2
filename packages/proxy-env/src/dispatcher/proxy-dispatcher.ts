import type { SecureContextOptions } from "node:tls";

import { Agent, buildConnector, Dispatcher } from "undici";

import type { ProxyDecision } from "../decide.ts";
import type { ProxyServer } from "../proxy-server.ts";
import type { ProxyConnectionOptions } from "../tunnel/connect-to-proxy.ts";
import { directConnector, forwardConnector, tunnelConnector } from "./connectors.ts";
import { forwarded } from "./forward.ts";

/** How a dispatcher connects. */
export interface ProxyDispatcherOptions extends Omit<ProxyConnectionOptions, "signal"> {
  /** Decides, once per request: `(url) => decideProxy(settings, url)`. */
  readonly decide: (url: URL) => Pick<ProxyDecision, "proxy">;
  /** TLS to targets: `ca` (which replaces Node's own trust), `cert`, `key`. Not together with `connect`. @default Node's own trust */
  readonly targetTls?: SecureContextOptions;
  /**
   * Connects to a target: directly, or, when it is given an `httpSocket`, with TLS over that tunnel.
   *
   * @default undici's connector with HTTP/1.1, TCP keep-alive after 30 s and a time limit of 30 s
   */
  readonly connect?: buildConnector.connector;
  /**
   * Makes the pool of one route; it must use the connector that it is given. There is one pool for direct connections, and for
   * each proxy one for tunnels and one for forwarded requests.
   *
   * @default an `Agent` without a limit on connections that closes idle ones after 90 s
   */
  readonly createAgent?: (connect: buildConnector.connector) => Dispatcher;
}

/** What one request may say beside undici's own options. */
export interface ProxyRequestOptions {
  /** Whether to go as `decide` says, without a proxy, or through a certain one. @default "auto" */
  readonly proxy?: "auto" | "direct" | ProxyServer;
}

/** A dispatcher of undici that goes through proxies. */
export type ProxyDispatcher = Dispatcher & {
  request<Opaque = null>(
    options: Dispatcher.RequestOptions<Opaque> & ProxyRequestOptions,
  ): Promise<Dispatcher.ResponseData<Opaque>>;
};

/**
 * Makes a dispatcher that decides for each request how to reach its target: `https:` through a tunnel, `http:` as a forwarded
 * request (which every proxy permits, on every port), or directly. A redirect that is followed by undici is decided anew.
 *
 * Requests reject with an error of this package when a proxy is in the way: `ProxyConnectionError`, `ProxyRefusedError`
 * (never the target's 403 or 407), and with `TargetConnectionError` when the target cannot be connected.
 *
 * @throws {TypeError} both `connect` and `targetTls` given
 */
export function createProxyDispatcher(options: ProxyDispatcherOptions): ProxyDispatcher {
  if (options.connect !== undefined && options.targetTls !== undefined) {
    throw new TypeError("Give either connect or targetTls, not both");
  }
  return new RoutingDispatcher(options);
}

const IDLE_TIMEOUT_MS = 90_000;
const CONNECT_TIMEOUT_MS = 30_000;
const KEEPALIVE_DELAY_MS = 30_000;

function createDefaultAgent(connect: buildConnector.connector): Dispatcher {
  return new Agent({
    connect,
    connections: null,
    allowH2: false,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    keepAliveMaxTimeout: IDLE_TIMEOUT_MS,
  });
}

class RoutingDispatcher extends Dispatcher {
  readonly #decide: ProxyDispatcherOptions["decide"];
  readonly #connect: buildConnector.connector;
  readonly #createAgent: (connect: buildConnector.connector) => Dispatcher;
  readonly #proxyOptions: ProxyConnectionOptions;
  readonly #giveUp = new AbortController();
  /** One pool per route. */
  readonly #pools = new Map<string, Dispatcher>();
  readonly #direct: Dispatcher;
  #closed = false;

  constructor(options: ProxyDispatcherOptions) {
    super();
    const { decide, targetTls, connect = targetConnector(targetTls), createAgent = createDefaultAgent } = options;
    this.#decide = decide;
    this.#connect = connect;
    this.#createAgent = createAgent;
    this.#proxyOptions = { ...options, signal: this.#giveUp.signal };
    this.#direct = this.#pool("direct", () => directConnector(connect));
  }

  override dispatch(
    options: Dispatcher.DispatchOptions & ProxyRequestOptions,
    handler: Dispatcher.DispatchHandler,
  ): boolean {
    const { proxy: choice = "auto", ...request } = options;
    // Once closed, no pool may come into being; the direct one refuses the request as undici does.
    if (this.#closed || request.origin === undefined) return this.#direct.dispatch(request, handler);
    const target = new URL(request.origin);
    const proxy = choice === "auto" ? this.#decide(target).proxy : choice;
    if (proxy === undefined || proxy === "direct") return this.#direct.dispatch(request, handler);
    if (target.protocol === "https:") {
      const tunnels = this.#pool(`tunnel ${proxy.reveal()}`, () =>
        tunnelConnector(proxy, this.#connect, this.#proxyOptions),
      );
      return tunnels.dispatch(request, handler);
    }
    const forwards = this.#pool(`forward ${proxy.reveal()}`, () => forwardConnector(proxy, this.#proxyOptions));
    return forwards.dispatch(...forwarded(proxy, target, request, handler));
  }

  override close(): Promise<void>;
  override close(callback: () => void): void;
  override close(callback?: () => void): Promise<void> | void {
    return settled(
      this.#end((pool) => pool.close()),
      callback,
    );
  }

  override destroy(): Promise<void>;
  override destroy(error: Error | null): Promise<void>;
  override destroy(callback: () => void): void;
  override destroy(error: Error | null, callback: () => void): void;
  override destroy(error?: Error | null | (() => void), callback?: () => void): Promise<void> | void {
    this.#giveUp.abort();
    const reason = typeof error === "function" ? null : (error ?? null);
    return settled(
      this.#end((pool) => pool.destroy(reason)),
      typeof error === "function" ? error : callback,
    );
  }

  #pool(route: string, connector: () => buildConnector.connector): Dispatcher {
    const existing = this.#pools.get(route);
    if (existing !== undefined) return existing;
    const pool = this.#createAgent(connector());
    pool.on("connect", (...event) => this.emit("connect", ...event));
    pool.on("disconnect", (...event) => this.emit("disconnect", ...event));
    pool.on("connectionError", (...event) => this.emit("connectionError", ...event));
    pool.on("drain", (...event) => this.emit("drain", ...event));
    this.#pools.set(route, pool);
    return pool;
  }

  async #end(endPool: (pool: Dispatcher) => Promise<void>): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#pools.values()].map(endPool));
  }
}

function targetConnector(targetTls: SecureContextOptions | undefined): buildConnector.connector {
  return buildConnector({
    timeout: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_DELAY_MS,
    minVersion: "TLSv1.2",
    ...targetTls,
    allowH2: false,
  });
}

/** Undici's callers may want a callback instead of a promise. */
function settled(ended: Promise<void>, callback: (() => void) | undefined): Promise<void> | void {
  if (callback === undefined) return ended;
  void ended.finally(callback);
}
