import { findMatch, isLoopbackTarget, targetOf } from "./no-proxy/match.ts";
import type { ProxyServer } from "./proxy-server.ts";
import type { ProxySettings } from "./settings.ts";

/** How to reach one target. */
export type ProxyDecision =
  | { readonly proxy: ProxyServer; readonly reason: "proxied" }
  | { readonly proxy: undefined; readonly reason: DirectReason };

/**
 * Why a target is reached directly:
 *
 * - `no-variable`: there is no proxy for its scheme
 * - `loopback`: it is this machine
 * - `no-proxy:ENTRY`: this entry of the bypass list covers it
 */
export type DirectReason = "no-variable" | "loopback" | `no-proxy:${string}`;

/**
 * Decides about one URL. A pure function: no name is resolved and nothing else is read.
 *
 * @param url - a URL; `ws:` and `wss:` count as `http:` and `https:`, any other scheme has no proxy
 */
export function decideProxy(settings: ProxySettings, url: URL): ProxyDecision {
  const scheme = schemes.get(url.protocol);
  const proxy = scheme && (settings[scheme.name] ?? settings.all);
  if (proxy === undefined) return { proxy: undefined, reason: "no-variable" };
  const target = targetOf(url, scheme?.defaultPort ?? "", settings.stripTrailingDot);
  if (settings.loopbackBypass && isLoopbackTarget(target)) return { proxy: undefined, reason: "loopback" };
  const entry = findMatch(settings.noProxy, target);
  return entry === undefined ? { proxy, reason: "proxied" } : { proxy: undefined, reason: `no-proxy:${entry.text}` };
}

const http = { name: "http", defaultPort: "80" } as const;
const https = { name: "https", defaultPort: "443" } as const;

const schemes: ReadonlyMap<string, typeof http | typeof https> = new Map<string, typeof http | typeof https>([
  ["http:", http],
  ["ws:", http],
  ["https:", https],
  ["wss:", https],
]);
