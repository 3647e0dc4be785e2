/** How to talk to a proxy. The scheme is the proxy's own, not the target's. */
export type ProxyProtocol = "http:" | "https:" | "socks5:" | "socks5h:";

/** What a proxy asks for, decoded. */
export interface ProxyCredentials {
  readonly username: string;
  /** Undefined when the URL has a user only; an empty password is sent then. */
  readonly password: string | undefined;
}

/** One proxy. Printed, logged or turned into JSON, it shows no credentials. */
export interface ProxyServer {
  readonly protocol: ProxyProtocol;
  /** Name or address in canonical form, IPv6 without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** `host:port`, IPv6 in brackets: for messages, and for the first line of a request. */
  readonly address: string;
  /** User and password, which must not be printed. */
  credentials(): ProxyCredentials | undefined;
  /** Value of `Proxy-Authorization`; undefined without credentials. @see https://www.rfc-editor.org/rfc/rfc7617 */
  authorization(): string | undefined;
  /** The canonical URL with its credentials, for child processes and clients that are given a URL. */
  reveal(): string;
  /** The URL with its credentials replaced. */
  toString(): string;
  toJSON(): string;
}

export interface ProxyServerParts {
  readonly protocol: ProxyProtocol;
  /** Canonical host as a URL has it: IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
  readonly credentials: ProxyCredentials | undefined;
}

/** Makes the value of one proxy. */
export function createProxyServer(parts: ProxyServerParts): ProxyServer {
  return Object.freeze(new RedactedProxyServer(parts));
}

class RedactedProxyServer implements ProxyServer {
  readonly protocol: ProxyProtocol;
  readonly hostname: string;
  readonly port: number;
  readonly address: string;
  readonly #credentials: ProxyCredentials | undefined;

  constructor({ protocol, host, port, credentials }: ProxyServerParts) {
    this.protocol = protocol;
    this.hostname = host.replaceAll(/^\[|\]$/g, "");
    this.port = port;
    this.address = `${host}:${port}`;
    this.#credentials = credentials;
  }

  credentials(): ProxyCredentials | undefined {
    return this.#credentials;
  }

  authorization(): string | undefined {
    if (this.#credentials === undefined) return undefined;
    const { username, password = "" } = this.#credentials;
    return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  }

  reveal(): string {
    if (this.#credentials === undefined) return `${this.protocol}//${this.address}`;
    const { username, password } = this.#credentials;
    const secret = password === undefined ? "" : `:${percentEncode(password)}`;
    return `${this.protocol}//${percentEncode(username)}${secret}@${this.address}`;
  }

  toString(): string {
    return `${this.protocol}//${this.#credentials === undefined ? "" : "***:***@"}${this.address}`;
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

/** Encodes everything but the unreserved characters. @see https://www.rfc-editor.org/rfc/rfc3986#section-2.3 */
export function percentEncode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
