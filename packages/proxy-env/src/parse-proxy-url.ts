import { createProxyServer } from "./proxy-server.ts";
import type { ProxyCredentials, ProxyProtocol, ProxyServer } from "./proxy-server.ts";

export interface ParseProxyUrlOptions {
  /** Whether `socks5` and `socks5h` are accepted. @default false */
  readonly socks?: boolean;
}

/** A proxy, or why the text is none. Neither sentence holds a part of the text. */
export type ParsedProxyUrl =
  | { readonly server: ProxyServer; readonly warning?: string }
  | { readonly server?: undefined; readonly problem: string };

/**
 * Reads the value of a proxy variable. Never throws.
 *
 * The text is cut by hand, because a password with raw reserved characters would make a URL parser see another host.
 */
export function parseProxyUrl(text: string, options: ParseProxyUrlOptions = {}): ParsedProxyUrl {
  const value = trimAsciiSpace(text);
  if (!value.isWellFormed()) return { problem: "it is not valid Unicode" };
  if (/\p{Cc}/u.test(value)) return { problem: "it holds a control character, for instance a line break" };
  const [, scheme, rest = ""] = /^(.*?):\/\/(.*)$/.exec(value) ?? [undefined, "http", value];
  const protocol = protocols.get(`${scheme?.toLowerCase()}:`);
  if (protocol === undefined) return { problem: "its scheme is not supported; use http:// or https://" };
  if (protocol.socks && options.socks !== true) {
    return { problem: "SOCKS proxies are not enabled; use http:// or https://" };
  }
  const authorityEnd = rest.search(/[/?#]/);
  const authority = authorityEnd === -1 ? rest : rest.slice(0, authorityEnd);
  const tail = authorityEnd === -1 ? "" : rest.slice(authorityEnd);
  // Without this, http://user:123/x@proxy would be the host "user" at port 123.
  if (tail.includes("@")) return { problem: `it has an "@" behind its host; ${encodeThePassword}` };

  const at = authority.lastIndexOf("@");
  const credentials = at === -1 ? undefined : parseUserInfo(authority.slice(0, at));
  if (credentials === "malformed") return { problem: `an invalid "%" sequence; ${encodeThePassword}` };
  const place = parseHostAndPort(authority.slice(at + 1));
  if ("problem" in place) return place;
  const server = createProxyServer({
    protocol: protocol.name,
    host: place.host,
    port: place.port ?? protocol.defaultPort,
    credentials,
  });
  if (tail === "" || tail === "/") return { server };
  return { server, warning: "the path behind its host was dropped; a proxy has none" };
}

interface Protocol {
  readonly name: ProxyProtocol;
  readonly defaultPort: number;
  readonly socks: boolean;
}

const protocols: ReadonlyMap<string, Protocol> = new Map(
  [
    { name: "http:", defaultPort: 80, socks: false } as const,
    { name: "https:", defaultPort: 443, socks: false } as const,
    { name: "socks5:", defaultPort: 1080, socks: true } as const,
    { name: "socks5h:", defaultPort: 1080, socks: true } as const,
  ].map((protocol) => [protocol.name, protocol]),
);

const encodeThePassword = "percent-encode the password";

function trimAsciiSpace(text: string): string {
  return text.replaceAll(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, "");
}

function parseUserInfo(userInfo: string): ProxyCredentials | undefined | "malformed" {
  const colon = userInfo.indexOf(":");
  try {
    const username = decodeURIComponent(colon === -1 ? userInfo : userInfo.slice(0, colon));
    const password = colon === -1 ? undefined : decodeURIComponent(userInfo.slice(colon + 1));
    return username === "" && (password ?? "") === "" ? undefined : { username, password };
  } catch {
    return "malformed";
  }
}

function parseHostAndPort(text: string): { readonly host: string; readonly port?: number } | { problem: string } {
  const [, rawHost, rawPort = ""] = /^(\[[^[\]]*\]|[^:[\]\\]*)(?::(\d*))?$/.exec(text) ?? [];
  if (rawHost === undefined) return { problem: "what follows the credentials is not host:port" };
  if (rawHost === "") return { problem: "it names no host" };
  const host = canonicalHost(rawHost);
  if (host === undefined) return { problem: "its host is neither a name nor an address" };
  if (rawPort === "") return { host };
  const port = Number(rawPort);
  return port >= 1 && port <= 65_535 ? { host, port } : { problem: "its port is not between 1 and 65535" };
}

/** Lower case, punycode, dotted IPv4, shortest IPv6 in brackets. */
function canonicalHost(rawHost: string): string | undefined {
  const url = `http://${rawHost}/`;
  if (!URL.canParse(url)) return undefined;
  const { hostname } = new URL(url);
  return /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])$/.test(hostname) ? hostname : undefined;
}
