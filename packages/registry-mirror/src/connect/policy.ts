import { formatTarget, parseConnectTarget, parseHostEntry } from "./target.ts";
import type { ConnectTarget } from "./target.ts";

/** Which hosts clients are connected to, and how. */
export interface ConnectPolicyOptions {
  /** Registries whose connections are answered by the mirror itself: hosts, with a port unless it is 443. */
  readonly hosts: readonly string[];
  /** Registries that are asked without TLS, in absolute form: hosts, with a port unless it is 80. @default [] */
  readonly httpHosts?: readonly string[];
  /** Of `hosts` and `httpHosts`: those to which pushes are passed on. Their clients must log in by themselves. @default [] */
  readonly pushHosts?: readonly string[];
  /** Hosts whose connections are passed on untouched, with a port unless it is 443. @default [] */
  readonly tunnelHosts?: readonly string[];
  /** What happens to connections to all others. @default "refuse" */
  readonly otherHosts?: "refuse" | "tunnel";
  /** Ports of other hosts that tunnels may lead to. @default [443] */
  readonly tunnelPorts?: readonly number[];
}

/** {@link ConnectPolicyOptions} that were read; hosts are `host:port`. */
export interface ConnectPolicy {
  readonly hosts: ReadonlySet<string>;
  readonly httpHosts: ReadonlySet<string>;
  readonly pushHosts: ReadonlySet<string>;
  readonly tunnelHosts: ReadonlySet<string>;
  readonly otherHosts: "refuse" | "tunnel";
  readonly tunnelPorts: ReadonlySet<number>;
}

/** What is done with a connection. Whether a tunnel's address may be connected to is another question. */
export type ConnectDecision =
  | { readonly kind: "intercept"; readonly target: ConnectTarget }
  | { readonly kind: "tunnel"; readonly target: ConnectTarget; readonly reason: "listed" | "other" | "token-server" }
  | { readonly kind: "refuse"; readonly status: 400 | 403; readonly phrase: string };

/**
 * Reads a policy.
 *
 * @param problems - gets one line for each entry that cannot be read
 */
export function readConnectPolicy(options: ConnectPolicyOptions, problems: string[]): ConnectPolicy {
  const read = (key: "hosts" | "httpHosts" | "pushHosts" | "tunnelHosts", usualPort: number): ReadonlySet<string> =>
    new Set(
      (options[key] ?? []).flatMap((entry) => {
        const target = parseHostEntry(entry, usualPort);
        if (target === undefined) problems.push(`connect.${key}: ${JSON.stringify(entry)} is no host such as quay.io`);
        return target === undefined ? [] : [formatTarget(target)];
      }),
    );
  const policy = {
    hosts: read("hosts", 443),
    httpHosts: read("httpHosts", 80),
    pushHosts: read("pushHosts", 443),
    tunnelHosts: read("tunnelHosts", 443),
    otherHosts: options.otherHosts ?? "refuse",
    tunnelPorts: new Set(options.tunnelPorts ?? [443]),
  };
  for (const host of policy.pushHosts) {
    if (!policy.hosts.has(host) && !policy.httpHosts.has(host)) {
      problems.push(`connect.pushHosts: ${host} is in neither connect.hosts nor connect.httpHosts`);
    }
  }
  for (const port of policy.tunnelPorts) {
    if (!Number.isInteger(port) || port < 1 || port > 65_535)
      problems.push(`connect.tunnelPorts: ${port} is no port such as 443`);
  }
  return policy;
}

/**
 * Decides what a CONNECT request gets.
 *
 * @param text - its target, as it came
 * @param tokenHosts - `host:port` of the token servers that registries send their clients to
 */
export function decideConnect(
  text: string,
  policy: ConnectPolicy,
  tokenHosts: ReadonlySet<string> = new Set(),
): ConnectDecision {
  const target = parseConnectTarget(text);
  if (target === undefined) return refuse(400, "the target of CONNECT must be a host and a port");
  const name = formatTarget(target);
  if (policy.hosts.has(name)) return { kind: "intercept", target };
  if (policy.tunnelHosts.has(name)) return { kind: "tunnel", target, reason: "listed" };
  if (tokenHosts.has(name)) return { kind: "tunnel", target, reason: "token-server" };
  if (policy.otherHosts === "refuse") {
    return refuse(403, `${name} is not on the list (connect.hosts, connect.otherHosts)`);
  }
  if (!policy.tunnelPorts.has(target.port)) {
    return refuse(403, `port ${target.port} of other hosts is not on the list (connect.tunnelPorts)`);
  }
  return { kind: "tunnel", target, reason: "other" };
}

/** All that the user of a refused client gets to see: ASCII, on one line, and short. */
export function refusalPhrase(text: string): string {
  return `fleetfoot-mirror: ${text}`.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, maxPhraseLength);
}

function refuse(status: 400 | 403, text: string): ConnectDecision {
  return { kind: "refuse", status, phrase: refusalPhrase(text) };
}

const maxPhraseLength = 200;
