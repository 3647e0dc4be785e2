import type { Dispatcher } from "undici";
import { CircuitBreaker } from "../circuit-breaker.ts";
import type { Clock } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import type { UpstreamErrorCode } from "../errors.ts";
import { ExpiringMap } from "../expiring-map.ts";
import type { Logger } from "../logger.ts";
import type { Metrics } from "../metrics.ts";
import type { TimeLimits } from "../options.ts";
import type { Upstream } from "../routing/registries.ts";
import { Slots } from "../slots.ts";
import type { AddressClass, AllowedRanges } from "./address.ts";
import { acceptedAnswer, refusalOf, single } from "./answer.ts";
import { askerKey } from "./asker.ts";
import { Authorizer } from "./authorizer.ts";
import type { Identity } from "./authorizer.ts";
import { Connections, discard } from "./connections.ts";
import type { RawAnswer } from "./connections.ts";
import { failureOf } from "./failure.ts";
import type { RelayedRequest, UpstreamAnswer, UpstreamRequest } from "./messages.ts";
import { parseRateLimit } from "./rate-limit.ts";
import { ownHeaders, Transport } from "./transport.ts";

export interface UpstreamClientOptions {
  readonly upstream: Upstream;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly limits: Required<TimeLimits>;
  readonly allowed: AllowedRanges;
  readonly dispatcher: Dispatcher | undefined;
  /** By which this mirror knows its own requests again. */
  readonly mirrorName: string;
}

/**
 * Asks one upstream: with the login it wants, following its redirects, never longer than the limits, and not at all while
 * it is known not to answer or has asked to be left alone.
 */
export class UpstreamClient {
  readonly #options: UpstreamClientOptions;
  readonly #connections: Connections;
  readonly #transport: Transport;
  readonly #authorizer: Authorizer;
  readonly #breaker: CircuitBreaker;
  readonly #requests: Slots;
  /** By asker: epoch milliseconds before which no manifest is fetched. */
  readonly #blockedUntilMs: ExpiringMap<number>;

