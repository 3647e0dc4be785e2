import { createHash } from "node:crypto";
import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import type { UpstreamErrorCode, UpstreamFailure } from "../errors.ts";
import { ExpiringMap } from "../expiring-map.ts";
import { OncePerMinute } from "../logger.ts";
import type { Logger } from "../logger.ts";
import { viaHeader } from "../loops.ts";
import type { Metrics } from "../metrics.ts";
import type { TimeLimits } from "../options.ts";
import type { Upstream } from "../routing/registries.ts";
import { Slots } from "../slots.ts";
import type { AllowedRanges } from "./address.ts";
import { Authorizer } from "./authorizer.ts";
import type { Identity } from "./authorizer.ts";
import { CircuitBreaker } from "../circuit-breaker.ts";
import { Connections, discard, ForbiddenAddressError } from "./connections.ts";
import type { RawAnswer } from "./connections.ts";
import { eachChunk } from "./each-chunk.ts";
import { parseRateLimit } from "./rate-limit.ts";
import { trustedChallenge } from "./realm-trust.ts";
import { parseRetryAfter } from "./retry-after.ts";
import type { Dispatcher } from "undici";
import type { Readable } from "node:stream";
import type { AddressClass } from "./address.ts";

/** Who asks: the mirror itself, or a client with its own login, whose header is passed on as it came. */
export type Asker = Identity | { readonly authorization: string };

/** One question to an upstream. */
export interface UpstreamRequest {
  readonly method: "GET" | "HEAD";
  /** `manifests`, `blobs`, ...: what follows the name, with its own slash-separated rest. */
  readonly resource: string;
  readonly name: string;
  readonly kind: "blob" | "list" | "manifest";
  readonly asker: Asker;
  readonly headers?: Readonly<Record<string, string>>;
  /** Less time than usual for the head of the answer. */
  readonly withinMs?: number | undefined;
  /** To be wrapped around waits for the client itself. @default nothing is done about them */
  readonly ownWait?: (<Result>(wait: Promise<Result>) => Promise<Result>) | undefined;
  readonly signal: AbortSignal;
}

/** A client's request that is passed on as it is. */
export interface RelayedRequest {
  readonly method: string;
  /** Path and query, as they came. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly authorization: string | undefined;
  /** Set for requests that change something. Their answer is waited for until the signal is aborted. */
  readonly body?: Readable | undefined;
  readonly signal: AbortSignal;
}

