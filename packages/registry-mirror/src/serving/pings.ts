import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import { ExpiringMap } from "../expiring-map.ts";
import type { TimeLimits } from "../options.ts";
import type { Upstream } from "../routing/registries.ts";
import { orAbort, SingleFlight } from "../single-flight.ts";
import { parseChallenges } from "../upstream/challenge.ts";
import type { UpstreamClient } from "../upstream/client.ts";
import { lateAnswerOf } from "../upstream/failure.ts";
import { discard } from "../upstream/connections.ts";
import { trustedChallenge } from "../upstream/realm-trust.ts";
import { failureResponse } from "./failures.ts";
import { errorResponse, jsonResponse } from "./messages.ts";
import type { MirrorResponse } from "./messages.ts";

/** What an upstream says to those who come without a login. */
interface Greeting {
  /** Undefined when everybody is welcome, or when it would send clients to a token server that is not trusted. */
  readonly challenge: string | undefined;
  readonly isOpen: boolean;
}

/**
 * Answers `GET /v2/` for upstreams whose clients log in by themselves: with what the upstream asks of them, learnt once a day,
 * and with its own word about a login.
 */
export class Pings {
  readonly #clientOf: (upstream: Upstream) => UpstreamClient;
  readonly #clock: Clock;
  readonly #totalMs: number;
  readonly #greetings: ExpiringMap<Greeting>;
  readonly #questions = new SingleFlight<Greeting>();

  constructor(
    clientOf: (upstream: Upstream) => UpstreamClient,
    clock: Clock,
    { manifestTotalMs }: Pick<Required<TimeLimits>, "manifestTotalMs">,
  ) {
    this.#clientOf = clientOf;
    this.#clock = clock;
    this.#totalMs = manifestTotalMs;
    this.#greetings = new ExpiringMap(1000, () => clock.now());
  }

  async answer(upstream: Upstream, authorization: string | undefined, signal: AbortSignal): Promise<MirrorResponse> {
    try {
      const { challenge, isOpen } =
        authorization === undefined
          ? await this.#greeting(upstream, signal)
          : await this.#ask(upstream, authorization, signal);
      if (isOpen) return jsonResponse(200, Buffer.from("{}"));
      return challenge === undefined ? untrusted : loginResponse(challenge);
    } catch (error) {
      const response = failureResponse(error, { kind: "manifest", hasSecondChoice: false });
      if (response === undefined) throw error;
      return response;
    }
  }

  /** What to tell a client that was refused without a login; undefined when that is not known. */
  knownChallenge(upstream: Upstream): string | undefined {
    return this.#greetings.get(upstream.id)?.challenge;
  }

  /** Token server that the upstream sends clients to: host and port, as CONNECT has them. */
  tokenHost(upstream: Upstream): string | undefined {
    for (const { parameters } of parseChallenges(this.knownChallenge(upstream))) {
      const realm = parameters["realm"] ?? "";
      if (!URL.canParse(realm)) continue;
      const { hostname, port, protocol } = new URL(realm);
      return protocol === "https:" ? `${hostname}:${port === "" ? "443" : port}` : undefined;
    }
    return undefined;
  }

  async #greeting(upstream: Upstream, signal: AbortSignal): Promise<Greeting> {
    const known = this.#greetings.get(upstream.id);
    if (known !== undefined) return known;
    const late = (): Error => lateAnswerOf(upstream);
    const { result } = this.#questions.run(upstream.id, async () => {
      // Others may wait for it, too, so it does not end with this client.
      const ask = (within: AbortSignal): Promise<Greeting> => this.#ask(upstream, undefined, within);
      const greeting = await withDeadline(this.#clock, this.#totalMs, late, ask);
      this.#greetings.set(upstream.id, greeting, dayMs);
      return greeting;
    });
    return orAbort(result, signal);
  }

  async #ask(upstream: Upstream, authorization: string | undefined, signal: AbortSignal): Promise<Greeting> {
    const headers = { accept: "application/json" };
    const answer = await this.#clientOf(upstream).relay({
      method: "GET",
      target: "/v2/",
      headers,
      authorization,
      signal,
    });
    discard(answer);
    const { statusCode: status } = answer;
    if (status === 200) return { challenge: undefined, isOpen: true };
    if (status === 401 || status === 403) {
      return { challenge: trustedChallenge(answer.headers["www-authenticate"], upstream), isOpen: false };
    }
    throw new UpstreamError({ code: "failing", upstream: upstream.id, reason: `it answers ${status}`, status });
  }
}

/** Asks a client for the login that an upstream wants to see. */
export function loginResponse(challenge: string): MirrorResponse {
  return errorResponse(401, "UNAUTHORIZED", "the registry wants a login", { "www-authenticate": challenge });
}

const untrusted = errorResponse(
  403,
  "DENIED",
  "the registry refuses, or its token server is not trusted with credentials (realmHosts)",
);
const dayMs = 24 * 60 * 60_000;
