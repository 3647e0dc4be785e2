import type { IncomingMessage, RequestListener, Server as HttpServer } from "node:http";
import { Server as TlsServer } from "node:tls";
import type { Duplex } from "node:stream";
import { systemClock } from "../clock.ts";
import type { Clock } from "../clock.ts";
import { MirrorOptionsError } from "../errors.ts";
import { noopLogger } from "../logger.ts";
import type { Logger } from "../logger.ts";
import { Metrics } from "../metrics.ts";
import type { Sample } from "../metrics.ts";
import { namesSeveralHosts } from "../node-listener.ts";
import type { RegistryMirror, TokenServer } from "../registry-mirror.ts";
import { parseRanges } from "../upstream/address.ts";
import type { AllowedRanges } from "../upstream/address.ts";
import { checkedAddresses, ForbiddenHostError, isForbiddenAddress, systemResolve } from "./addresses.ts";
import type { Resolve } from "./addresses.ts";
import type { CertificateAuthority } from "./certificates/authority.ts";
import { Leaves } from "./certificates/leaves.ts";
import { InsideListener } from "./inside-listener.ts";
import { Interception } from "./interception.ts";
import { decideConnect, readConnectPolicy, refusalPhrase } from "./policy.ts";
import type { ConnectPolicy, ConnectPolicyOptions } from "./policy.ts";
import { isProxyPasswordHash, ProxyDoor } from "./proxy-auth.ts";
import type { ProxyUsers } from "./proxy-auth.ts";
import { formatTarget, parseHostEntry, registryName } from "./target.ts";
import type { ConnectTarget } from "./target.ts";
import { systemDial, Tunnels } from "./tunnels.ts";
import type { Dial } from "./tunnels.ts";

/** What CONNECT mode is made of. */
export interface ConnectOptions {
  readonly mirror: Pick<RegistryMirror, "answer" | "registryAt" | "relay" | "tokenServers">;
  readonly ca: CertificateAuthority;
  readonly policy: ConnectPolicyOptions;
  /** Ranges of private addresses that tunnels may lead to. @default [] */
  readonly allowPrivate?: readonly string[];
  /** Who may use the proxy. @default everybody */
  readonly users?: ProxyUsers;
  /** Whether the mirror itself listens at an address, where no tunnel may lead. @default nowhere */
  readonly isOwnAddress?: (address: string, port: number) => boolean;
  /** The way to a host through a proxy; undefined when there is none to be used. @default always undefined */
  readonly throughProxy?: (target: ConnectTarget) => ((signal: AbortSignal) => Promise<Duplex>) | undefined;
  /** Tunnels at once. @default 1000 */
  readonly maxTunnels?: number;
  /** Intercepted connections at once. @default 5000 */
  readonly maxIntercepted?: number;
  /** For a tunnel's connection. @default 5000 */
  readonly connectMs?: number;
  /** How long nothing may come through a tunnel. @default 600000 */
  readonly tunnelIdleMs?: number;
  /** For a client's first message, and for the rest of its handshake. @default 10000 */
  readonly handshakeMs?: number;
  /** How long a client may take nothing of a body, or send nothing of one. @default 300000 */
  readonly clientIdleMs?: number;
  /** @default the system's resolver */
  readonly resolve?: Resolve;
  /** @default TCP */
  readonly dial?: Dial;
  /** @default the clock of this machine */
  readonly clock?: Clock;
  /** @default no log */
  readonly logger?: Logger;
}

/** A mirror for clients that can only be given an HTTP proxy. */
export interface ConnectHandler {
  /**
   * Lets a server take CONNECT requests. What is inside of intercepted connections comes back to the same server as requests,
   * so its limits and its end hold for them, too.
   *
   * @param fallback - gets the requests that are not a proxy's
   */
  attach(server: HttpServer, fallback: RequestListener): void;
  metrics(): readonly Sample[];
  /** Refuses new connections, and waits until the tunnels have ended; those left when the signal is aborted are cut. */
  close(limit: AbortSignal): Promise<void>;
}

/**
 * Creates the proxy in front of a mirror.
 *
 * @throws {MirrorOptionsError} with everything that is wrong with the options
 */
export function createConnectHandler(options: ConnectOptions): ConnectHandler {
  const problems: string[] = [];
  const policy = readConnectPolicy(options.policy, problems);
  const allowed = parseRanges(options.allowPrivate ?? [], "allowPrivate", problems);
  for (const host of [...policy.hosts, ...policy.httpHosts]) {
    const target = parseHostEntry(host, 443);
    if (target === undefined) continue;
    const registry = options.mirror.registryAt(registryName(target, policy.hosts.has(host) ? 443 : 80));
    if (registry === undefined) problems.push(`connect: no upstream is configured for ${host}`);
    else if (policy.pushHosts.has(host) && registry.access !== "pass-through")
      problems.push(`connect.pushHosts: the access of upstream ${registry.id} must be pass-through`);
  }
  for (const [name, hash] of Object.entries(options.users ?? {})) {
    if (name === "" || name.includes(":")) problems.push(`connect.proxyAuth: ${JSON.stringify(name)} cannot be a user`);
    if (!isProxyPasswordHash(hash)) problems.push(`connect.proxyAuth: the password of ${name} is no hash`);
  }
  if (problems.length > 0) throw new MirrorOptionsError(problems);
  return new Handler(options, policy, allowed);
}