/** An answer of status 200 or 206. The body must be read to its end, or thrown away by {@link UpstreamAnswer.discard}. */
export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: AsyncIterable<Buffer>;
  /** Reads the body in place of its iterator; faster. A chunk's memory is gone after the call, which may return a promise to wait for. */
  readBody(take: (chunk: Uint8Array) => Promise<void> | undefined): Promise<void>;
  discard(): void;
}

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
  readonly #authorizer: Authorizer;
  readonly #breaker: CircuitBreaker;
  readonly #requests: Slots;
  readonly #seldom: OncePerMinute;
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
    this.#seldom = new OncePerMinute(() => clock.now());
    this.#authorizer = new Authorizer({ ...options, connections: this.#connections, tokenMs: limits.tokenMs });
    this.#breaker = new CircuitBreaker(() => clock.now());
    this.#blockedUntilMs = new ExpiringMap(10_000, () => clock.now());
    this.#requests = new Slots(upstream.options.maxRequests ?? 64);
  }

  /** Whether it is known not to answer. */
  get isDown(): boolean {
    return this.#breaker.isOpen;
  }

  /** Whether the token server refused our credentials the last time. */
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
      if (!this.#breaker.tryToEnter()) throw this.#failure("unreachable", "it did not answer a moment ago");
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
      return this.#explained(signal, () => this.#connections.send(url, sent));
    }
    const giveBack = await this.#requests.take(signal);
    try {
      if (!this.#breaker.tryToEnter()) throw this.#failure("unreachable", "it did not answer a moment ago");
      try {
        const answer = await this.#follow(url, { method, headers, kind: "list", signal }, authorization);
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
    const waitMs = (this.#blockedUntilMs.get(keyOf(asker)) ?? 0) - this.#options.clock.now();
    if (waitMs <= 0) return;
    throw this.#failure("throttled", "it asked to be left alone", { status: 429, retryAfterMs: waitMs });
  }

  /** Sends a request until it is let in, or it is clear that it will not be. */
  async #exchange(request: UpstreamRequest): Promise<RawAnswer> {
    const { asker, name } = request;
    const own = typeof asker === "object";
    const identity: Identity = own ? "anonymous" : asker;
    let authorization = own
      ? asker.authorization
      : await this.#inTime(request, (signal) => this.#authorizer.header(name, identity, signal));
    // Who sent nothing learns what is wanted; who then gets a token that opens nothing may try one more.
    let tries = authorization === undefined ? 2 : 1;
    for (;;) {
      const answer = await this.#follow(this.#urlOf(request), request, authorization);
      if (answer.statusCode !== 401 || own) return answer;
      const mayTry = this.#authorizer.refused(answer.headers["www-authenticate"], name, identity, authorization);
      if (tries === 0 || !mayTry) return answer;
      discard(answer);
      tries -= 1;
      authorization = await this.#inTime(request, (signal) => this.#authorizer.header(name, identity, signal));
    }
  }

  /** Follows redirects to other hosts, which never see the login; starts anew once when a signed URL has expired. */
  async #follow(start: URL, request: SentOnce, authorization: string | undefined): Promise<RawAnswer> {
    for (let startsLeft = 2; ;) {
      startsLeft -= 1;
      let url = start;
      for (let hops = 0; ; hops += 1) {
        const answer = await this.#sendOnce(url, request, url.origin === start.origin ? authorization : undefined);
        const location = answer.headers["location"];
        if (!redirects.has(answer.statusCode) || typeof location !== "string") {
          const isExpired = url.origin !== start.origin && (answer.statusCode === 401 || answer.statusCode === 403);
          if (!isExpired) return answer;
          discard(answer);
          if (startsLeft > 0) break;
          throw this.#failure("failing", `its storage answers ${answer.statusCode}`, { status: answer.statusCode });
        }
        discard(answer);
        if (hops === maxHops || !URL.canParse(location, url.href))
          throw this.#failure("failing", "its redirects lead nowhere");
        url = new URL(location, url.href);
        if (!/^https?:$/.test(url.protocol)) throw this.#failure("failing", "its redirects lead nowhere");
        url.username = "";
        url.password = "";
      }
    }
  }

  #urlOf({ name, resource: resourceAndQuery }: UpstreamRequest): URL {
    const url = new URL(this.#options.upstream.url);
    const [resource = "", query = ""] = resourceAndQuery.split("?");
    url.pathname = `${url.pathname.replace(/\/$/, "")}/v2/${name}/${resource}`;
    url.search = query;
    return url;
  }

  async #sendOnce(url: URL, request: SentOnce, authorization: string | undefined): Promise<RawAnswer> {
    const sent = ownHeaders(request.method, request.headers, authorization);
    return this.#inTime(request, async (signal) => {
      const answer = await this.#connections.send(url, { ...sent, signal });
      const labels = { upstream: this.#options.upstream.id, kind: request.kind, status: String(answer.statusCode) };
      this.#options.metrics.add("upstream_requests_total", labels);
      if (answer.statusCode === 508 && answer.headers[viaHeader] === this.#options.mirrorName)
        throw this.#loop(url, answer);
      return answer;
    });
  }

  #loop(url: URL, answer: RawAnswer): UpstreamError {
    discard(answer);
    const { logger, upstream } = this.#options;
    // Without the path and the query, which may be a secret.
    this.#seldom.run("loop", () =>
      logger.error(`upstream ${upstream.id} leads back to this mirror`, { at: url.origin }),
    );
    return this.#failure("loop", "its address, or one that it redirects to, is that of this mirror itself", {
      status: 508,
    });
  }

  #inTime<Result>(request: SentOnce, action: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const { clock, limits } = this.#options;
    const late = (): Error => this.#failure("timeout", "it did not answer in time");
    const usual = request.kind === "blob" ? limits.blobMs : limits.manifestMs;
    const most = Math.min(usual, request.withinMs ?? usual);
    return this.#explained(request.signal, () => withDeadline(clock, most, late, action, request.signal));
  }

  async #explained<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result> {
    try {
      return await action();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof UpstreamError) throw error;
      if (causes(error).some((cause) => cause instanceof ForbiddenAddressError)) {
        throw this.#failure("forbidden-address", "it leads to an address that is not connected to", {}, error);
      }
      const isSlow = causes(error).some((cause) => cause instanceof Error && cause.name === "ConnectTimeoutError");
      throw this.#failure(isSlow ? "timeout" : "unreachable", "it cannot be reached", {}, error);
    }
  }

  #accept(answer: RawAnswer, request: UpstreamRequest): UpstreamAnswer {
    const { statusCode: status } = answer;
    const header = (name: string): string | undefined => {
      const value = answer.headers[name];
      return typeof value === "string" ? value : value?.[0];
    };
    if (status === 200 || status === 206) {
      const encoding = header("content-encoding") ?? "identity";
      if (encoding === "identity") {
        const headers = Object.fromEntries(Object.keys(answer.headers).map((name) => [name, header(name)]));
        // A dispatcher of the caller may keep what it hands out.
        const ownsMemory = this.#options.dispatcher === undefined;
        return {
          status,
          headers,
          body: answer.body,
          readBody: (take) => eachChunk(answer.body, take, { ownsMemory }),
          discard: () => discard(answer),
        };
      }
      discard(answer);
      throw this.#failure("failing", "it compresses what must not be compressed");
    }
    discard(answer);
    if (status === 404) throw this.#failure("absent", "it has no such thing", { status });
    if (status === 401 || status === 403) {
      const challenge = trustedChallenge(answer.headers["www-authenticate"], this.#options.upstream);
      throw this.#failure("denied", "it refuses", { status, challenge });
    }
    if (status !== 429) throw this.#failure("failing", `it answers ${status}`, { status });
    const retryAfterMs = parseRetryAfter(header("retry-after"), this.#options.clock.now());
    this.#blockedUntilMs.set(keyOf(request.asker), this.#options.clock.now() + retryAfterMs, retryAfterMs);
    throw this.#failure("throttled", "it wants fewer requests", { status, retryAfterMs });
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

  #failure(
    code: UpstreamErrorCode,
    reason: string,
    facts: Pick<UpstreamFailure, "challenge" | "retryAfterMs" | "status"> = {},
    cause?: unknown,
  ): UpstreamError {
    const failure = { code, upstream: this.#options.upstream.id, reason, ...facts };
    return new UpstreamError(failure, cause === undefined ? undefined : { cause });
  }
}

/** What one request on the way to an answer is made of. */
type SentOnce = Pick<UpstreamRequest, "headers" | "kind" | "signal" | "withinMs"> & { readonly method: string };

function ownHeaders(
  method: string,
  headers: Readonly<Record<string, string>> | undefined,
  authorization: string | undefined,
): { readonly method: string; readonly headers: Readonly<Record<string, string>> } {
  return {
    method,
    headers: {
      ...headers,
      // The digest is over the bytes as they are.
      "accept-encoding": "identity",
      "user-agent": "fleetfoot-mirror",
      ...(authorization === undefined ? {} : { authorization }),
    },
  };
}

const maxHops = 8;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Failures after which it is not asked for a while; the others are answers. */
const outages: ReadonlySet<UpstreamErrorCode> = new Set(["timeout", "unreachable"]);

function keyOf(asker: Asker): string {
  // Of each login its own, without holding it.
  return typeof asker === "object" ? createHash("sha256").update(asker.authorization).digest("base64url") : asker;
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === "string" ? value : value?.[0];
}

function causes(error: unknown): readonly unknown[] {
  const chain: unknown[] = [];
  for (let current = error; current !== undefined && chain.length < 8;) {
    chain.push(current);
    current = current instanceof Error ? current.cause : undefined;
  }
  return chain;
}
