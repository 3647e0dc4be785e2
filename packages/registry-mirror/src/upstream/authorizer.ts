import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import { ExpiringMap } from "../expiring-map.ts";
import { OncePerMinute } from "../logger.ts";
import type { Logger } from "../logger.ts";
import type { Metrics } from "../metrics.ts";
import type { UpstreamCredentials } from "../options.ts";
import type { Upstream } from "../routing/registries.ts";
import { SingleFlight } from "../single-flight.ts";
import { parseChallenges } from "./challenge.ts";
import type { Challenge } from "./challenge.ts";
import { discard } from "./connections.ts";
import type { Connections } from "./connections.ts";
import { isTrustedRealm } from "./realm-trust.ts";

export interface AuthorizerOptions {
  readonly upstream: Upstream;
  readonly connections: Connections;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly tokenMs: number;
}

/** Whether the mirror's own credentials are used. */
export type Identity = "anonymous" | "configured";

/** Learns from an upstream's first refusal what it wants, and keeps tokens for as long as they last. */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #tokens: ExpiringMap<string>;
  readonly #fetches = new SingleFlight<string>();
  readonly #seldom: OncePerMinute;
  #challenge: Challenge | undefined;
  #credentialsRejected = false;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
    this.#tokens = new ExpiringMap(10_000, () => options.clock.now());
    this.#seldom = new OncePerMinute(() => options.clock.now());
  }

  /** Whether our credentials were refused the last time. */
  get credentialsRejected(): boolean {
    return this.#credentialsRejected;
  }

  /** Value of `Authorization` for a request about a repository, as far as the upstream's wishes are known. */
  async header(name: string, identity: Identity, signal: AbortSignal): Promise<string | undefined> {
    const challenge = this.#challenge;
    if (challenge === undefined) return undefined;
    if (challenge.scheme === "basic") {
      const credentials = await this.#credentials(identity, signal);
      return credentials === undefined ? undefined : basic(credentials);
    }
    try {
      return `Bearer ${await this.#token(challenge, name, identity)}`;
    } catch (error) {
      // One name's refusal says nothing about the others, which may want no token at all.
      if (identity === "anonymous" && this.#challenge === challenge) this.#challenge = undefined;
      throw error;
    }
  }

  /**
   * Takes note of a refusal: what was sent is not good any more.
   *
   * @returns whether another try with a new header makes sense
   */
  refused(
    wwwAuthenticate: string | string[] | undefined,
    name: string,
    identity: Identity,
    sent: string | undefined,
  ): boolean {
    const challenges = parseChallenges(wwwAuthenticate);
    const challenge =
      challenges.find(({ scheme, parameters }) => scheme === "bearer" && URL.canParse(parameters["realm"] ?? "")) ??
      challenges.find(({ scheme }) => scheme === "basic");
    if (sent !== undefined && this.#challenge?.scheme === "bearer") {
      const key = this.#key(this.#challenge, name, identity);
      // Somebody else may have fetched another one meanwhile.
      if (this.#tokens.get(key) === sent.slice("Bearer ".length)) this.#tokens.delete(key);
    }
    if (challenge === undefined) return false;
    this.#challenge = challenge;
    if (challenge.scheme === "basic" && sent !== undefined && identity === "configured") {
      this.#noteRejection("it refuses our credentials");
    }
    return challenge.scheme === "bearer" || (sent === undefined && identity === "configured");
  }

  /** Takes note of an answer that is no refusal of the credentials that were sent. */
  accepted(identity: Identity, sent: string | undefined): void {
    const areOurs = sent !== undefined && identity === "configured";
    if (areOurs && this.#challenge?.scheme === "basic") this.#credentialsRejected = false;
  }

  #key({ parameters }: Challenge, name: string, identity: Identity): string {
    return [parameters["realm"], parameters["service"], name, identity].join(" ");
  }

  async #token(challenge: Challenge, name: string, identity: Identity): Promise<string> {
    const key = this.#key(challenge, name, identity);
    return this.#tokens.get(key) ?? this.#fetches.run(key, () => this.#fetch(challenge, name, identity, key)).result;
  }

  async #fetch(challenge: Challenge, name: string, identity: Identity, key: string): Promise<string> {
    const { clock, tokenMs, upstream } = this.#options;
    const late = (): Error =>
      new UpstreamError({ code: "timeout", upstream: upstream.id, reason: "its token server did not answer in time" });
    return withDeadline(clock, tokenMs, late, async (signal) => {
      const { token, lifetimeMs } = await this.#ask(challenge, name, identity, signal);
      // Renewed before the end, so that no request is on its way when it comes.
      this.#tokens.set(key, token, lifetimeMs - Math.max(10_000, lifetimeMs / 10));
      return token;
    });
  }

  /** @see https://distribution.github.io/distribution/spec/auth/token/ */
  async #ask(
    challenge: Challenge,
    name: string,
    identity: Identity,
    signal: AbortSignal,
  ): Promise<{ readonly token: string; readonly lifetimeMs: number }> {
    const { connections, metrics, upstream } = this.#options;
    const realm = new URL(challenge.parameters["realm"] ?? "");
    const service = challenge.parameters["service"];
    if (service !== undefined) realm.searchParams.set("service", service);
    realm.searchParams.append("scope", `repository:${name}:pull`);
    const headers: Record<string, string> = { accept: "application/json" };
    const credentials = await this.#credentials(identity, signal);
    if (credentials !== undefined) {
      if (!isTrustedRealm(realm, upstream.url, upstream.options.realmHosts ?? [])) {
        const reason = `its token server ${realm.hostname} is not trusted with credentials (realmHosts)`;
        this.#seldom.run("realm", () => this.#options.logger.warn(`upstream ${upstream.id}: ${reason}`));
        throw this.#failure("denied", reason);
      }
      headers["authorization"] = basic(credentials);
      realm.searchParams.set("account", credentials.username);
    }
    metrics.add("token_requests_total", { upstream: upstream.id });
    const answer = await connections.send(realm, { method: "GET", headers, signal });
    if (answer.statusCode !== 200) {
      discard(answer);
      throw this.#refusal(answer.statusCode, credentials !== undefined, service);
    }
    this.#credentialsRejected = false;
    const body = readObject(await readText(answer.body));
    const token = body["token"] ?? body["access_token"];
    // A header that cannot be sent would look like a network failure later.
    if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token)) {
      throw this.#failure("failing", "its token server's answer holds no token");
    }
    const expiresIn = body["expires_in"];
    const seconds = typeof expiresIn === "number" && expiresIn > 0 ? Math.max(60, expiresIn) : 60;
    return { token, lifetimeMs: seconds * 1000 };
  }

  #refusal(status: number, hadCredentials: boolean, service: string | undefined): UpstreamError {
    if (status === 401 && hadCredentials) {
      const reason = "its token server refuses our credentials";
      this.#noteRejection(reason);
      return this.#failure("credentials-rejected", reason, status);
    }
    if (status === 401 || status === 403) return this.#failure("denied", "its token server refuses", status);
    if (status === 429) return this.#failure("throttled", "its token server wants fewer requests", status);
    return this.#failure(
      "failing",
      `its token server answers ${status} for service ${JSON.stringify(service ?? "")}`,
      status,
    );
  }

  /** A changed password would look like missing images otherwise. */
  #noteRejection(reason: string): void {
    const { logger, metrics, upstream } = this.#options;
    this.#credentialsRejected = true;
    metrics.add("credentials_rejected_total", { upstream: upstream.id });
    this.#seldom.run("credentials", () => logger.error(`upstream ${upstream.id}: ${reason}`));
  }

  async #credentials(identity: Identity, signal: AbortSignal): Promise<UpstreamCredentials | undefined> {
    if (identity === "anonymous") return undefined;
    const { credentials } = this.#options.upstream.options;
    return typeof credentials === "function" ? credentials(signal) : credentials;
  }

  #failure(
    code: "credentials-rejected" | "denied" | "failing" | "throttled",
    reason: string,
    status?: number,
  ): UpstreamError {
    return new UpstreamError({ code, upstream: this.#options.upstream.id, reason, status });
  }
}

function basic({ username, password }: UpstreamCredentials): string {
  return `Basic ${Buffer.from(`${username}:${password.reveal()}`).toString("base64")}`;
}

const maxTokenBytes = 256 * 1024;

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > maxTokenBytes) return "";
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function readObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}