/** Hosts without ports that an authority must hold for. */
export function certificateHosts(policy: Pick<ConnectPolicyOptions, "hosts">): readonly string[] {
  return [...new Set(policy.hosts.flatMap((entry) => parseHostEntry(entry, 443)?.host ?? []))];
}

class Handler implements ConnectHandler {
  readonly #options: ConnectOptions;
  readonly #policy: ConnectPolicy;
  readonly #allowed: AllowedRanges;
  readonly #metrics = new Metrics();
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #leaves: Leaves;
  readonly #tunnels: Tunnels;
  readonly #door: ProxyDoor | undefined;
  readonly #inside: InsideListener;
  readonly #interceptions: Interception[] = [];
  #intercepted = 0;
  #isClosing = false;

  constructor(options: ConnectOptions, policy: ConnectPolicy, allowed: AllowedRanges) {
    const { ca, clock = systemClock, logger = noopLogger } = options;
    const metrics = this.#metrics;
    this.#options = options;
    this.#policy = policy;
    this.#allowed = allowed;
    this.#clock = clock;
    this.#logger = logger;
    this.#leaves = new Leaves(ca, clock, () => metrics.add("certificates_issued_total"));
    const { connectMs = 5000, maxTunnels = 1000, tunnelIdleMs: idleMs = 600_000 } = options;
    this.#tunnels = new Tunnels({ clock, logger, metrics, maxTunnels, connectMs, idleMs });
    this.#door = options.users === undefined ? undefined : new ProxyDoor(options.users, () => clock.now());
    const { clientIdleMs = 300_000, mirror } = options;
    this.#inside = new InsideListener({ mirror, policy, clientIdleMs, clock });
  }

  attach(server: HttpServer, fallback: RequestListener): void {
    const { handshakeMs = 10_000 } = this.#options;
    const common = { leaves: this.#leaves, clock: this.#clock, logger: this.#logger, metrics: this.#metrics };
    const event = server instanceof TlsServer ? "secureConnection" : "connection";
    const interception = new Interception({ ...common, handshakeMs }, (inside, target) => {
      if (this.#isClosing) {
        inside.destroy();
        return;
      }
      this.#inside.adopt(inside, target);
      server.emit(event, inside);
    });
    this.#interceptions.push(interception);
    // A pushed layer may take long; whether anything comes is watched instead.
    if (this.#policy.pushHosts.size > 0) server.requestTimeout = 0;
    server.on("connect", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      // A client that leaves is nobody's failure.
      socket.on("error", () => socket.destroy());
      this.#connect(request, socket, head, interception).catch((error: unknown) => {
        this.#logger.error("a CONNECT request failed", { error });
        socket.destroy();
      });
    });
    const listener: RequestListener = (request, response) => {
      if (this.#inside.owns(request.socket)) return this.#inside.respond(request, response);
      if (/^[a-z][a-z0-9+.-]*:\/\//i.test(request.url ?? "")) {
        void this.#isLetIn(request).then((isLetIn) => this.#inside.respondAbsolute(request, response, isLetIn));
        return;
      }
      if (request.url?.split("?")[0] === "/ca.crt" && (request.method === "GET" || request.method === "HEAD")) {
        const { certificate } = this.#options.ca;
        const headers = {
          "content-type": "application/x-x509-ca-cert",
          "content-length": Buffer.byteLength(certificate),
        };
        response.writeHead(200, headers).end(request.method === "HEAD" ? undefined : certificate);
        return;
      }
      fallback(request, response);
    };
    // A push is refused before its body is asked for.
    server.on("request", listener).on("checkContinue", listener);
  }

  metrics(): readonly Sample[] {
    return this.#metrics.samples();
  }

