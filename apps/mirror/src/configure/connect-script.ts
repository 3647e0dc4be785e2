import { BlockList, isIP, isIPv6 } from "node:net";
import { portableNoProxy } from "@fleetfoot/proxy-env";
import { canonicalHost } from "@fleetfoot/registry-mirror";

/** Programs that can be given an HTTP proxy. */
export const connectClients = ["dockerd", "containerd", "podman"] as const;

export type ConnectClient = (typeof connectClients)[number];

export interface ConnectFacts {
  /** Of the mirror, as the client reaches it. */
  readonly url: string;
  /** Registries that are intercepted, in lower case and with a port unless it is the usual one. */
  readonly hosts: readonly string[];
  readonly httpHosts: readonly string[];
  /** What clients reach without the proxy besides private addresses and the mirror itself: hosts, `.domains`, ranges. */
  readonly noProxy: readonly string[];
  /** PEM. */
  readonly certificate: string;
  readonly fingerprint: string;
}

/** A script for `sh`, to be run as root on the client. The certificate is in it, since what comes by plain HTTP proves nothing. */
export function connectScript(
  client: ConnectClient,
  facts: ConnectFacts,
): { readonly text: string; readonly remarks: readonly string[] } {
  const { certificate, fingerprint, hosts, url } = facts;
  const folder = { dockerd: "/etc/docker/certs.d", containerd: undefined, podman: "/etc/containers/certs.d" }[client];
  // dockerd looks for authorities of Docker Hub in the system's store only.
  const inStore = folder === undefined ? hosts : hosts.filter((host) => client === "dockerd" && isHub(host));
  const inFolder = folder === undefined ? [] : hosts.filter((host) => !inStore.includes(host));
  const lines = [
    "#!/bin/sh",
    `# Makes ${client} use the mirror at ${new URL(url).host} as its HTTP proxy.`,
    `# Certificate authority: SHA-256 ${fingerprint}`,
    "set -e",
    "authority=$(mktemp)",
    `cat > "$authority" <<'END'`,
    certificate.trimEnd(),
    "END",
    ...inFolder.map((host) => `install -D -m 0644 "$authority" "${folder}/${host}/ca.crt"`),
    ...(inStore.length === 0
      ? []
      : [
          `# Of the system, for ${inStore.join(", ")}.`,
          'if [ -d /etc/pki/ca-trust/source/anchors ]; then install -m 0644 "$authority" /etc/pki/ca-trust/source/anchors/fleetfoot-mirror.crt; update-ca-trust',
          'else install -D -m 0644 "$authority" /usr/local/share/ca-certificates/fleetfoot-mirror.crt; update-ca-certificates; fi',
        ]),
    'rm "$authority"',
    ...variables(client, facts),
  ];
  const remarks = [
    ...(inStore.length === 0
      ? []
      : [
          `${client} takes the authority for ${inStore.join(", ")} from the system's store only, and reads it at its start.`,
        ]),
    "Everything internal belongs into NO_PROXY (--no-proxy), private addresses are in it; while the mirror is away, every pull fails.",
  ];
  return { text: `${lines.join("\n")}\n`, remarks };
}

function variables(client: ConnectClient, facts: ConnectFacts): readonly string[] {
  const { httpHosts, url } = facts;
  const pairs = [
    ["HTTPS_PROXY", url],
    ...(httpHosts.length > 0 ? [["HTTP_PROXY", url]] : []),
    ["NO_PROXY", direct(facts)],
  ];
  if (client === "podman") {
    return [
      "cat > /etc/profile.d/fleetfoot-mirror.sh <<'END'",
      ...pairs.map(([name, value]) => `export ${name}='${value}'`),
      "END",
    ];
  }
  const service = client === "dockerd" ? "docker" : "containerd";
  const dropIn = `/etc/systemd/system/${service}.service.d/fleetfoot-mirror.conf`;
  return [
    `install -d ${dropIn.slice(0, dropIn.lastIndexOf("/"))}`,
    `cat > ${dropIn} <<'END'`,
    "[Service]",
    ...pairs.map(([name, value]) => `Environment="${name}=${value}"`),
    "END",
    `systemctl daemon-reload && systemctl restart ${service}`,
  ];
}

/** What is reached without the proxy: it refuses private addresses, except for registries that are listed by such a one. */
function direct({ hosts, httpHosts, noProxy, url }: ConnectFacts): string {
  const { host, hostname } = new URL(url);
  const listed = [...hosts, ...httpHosts].map((entry) => new URL(`http://${entry}`).hostname.replace(/^\[|\]$/g, ""));
  const ranges = privateRanges.filter(({ address, prefix }) => {
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    const range = new BlockList();
    range.addSubnet(address, prefix, family);
    return !listed.some((one) => isIP(one) !== 0 && range.check(one, isIPv6(one) ? "ipv6" : "ipv4"));
  });
  const own = [hostname.replace(/^\[|\]$/g, ""), host];
  return portableNoProxy([...ranges.map(({ address, prefix }) => `${address}/${prefix}`), ...own, ...noProxy]).value;
}

const privateRanges = [
  { address: "10.0.0.0", prefix: 8 },
  { address: "172.16.0.0", prefix: 12 },
  { address: "192.168.0.0", prefix: 16 },
  { address: "fc00::", prefix: 7 },
];

function isHub(host: string): boolean {
  return canonicalHost(host) === "docker.io";
}
