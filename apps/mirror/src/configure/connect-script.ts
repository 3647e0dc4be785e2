/** Programs that can be given an HTTP proxy. */
export const connectClients = ["dockerd", "containerd", "podman"] as const;

export type ConnectClient = (typeof connectClients)[number];

export interface ConnectFacts {
  /** Of the mirror, as the client reaches it. */
  readonly url: string;
  /** Registries that are intercepted. */
  readonly hosts: readonly string[];
  readonly httpHosts: readonly string[];
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
    ...inFolder.map((host) => `install -D -m 0644 "$authority" ${folder}/${host}/ca.crt`),
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
    "Everything internal belongs into NO_PROXY; while the mirror is away, every pull fails.",
  ];
  return { text: `${lines.join("\n")}\n`, remarks };
}

function variables(client: ConnectClient, { httpHosts, url }: ConnectFacts): readonly string[] {
  const names = ["HTTPS_PROXY", ...(httpHosts.length > 0 ? ["HTTP_PROXY"] : [])];
  if (client === "podman") {
    return ["cat > /etc/profile.d/fleetfoot-mirror.sh <<'END'", ...names.map((name) => `export ${name}=${url}`), "END"];
  }
  const service = client === "dockerd" ? "docker" : "containerd";
  const dropIn = `/etc/systemd/system/${service}.service.d/fleetfoot-mirror.conf`;
  return [
    `install -d ${dropIn.slice(0, dropIn.lastIndexOf("/"))}`,
    `cat > ${dropIn} <<'END'`,
    "[Service]",
    ...names.map((name) => `Environment="${name}=${url}"`),
    "END",
    `systemctl daemon-reload && systemctl restart ${service}`,
  ];
}

function isHub(host: string): boolean {
  return ["docker.io", "index.docker.io", "registry-1.docker.io"].includes(host.replace(/:443$/, ""));
}