  async close(limit: AbortSignal): Promise<void> {
    this.#isClosing = true;
    for (const interception of this.#interceptions) interception.close();
    await this.#tunnels.close(limit);
  }

  async #connect(request: IncomingMessage, socket: Duplex, head: Buffer, interception: Interception): Promise<void> {
    if (this.#inside.owns(request.socket)) return this.#refuse(socket, 405, "no tunnel through an intercepted one");
    if (this.#isClosing) return this.#refuse(socket, 503, "it is being stopped");
    if (namesSeveralHosts(request))
      return this.#refuse(socket, 400, "the request names its host more than once (Host)");
    if (!(await this.#isLetIn(request))) {
      return this.#refuse(socket, 407, "this proxy wants a user and a password (connect.proxyAuth)");
    }
    const tokenServers = this.#options.mirror.tokenServers();
    const decision = decideConnect(request.url ?? "", this.#policy, new Set(tokenServers.map(({ host }) => host)));
    if (decision.kind === "refuse") return this.#refuse(socket, decision.status, decision.phrase);
    if (decision.kind === "intercept") return this.#intercept(socket, head, decision.target, interception);
    const server = decision.reason === "token-server" ? tokenServers : [];
    return this.#tunnel(
      socket,
      head,
      decision.target,
      server.find(({ host }) => host === formatTarget(decision.target)),
    );
  }

  #intercept(socket: Duplex, head: Buffer, target: ConnectTarget, interception: Interception): Promise<void> {
    const { maxIntercepted = 5000 } = this.#options;
    if (this.#intercepted >= maxIntercepted) {
      this.#refuse(socket, 503, "too many connections");
      return Promise.resolve();
    }
    this.#intercepted += 1;
    socket.once("close", () => (this.#intercepted -= 1));
    this.#metrics.add("connects_total", { result: "intercepted" });
    socket.write(established);
    return interception.answer(socket, head, target);
  }

  async #tunnel(
    socket: Duplex,
    head: Buffer,
    target: ConnectTarget,
    tokenServer: TokenServer | undefined,
  ): Promise<void> {
    if (this.#tunnels.isFull) return this.#refuse(socket, 503, "too many tunnels");
    let far: Duplex;
    try {
      far = await this.#tunnels.open((signal) => this.#reach(target, tokenServer, signal));
    } catch (error) {
      if (error instanceof ForbiddenHostError) {
        return this.#refuse(socket, 403, `${formatTarget(target)}: ${error.message}`);
      }
      this.#logger.info("a tunnel could not be opened", { target: formatTarget(target), error });
      return this.#refuse(socket, 502, `${formatTarget(target)} cannot be reached`);
    }
    // While it was being opened the client may have left, or the end begun, which waits for nothing that begins later.
    if (this.#isClosing || socket.destroyed) {
      socket.destroy();
      far.destroy();
      return;
    }
    this.#metrics.add("connects_total", { result: "tunnelled" });
    socket.write(established);
    if (head.byteLength > 0) socket.unshift(head);
    this.#tunnels.join(socket, far, target);
  }

  async #reach(target: ConnectTarget, tokenServer: TokenServer | undefined, signal: AbortSignal): Promise<Duplex> {
    const { dial = systemDial, isOwnAddress = () => false, resolve = systemResolve } = this.#options;
    const isForbidden = (address: string): boolean => {
      if (isOwnAddress(address, target.port)) return true;
      if (tokenServer !== undefined) return !tokenServer.mayBeAt(address);
      return isForbiddenAddress(address, this.#allowed);
    };
    const proxied = this.#options.throughProxy?.(target);
    if (proxied !== undefined) {
      // The proxy resolves the name, perhaps to something else; but what is forbidden from here is not asked for.
      await checkedAddresses(target.host, resolve, isForbidden).catch((error: unknown) => {
        if (error instanceof ForbiddenHostError) throw error;
      });
      return proxied(signal);
    }
    const addresses = await checkedAddresses(target.host, resolve, isForbidden);
    let lastError: unknown;
    for (const address of addresses) {
      signal.throwIfAborted();
      try {
        return await dial(address, target.port, signal);
      } catch (error) {
        lastError = error;
      }
    }
    throw lastError;
  }

  async #isLetIn({ headers }: IncomingMessage): Promise<boolean> {
    return this.#door === undefined || this.#door.letsIn(headers["proxy-authorization"]);
  }

  /** The phrase of the status line is all that most clients show. */
  #refuse(socket: Duplex, status: number, text: string): void {
    const phrase = text.startsWith("fleetfoot-mirror: ") ? text : refusalPhrase(text);
    this.#metrics.add("connects_total", { result: "refused" });
    this.#logger.info("a CONNECT request was refused", { status, phrase });
    const lines = [
      `HTTP/1.1 ${status} ${phrase}`,
      "content-type: text/plain",
      `content-length: ${phrase.length + 1}`,
      ...(status === 407 ? ['proxy-authenticate: Basic realm="fleetfoot-mirror"'] : []),
      ...(status === 405 ? ["allow: GET, HEAD"] : []),
      "connection: close",
    ];
    // What the client has sent already is thrown away; unread, it would make the answer get lost.
    socket.resume();
    socket.end(`${lines.join("\r\n")}\r\n\r\n${phrase}\n`, () => socket.destroy());
  }
}

const established = "HTTP/1.1 200 Connection established\r\n\r\n";
