import { domainToASCII } from "node:url";

import { parseAddress, parseRange } from "./ip-address.ts";
import type { AddressBytes, AddressRange } from "./ip-address.ts";

/** One entry of a bypass list. */
export type NoProxyEntry = {
  /** The entry as it was written, without white space around it. */
  readonly text: string;
} & (
  | { readonly kind: "all" }
  | { readonly kind: "range"; readonly range: AddressRange }
  | {
      readonly kind: "address";
      readonly address: AddressBytes;
      /** Empty for every port. */
      readonly port: string;
    }
  | {
      readonly kind: "name";
      /** In lower case and punycode, without the dot in front. */
      readonly name: string;
      /** Whether the name itself is meant, too, and not its sub-domains only. */
      readonly includesApex: boolean;
      /** Empty for every port. */
      readonly port: string;
    }
);

export interface ParseNoProxyOptions {
  /** Splits at white space as well as at commas. @default false */
  readonly lenientSeparators?: boolean;
  /** Takes `example.com.` for `example.com`, in the list and in targets. @default false */
  readonly stripTrailingDot?: boolean;
}

/**
 * Reads a bypass list by the rules of Go. Never throws: a piece that means nothing becomes an entry that matches nothing,
 * or none at all.
 *
 * @see https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config
 */
export function parseNoProxy(text: string, options: ParseNoProxyOptions = {}): readonly NoProxyEntry[] {
  const pieces = text.split(options.lenientSeparators ? /[\s,]/ : ",");
  return pieces.map((piece) => piece.trim()).flatMap((piece) => parseEntry(piece, options) ?? []);
}

function parseEntry(text: string, options: ParseNoProxyOptions): NoProxyEntry | undefined {
  if (text === "*") return { kind: "all", text };
  const piece = text.toLowerCase();
  const range = parseRange(piece);
  if (range !== undefined) return { kind: "range", text, range };
  const { host, port } = splitHostPort(piece) ?? { host: piece, port: "" };
  if (host === "") return undefined;
  const address = parseAddress(host);
  if (address !== undefined) return { kind: "address", text, address, port };
  const suffix = host.startsWith("*.") ? host.slice(1) : host;
  const includesApex = !suffix.startsWith(".");
  const name = toAscii(includesApex ? suffix : suffix.slice(1));
  return { kind: "name", text, name: options.stripTrailingDot ? withoutDot(name) : name, includesApex, port };
}

/** Takes one dot from the end of a name. */
export function withoutDot(name: string): string {
  return name.endsWith(".") ? name.slice(0, -1) : name;
}

/** Go's `net.SplitHostPort`: `name:port`, `1.2.3.4:port`, `[v6]:port`, and nothing for everything else. */
function splitHostPort(text: string): { readonly host: string; readonly port: string } | undefined {
  const [, bracketed, plain, port = ""] = /^(?:\[([^[\]]*)\]|([^:[\]]*)):([^:[\]]*)$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  return host === undefined ? undefined : { host, port };
}

function toAscii(name: string): string {
  // eslint-disable-next-line no-control-regex -- all of ASCII
  if (/^[\u0000-\u007f]*$/.test(name)) return name;
  return domainToASCII(name) || name;
}