  constructor(options: UpstreamClientOptions) {
    const { upstream, clock, limits } = options;
    this.#options = options;
    this.#connections = new Connections({
      registry: upstream.url,
      ca: upstream.options.ca,
      connectMs: limits.connectMs,
      allowed: options.allowed,
      dispatcher: options.dispatcher,
      mirrorName: options.mirrorName,
    });
    this.#transport = new Transport({ ...options, connections: this.#connections });
    this.#authorizer = new Authorizer({ ...options, connections: this.#connections, tokenMs: limits.tokenMs });
    this.#breaker = new CircuitBreaker(() => clock.now());
    this.#blockedUntilMs = new ExpiringMap(10_000, () => clock.now());
    this.#requests = new Slots(upstream.options.maxRequests ?? 64);
  }

  /** Whether it is known not to answer. */
  get isDown(): boolean {
    return this.#breaker.isOpen;
  }

  /** Whether our credentials were refused the last time. */
  get credentialsRejected(): boolean {
    return this.#authorizer.credentialsRejected;
  }

  /**
   * Sends one question.
   *
   * @throws {UpstreamError} every answer but 200 and 206, and no answer at all
   */
  async send(request: UpstreamRequest): Promise<UpstreamAnswer> {
    const { metrics, upstream } = this.#options;
    request.signal.throwIfAborted();
    this.#refuseWhileBlocked(request);
    const turn = this.#requests.take(request.signal);
    const giveBack = await (request.ownWait?.(turn) ?? turn);
    try {
      if (!this.#breaker.tryToEnter())
        throw failureOf(this.#options.upstream, "unreachable", "it did not answer a moment ago");
      try {
        const answer = await this.#exchange(request);
        this.#breaker.succeed();
        this.#noteRateLimit(answer);
        return this.#accept(answer, request);
      } catch (error) {
        if (request.signal.aborted || !(error instanceof UpstreamError)) this.#breaker.leave();
        else if (outages.has(error.code)) this.#breaker.fail();
        else this.#breaker.succeed();
        if (error instanceof UpstreamError && error.status === undefined) {
          metrics.add("upstream_requests_total", { upstream: upstream.id, kind: request.kind, status: "0" });
        }
        throw error;
      }
    } finally {
      metrics.set("breaker_open", { upstream: upstream.id }, this.#breaker.isOpen ? 1 : 0);
      giveBack();
    }
  }

  /**
   * Passes a request on, whatever it is about. Redirects of a GET or HEAD are followed; the answer may have any status. What a
   * client writes keeps nobody from pulling: it takes none of their places, and its failures are told to nobody else.
   *
   * @throws {UpstreamError} there is no answer
   */
  async relay(relayed: RelayedRequest): Promise<RawAnswer> {
    const { authorization, body, headers, method, signal, target } = relayed;
    const url = new URL(this.#options.upstream.url);
    const [path = "", ...query] = target.split("?");
    url.pathname = `${url.pathname.replace(/\/$/, "")}${path}`;
    url.search = query.join("?");
    if (method !== "GET" && method !== "HEAD") {
      const sent = { ...ownHeaders(method, headers, authorization), body, signal };
      return this.#transport.explained(signal, () => this.#connections.send(url, sent));
    }
    const giveBack = await this.#requests.take(signal);
    try {
      if (!this.#breaker.tryToEnter())
        throw failureOf(this.#options.upstream, "unreachable", "it did not answer a moment ago");
      try {
        const answer = await this.#transport.follow(url, { method, headers, kind: "list", signal }, authorization);
        this.#breaker.succeed();
        return answer;
      } catch (error) {
        if (error instanceof UpstreamError && outages.has(error.code) && !signal.aborted) this.#breaker.fail();
        else this.#breaker.leave();
        throw error;
      }
    } finally {
      giveBack();
    }
  }

  /** Where addresses may lie that it leads to. */
  get reach(): ReadonlySet<AddressClass> {
    return this.#connections.reach;
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  #refuseWhileBlocked({ kind, method, asker }: UpstreamRequest): void {
    if (kind !== "manifest" || method !== "GET") return;
    const waitMs = (this.#blockedUntilMs.get(askerKey(asker)) ?? 0) - this.#options.clock.now();
    if (waitMs <= 0) return;
    throw failureOf(this.#options.upstream, "throttled", "it asked to be left alone", {
      status: 429,
      retryAfterMs: waitMs,
    });
  }

  /** Sends a request until it is let in, or it is clear that it will not be. */
  async #exchange(request: UpstreamRequest): Promise<RawAnswer> {
    const { asker, name } = request;
    const own = typeof asker === "object";
    const identity: Identity = own ? "anonymous" : asker;
    let authorization = own
      ? asker.authorization
      : await this.#transport.inTime(request, (signal) => this.#authorizer.header(name, identity, signal));
    // Who sent nothing learns what is wanted; who then gets a token that opens nothing may try one more.
    let tries = authorization === undefined ? 2 : 1;
    for (;;) {
      const answer = await this.#transport.follow(this.#urlOf(request), request, authorization);
      if (own) return answer;
      if (answer.statusCode !== 401) {
        if (answer.statusCode < 500) this.#authorizer.accepted(identity, authorization);
        return answer;
      }
      const mayTry = this.#authorizer.refused(answer.headers["www-authenticate"], name, identity, authorization);
      if (tries === 0 || !mayTry) return answer;
      discard(answer);
      tries -= 1;
      authorization = await this.#transport.inTime(request, (signal) =>
        this.#authorizer.header(name, identity, signal),
      );
    }
  }

  #urlOf({ name, resource: resourceAndQuery }: UpstreamRequest): URL {
    const url = new URL(this.#options.upstream.url);
    const [resource = "", query = ""] = resourceAndQuery.split("?");
    url.pathname = `${url.pathname.replace(/\/$/, "")}/v2/${name}/${resource}`;
    url.search = query;
    return url;
  }

  #accept(answer: RawAnswer, { asker }: UpstreamRequest): UpstreamAnswer {
    const { clock, dispatcher, upstream } = this.#options;
    // A dispatcher of the caller may keep what it hands out.
    const ownsMemory = dispatcher === undefined;
    const failure = refusalOf(answer, upstream, clock.now());
    if (failure === undefined) return acceptedAnswer(answer, { ownsMemory });
    discard(answer);
    const { code, retryAfterMs = 0 } = failure;
    if (code === "throttled") this.#blockedUntilMs.set(askerKey(asker), clock.now() + retryAfterMs, retryAfterMs);
    throw failure;
  }

  #noteRateLimit({ headers }: RawAnswer): void {
    const labels = { upstream: this.#options.upstream.id };
    const { metrics } = this.#options;
    const limit = parseRateLimit(single(headers["ratelimit-limit"]));
    const remaining = parseRateLimit(single(headers["ratelimit-remaining"]));
    if (limit !== undefined) metrics.set("rate_limit", labels, limit.pulls);
    if (remaining !== undefined) metrics.set("rate_limit_remaining", labels, remaining.pulls);
    const windowSeconds = remaining?.windowSeconds ?? limit?.windowSeconds;
    if (windowSeconds !== undefined) metrics.set("rate_limit_window_seconds", labels, windowSeconds);
  }
}

/** Failures after which it is not asked for a while; the others are answers. */
const outages: ReadonlySet<UpstreamErrorCode> = new Set(["timeout", "unreachable"]);
