import { STATUS_CODES } from "node:http";

const MARKER = Symbol.for("@fleetfoot/proxy-env/error");

/** Base of every error that this package throws. No message of it holds a credential. */
export abstract class ProxyEnvError extends Error {
  static {
    Object.defineProperty(this.prototype, MARKER, { value: true });
  }

  /** Stable name of the cause, for programs. */
  abstract readonly code: string;
  /** Whether the same may succeed later without a change on this side. */
  abstract readonly retryable: boolean;

  /** Recognises errors of this package across duplicate installations. */
  static isInstance(value: unknown): value is ProxyEnvError {
    return typeof value === "object" && value !== null && MARKER in value;
  }
}

/** One variable that cannot be used. */
export interface ProxySettingProblem {
  /** Name of the variable, in the case that was read. */
  readonly variable: string;
  /** What is wrong, without any part of the value. */
  readonly reason: string;
}

/** Proxy settings that cannot be understood. Nothing is connected then, not even directly; correct the variables. */
export class InvalidProxySettingsError extends ProxyEnvError {
  override readonly name = "InvalidProxySettingsError";
  override readonly code = "invalid-proxy-settings";
  override readonly retryable = false;
  /** All of them, in the order of the variables. */
  readonly problems: readonly ProxySettingProblem[];

  constructor(problems: readonly ProxySettingProblem[]) {
    super(problems.map(({ variable, reason }) => `${variable}: ${reason}`).join("; "));
    this.problems = problems;
  }
}

/** What happened on the way through a proxy. */
export interface ProxyFacts {
  /** `host:port` of the proxy. */
  readonly proxy: string;
  /** `host:port` of what was to be reached. */
  readonly target: string;
}

/** The proxy could not be reached, or broke off before it answered. `cause` has the original. */
export class ProxyConnectionError extends ProxyEnvError {
  override readonly name = "ProxyConnectionError";
  override readonly code = "proxy-connection";
  /** Unless the proxy's certificate is the problem. */
  override readonly retryable: boolean;
  readonly proxy: string;
  readonly target: string;

  constructor({ proxy, target }: ProxyFacts, problem: string, options?: ErrorOptions) {
    const detail = options?.cause === undefined ? "" : `: ${messageOf(options.cause)}`;
    super(`The connection to ${target} is proxied, and the proxy ${proxy} ${problem}${detail}`, options);
    this.proxy = proxy;
    this.target = target;
    this.retryable = !isCertificateProblem(options?.cause);
  }
}

/** The proxy answered, and would not let the request through. This says nothing about the target. */
export class ProxyRefusedError extends ProxyEnvError {
  override readonly name = "ProxyRefusedError";
  override readonly code = "proxy-refused";
  /** For an overloaded proxy and one that did not reach the target, but never for wrong credentials. */
  override readonly retryable: boolean;
  readonly proxy: string;
  readonly target: string;
  /** Of the proxy, not of the target. */
  readonly statusCode: number;
  /** Names from `Proxy-Authenticate`, for instance `Basic`. */
  readonly authenticationSchemes: readonly string[];

  constructor({ proxy, target }: ProxyFacts, statusCode: number, authenticationSchemes: readonly string[]) {
    const status = `${statusCode} ${STATUS_CODES[statusCode] ?? ""}`.trimEnd();
    const wanted = authenticationSchemes.length > 0 ? `; it wants ${authenticationSchemes.join(" or ")}` : "";
    // tinyproxy says 401 for wrong credentials.
    const cure = statusCode === 407 || statusCode === 401 ? ". Check user and password in the proxy's URL" : "";
    super(`The proxy ${proxy} refused the way to ${target}: ${status}${wanted}${cure}.`);
    this.proxy = proxy;
    this.target = target;
    this.statusCode = statusCode;
    this.authenticationSchemes = authenticationSchemes;
    this.retryable = RETRYABLE_STATUSES.has(statusCode) || statusCode >= 512;
  }
}

/** The target could not be connected: directly, or through a proxy that did its part. `cause` has the original. */
export class TargetConnectionError extends ProxyEnvError {
  override readonly name = "TargetConnectionError";
  override readonly code = "target-connection";
  /** Unless the target's certificate is the problem. */
  override readonly retryable: boolean;
  /** `host:port` */
  readonly target: string;
  /** `host:port` of the proxy; undefined for a direct connection. */
  readonly proxy: string | undefined;

  /** @param route - how the target was to be reached, to complete "Cannot connect to … (…)" */
  constructor(target: string, proxy: string | undefined, route: string, cause: unknown) {
    super(`Cannot connect to ${target} (${route}): ${messageOf(cause)}`, { cause });
    this.target = target;
    this.proxy = proxy;
    this.retryable = !isCertificateProblem(cause);
  }
}

/** A proxy of a kind that this part of the package does not speak, such as SOCKS. */
export class UnsupportedProxyError extends ProxyEnvError {
  override readonly name = "UnsupportedProxyError";
  override readonly code = "unsupported-proxy";
  override readonly retryable = false;
  readonly proxy: string;

  constructor(proxy: string) {
    super(`The proxy ${proxy} is neither http:// nor https://, and no other kind can be used here.`);
    this.proxy = proxy;
  }
}

const RETRYABLE_STATUSES: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** Errors of a connection to several addresses have an empty message of their own. */
function messageOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.message === "") return messageOf(cause.errors[0]);
  if (!(cause instanceof Error)) return String(cause);
  // OpenSSL tells where in its own sources, and a server without TLS is all that it can mean before a handshake.
  if ("code" in cause && cause.code === "ERR_SSL_WRONG_VERSION_NUMBER") return "what answers there does not speak TLS";
  return cause.message.trim() || cause.name;
}

/** @see https://nodejs.org/api/tls.html#x509-certificate-error-codes */
function isCertificateProblem(cause: unknown): boolean {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return /^(?:ERR_TLS_CERT|CERT_|CRL_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH)/.test(
    code,
  );
}
