import { canonicalHost } from "@fleetfoot/registry-mirror";
import type { UpstreamOptions } from "@fleetfoot/registry-mirror";
// Types only: the certificate library stays unloaded until the mode is on.
import type { ConnectPolicyOptions, ProxyUsers } from "@fleetfoot/registry-mirror/connect";
import type { Section } from "./section.ts";

/** How the mirror serves clients that can only be given an HTTP proxy. */
export interface ConnectSettings {
  readonly policy: ConnectPolicyOptions;
  /** Files of an authority of somebody else; undefined for one of its own. */
  readonly ca: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** Whether its own authority holds for the listed hosts only. */
  readonly constrain: boolean;
  readonly users: ProxyUsers | undefined;
}

/** What `[connect]` says, and the upstreams that its hosts need besides those that are configured. */
export interface ReadConnect {
  readonly settings: ConnectSettings | undefined;
  readonly upstreams: Readonly<Record<string, UpstreamOptions>>;
}

/** Reads `[connect]`. Hosts that no upstream has become upstreams of their own. */
export function readConnectSettings(
  section: Section | undefined,
  isWanted: boolean,
  upstreams: Readonly<Record<string, UpstreamOptions>>,
  problems: string[],
): ReadConnect {
  const isEnabled = section?.flag("enabled") === true || isWanted;
  const listed = section?.texts("hosts") ?? [];
  const httpHosts = section?.texts("httpHosts") ?? [];
  const tunnelPorts = section?.numbers("tunnelPorts");
  const otherHosts = section?.choice("otherHosts", ["refuse", "tunnel"] as const);
  const policy: ConnectPolicyOptions = {
    hosts: listed.length > 0 || httpHosts.length > 0 ? listed : defaultHosts(upstreams),
    httpHosts,
    pushHosts: section?.texts("pushHosts") ?? [],
    tunnelHosts: section?.texts("tunnelHosts") ?? [],
    ...(otherHosts === undefined ? {} : { otherHosts }),
    ...(tunnelPorts === undefined ? {} : { tunnelPorts }),
  };
  const [certFile, keyFile] = [section?.text("caCert"), section?.text("caKey")];
  if ((certFile === undefined) !== (keyFile === undefined)) {
    problems.push("connect.caCert and connect.caKey belong together");
  }
  const users = usersOf(section?.texts("proxyAuth") ?? [], problems);
  const constrain = section?.flag("nameConstraints") ?? true;
  section?.end();
  if (!isEnabled) return { settings: undefined, upstreams };
  const all: Record<string, UpstreamOptions> = { ...upstreams };
  for (const [scheme, hosts] of [
    ["https", policy.hosts],
    ["http", httpHosts],
  ] as const) {
    for (const host of hosts) {
      const isKnown = Object.values(all).some((upstream) => hostsOf(upstream).includes(canonicalHost(host)));
      if (!isKnown) all[host.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")] = { url: `${scheme}://${host}` };
    }
  }
  const ca = certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile };
  return { settings: { policy, ca, constrain, users }, upstreams: all };
}

/** The hosts that engines ask for images of the configured upstreams, as far as they speak TLS. */
function defaultHosts(upstreams: Readonly<Record<string, UpstreamOptions>>): readonly string[] {
  const hosts = Object.values(upstreams).flatMap(({ hosts: aliases = [], url }) => {
    const own = URL.canParse(url) && url.startsWith("https:") ? [new URL(url).host] : [];
    return [...own, ...aliases].map((host) => (canonicalHost(host) === "docker.io" ? "registry-1.docker.io" : host));
  });
  return [...new Set(hosts)];
}

function hostsOf({ hosts = [], url }: UpstreamOptions): readonly string[] {
  return [...(URL.canParse(url) ? [new URL(url).host] : []), ...hosts].map(canonicalHost);
}

function usersOf(lines: readonly string[], problems: string[]): ProxyUsers | undefined {
  if (lines.length === 0) return undefined;
  const users: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) problems.push("connect.proxyAuth: an entry is what fleetfoot-mirror configure proxy-user prints");
    else users[line.slice(0, colon)] = line.slice(colon + 1);
  }
  return users;
}
