import type { MirroredRegistry } from "./registries.ts";

/** Programs that can be pointed at the mirror. */
export const clients = ["dockerd", "docker-machine", "containerd", "buildkit", "podman", "dind"] as const;

export type Client = (typeof clients)[number];

/** What a client needs, as its own file has it. */
export interface Snippet {
  /** Where it belongs. */
  readonly file: string;
  readonly text: string;
  /** What it covers, and what is to be done besides. */
  readonly remarks: readonly string[];
}

/** The mirror, as clients see it. */
export interface MirrorFacts {
  /** How clients reach it. */
  readonly url: string;
  readonly registries: readonly MirroredRegistry[];
}

/** The configuration of one client. */
export function snippetFor(client: Client, facts: MirrorFacts): Snippet {
  const { url } = facts;
  const { host, protocol } = new URL(url);
  const isPlain = protocol === "http:";
  switch (client) {
    case "dockerd":
      return {
        file: "/etc/docker/daemon.json",
        text: `${JSON.stringify({ "registry-mirrors": [url] }, null, 2)}\n`,
        remarks: [
          "Docker Hub images only. The engine reads it again at SIGHUP; containers keep running.",
          ...builderRemarks(facts),
          ...hubRemarks(facts),
          ...authorityRemarks(facts, `/etc/docker/certs.d/${host}/ca.crt`),
        ],
      };
    case "docker-machine":
      return {
        file: "config.toml, [runners.machine]",
        text: `MachineOptions = ["engine-registry-mirror=${url}"]\n`,
        remarks: [
          "Docker Hub images only. Machines that exist already do not change.",
          ...machineWarnings(url),
          ...hubRemarks(facts),
          ...authorityRemarks(facts, `/etc/docker/certs.d/${host}/ca.crt of the machines' image`),
        ],
      };
    case "containerd":
      return {
        file: "/etc/containerd/certs.d/_default/hosts.toml",
        text: `[host."${url}"]\n  capabilities = ["pull", "resolve"]\n  dial_timeout = "2s"\n`,
        remarks: [
          'config.toml needs config_path = "/etc/containerd/certs.d" in [plugins."io.containerd.grpc.v1.cri".registry] (containerd 1) or [plugins."io.containerd.cri.v1.images".registry] (2); ctr needs --hosts-dir.',
          `For ${hostsOf(facts).join(", ")}; other registries are asked directly.`,
          ...authorityRemarks(facts, 'the system\'s store, or into a file that ca = "..." names below the host'),
        ],
      };
    case "buildkit":
      return {
        file: "buildkitd.toml",
        text: [
          ...hostsOf(facts).map((registry) => `[registry."${registry}"]\n  mirrors = ["${host}"]\n`),
          ...(isPlain ? [`[registry."${host}"]\n  http = true\n`] : []),
        ].join("\n"),
        remarks: [
          "For docker buildx create --config; the docker-container driver does not inherit the engine's mirrors.",
          ...authorityRemarks(
            facts,
            `the system's store, or into a file that [registry."${host}"] names: ca = ["..."]`,
          ),
        ],
      };
    case "podman":
      return {
        file: "/etc/containers/registries.conf.d/mirror.conf",
        text: facts.registries.flatMap((registry) => podmanEntry(registry, host, isPlain)).join("\n"),
        remarks: [
          "Also for Buildah, skopeo and CRI-O.",
          ...facts.registries
            .filter(({ path }) => path === undefined)
            .map(
              ({ host: registry }) =>
                `Not for ${registry}: a name cannot hold its port. A virtual registry with this upstream alone has a path of its own ([virtual.NAME]).`,
            ),
          ...authorityRemarks(facts, `/etc/containers/certs.d/${host}/ca.crt`),
        ],
      };
    default:
      return {
        file: ".gitlab-ci.yml",
        text: `services:\n  - name: docker:dind\n    command: ["--registry-mirror", "${url}"]\n`,
        remarks: [
          "Docker Hub images only. The address must be reachable from the service's container. Not together with a daemon.json that has the same key.",
          ...machineWarnings(url),
          ...hubRemarks(facts),
          ...authorityRemarks(
            facts,
            `/etc/docker/certs.d/${host}/ca.crt of the runner's host, with volumes = ["/etc/docker/certs.d:/etc/docker/certs.d:ro"] in [runners.docker]`,
          ),
        ],
      };
  }
}

function hostsOf({ registries }: MirrorFacts): readonly string[] {
  return registries.map(({ host }) => host);
}

/** An engine's list of mirrors is for Docker Hub; it says nothing of other registries, and asks for names without a host. */
function hubRemarks({ registries, url }: MirrorFacts): readonly string[] {
  const { host, protocol } = new URL(url);
  const hub = registries.find((registry) => registry.host === dockerHub);
  const others = registries.filter(({ host: name }) => name !== dockerHub);
  const named = others.find(({ path }) => path !== undefined && path !== "");
  return [
    ...(hub?.path === ""
      ? []
      : [
          "Warning: the default registry of this mirror is not Docker Hub; engines get what that one calls library/...",
        ]),
    ...(named === undefined
      ? []
      : [
          `Images of ${others.map(({ host: name }) => name).join(", ")} go past the mirror, unless they are named as ${host}/${named.path}/NAME${
            protocol === "http:" ? ` (which needs "insecure-registries": ["${host}"])` : ""
          }, or the engine has the mirror as its HTTP proxy (configure connect).`,
        ]),
  ];
}

/** Loopback addresses are plain for all. @see https://github.com/moby/moby/blob/v20.10.24/daemon/daemon.go */
function builderRemarks({ url }: MirrorFacts): readonly string[] {
  const { host, hostname, protocol } = new URL(url);
  if (protocol !== "http:" || isOwnMachine(hostname)) return [];
  return [
    `docker build with the BuildKit of engines such as 20.10 takes https for granted, and goes past a mirror without TLS, unless there is "insecure-registries": ["http://${host}"], too.`,
  ];
}

function isOwnMachine(hostname: string): boolean {
  return hostname === "localhost" || hostname.startsWith("127.") || hostname === "[::1]";
}

function authorityRemarks({ url }: MirrorFacts, place: string): readonly string[] {
  if (new URL(url).protocol === "http:") return [];
  return [`An authority that the client does not know, of the mirror's certificate, belongs into ${place}.`];
}

function podmanEntry({ host: registry, path }: MirroredRegistry, host: string, isPlain: boolean): readonly string[] {
  if (path === undefined) return [];
  const location = path === "" ? host : `${host}/${path}`;
  return [
    `[[registry]]\nprefix = "${registry}"\nlocation = "${registry}"\n\n[[registry.mirror]]\nlocation = "${location}"\ninsecure = ${isPlain}\n`,
  ];
}

function machineWarnings(url: string): readonly string[] {
  const { hostname } = new URL(url);
  if (!isOwnMachine(hostname)) return [];
  return [
    `Warning: on a new machine or in a container ${hostname} is that itself. Give an address of the mirror with --advertise.`,
  ];
}

const dockerHub = "docker.io";
