import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import { OncePerMinute } from "../logger.ts";
import type { Logger } from "../logger.ts";
import { viaHeader } from "../loops.ts";
import type { Metrics } from "../metrics.ts";
import type { TimeLimits } from "../options.ts";
import type { Upstream } from "../routing/registries.ts";
import { discard, ForbiddenAddressError } from "./connections.ts";
import type { Connections, RawAnswer } from "./connections.ts";
import { failureOf, lateAnswerOf } from "./failure.ts";
import type { UpstreamRequest } from "./messages.ts";

export interface TransportOptions {
  readonly upstream: Upstream;
  readonly connections: Connections;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly limits: Required<TimeLimits>;
  readonly logger: Logger;
  /** By which an answer of this mirror itself is known. */
  readonly mirrorName: string;
}

/** Gets one answer of an upstream, wherever it redirects to, never later than the limits. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #seldom: OncePerMinute;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#seldom = new OncePerMinute(() => options.clock.now());
  }

  /** Follows redirects to other hosts, which never see the login; starts anew once when a signed URL has expired. */
  async follow(start: URL, request: SentOnce, authorization: string | undefined): Promise<RawAnswer> {
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
          throw failureOf(this.#options.upstream, "failing", `its storage answers ${answer.statusCode}`, {
            status: answer.statusCode,
          });
        }
        discard(answer);
        if (hops === maxHops || !URL.canParse(location, url.href))
          throw failureOf(this.#options.upstream, "failing", "its redirects lead nowhere");
        url = new URL(location, url.href);
        if (!/^https?:$/.test(url.protocol))
          throw failureOf(this.#options.upstream, "failing", "its redirects lead nowhere");
        url.username = "";
        url.password = "";
      }
    }
  }

  async #sendOnce(url: URL, request: SentOnce, authorization: string | undefined): Promise<RawAnswer> {
    const sent = ownHeaders(request.method, request.headers, authorization);
    return this.inTime(request, async (signal) => {
      const answer = await this.#options.connections.send(url, { ...sent, signal });
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
    const reason = "its address, or one that it redirects to, is that of this mirror itself";
    return failureOf(upstream, "loop", reason, { status: 508 });
  }

  /**
   * Waits no longer than the limits, and says a failure as that of the upstream.
   *
   * @throws {UpstreamError}
   */
  inTime<Result>(request: SentOnce, action: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const { clock, limits } = this.#options;
    const late = (): Error => lateAnswerOf(this.#options.upstream);
    const usual = request.kind === "blob" ? limits.blobMs : limits.manifestMs;
    const most = Math.min(usual, request.withinMs ?? usual);
    return this.explained(request.signal, () => withDeadline(clock, most, late, action, request.signal));
  }

  /** Says a failure as that of the upstream, however long it takes. */
  async explained<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result> {
    try {
      return await action();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof UpstreamError) throw error;
      if (causes(error).some((cause) => cause instanceof ForbiddenAddressError)) {
        throw failureOf(
          this.#options.upstream,
          "forbidden-address",
          "it leads to an address that is not connected to",
          {},
          error,
        );
      }
      const isSlow = causes(error).some((cause) => cause instanceof Error && cause.name === "ConnectTimeoutError");
      throw failureOf(this.#options.upstream, isSlow ? "timeout" : "unreachable", "it cannot be reached", {}, error);
    }
  }
}

/** What one request on the way to an answer is made of. */
export type SentOnce = Pick<UpstreamRequest, "headers" | "kind" | "signal" | "withinMs"> & { readonly method: string };

/** Method and headers as they are sent. */
export function ownHeaders(
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

function causes(error: unknown): readonly unknown[] {
  const chain: unknown[] = [];
  for (let current = error; current !== undefined && chain.length < 8;) {
    chain.push(current);
    current = current instanceof Error ? current.cause : undefined;
  }
  return chain;
}
