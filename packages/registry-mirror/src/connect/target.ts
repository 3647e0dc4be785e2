import { isIP, isIPv6 } from "node:net";

/** Where a client wants to be connected to. */
export interface ConnectTarget {
  /** A name in lower case without a dot at its end, or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * Reads the target of a CONNECT request: `host:port`, IPv6 in brackets.
 *
 * @returns undefined for everything else: no port, user info, characters that no host has, more than 300 bytes
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
 */
export function parseConnectTarget(text: string): ConnectTarget | undefined {
  if (text.length > maxTargetLength) return undefined;
  const [, bracketed, plain = "", digits = ""] = /^(?:\[([0-9a-fA-F:.]+)\]|([^[\]:]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (port === 0 || port > 65_535) return undefined;
  if (bracketed !== undefined) return isIPv6(bracketed) ? { host: canonicalIPv6(bracketed), port } : undefined;
  const host = plain.toLowerCase().replace(/\.$/, "");
  return hostName.test(host) && host.length <= maxNameLength ? { host, port } : undefined;
}

/** The form that {@link parseConnectTarget} reads. */
export function formatTarget({ host, port }: ConnectTarget): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/**
 * Reads an entry of a list of hosts: `quay.io`, `reg.example.com:5000`, `[fd00::1]:5000`.
 *
 * @returns undefined when it is none
 */
export function parseHostEntry(text: string, usualPort: number): ConnectTarget | undefined {
  const hasPort = /(?:^[^:]*|\]):\d+$/.test(text);
  const bare = isIP(text) === 6 ? `[${text}]` : text;
  return parseConnectTarget(hasPort ? text : `${bare}:${usualPort}`);
}

/** What the mirror calls a registry: its host, with a port unless that is the usual one. */
export function registryName(target: ConnectTarget, usualPort: number): string {
  const name = formatTarget(target);
  return target.port === usualPort ? name.slice(0, name.lastIndexOf(":")) : name;
}

function canonicalIPv6(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

const maxTargetLength = 300;
/** @see https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4 */
const maxNameLength = 253;
const hostName = /^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?$/;
