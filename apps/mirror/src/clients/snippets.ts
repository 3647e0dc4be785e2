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

/**
 * The configuration of one client.
 *
 * @param url - of the mirror, as the client reaches it
 */
export function snippetFor(client: Client, url: string): Snippet {
  const { host, protocol } = new URL(url);
  const isPlain = protocol === "http:";
  switch (client) {
    case "dockerd":
      return {
        file: "/etc/docker/daemon.json",
        text: `${JSON.stringify({ "registry-mirrors": [url] }, null, 2)}\n`,
        remarks: ["Docker Hub images only. The engine reads it again at SIGHUP; containers keep running."],
      };
    case "docker-machine":
      return {
        file: "config.toml, [runners.machine]",
        text: `MachineOptions = ["engine-registry-mirror=${url}"]\n`,
        remarks: ["Machines that exist already do not change.", ...machineWarnings(url)],
      };
    case "containerd":
      return {
        file: "/etc/containerd/certs.d/_default/hosts.toml",
        text: `[host."${url}"]\n  capabilities = ["pull", "resolve"]\n  dial_timeout = "2s"\n`,
        remarks: [
          'config.toml needs config_path = "/etc/containerd/certs.d" in the registry section.',
          "Every registry that the mirror is configured for; the others are asked directly.",
        ],
      };
    case "buildkit":
      return {
        file: "buildkitd.toml",
        text: `[registry."docker.io"]\n  mirrors = ["${host}"]\n\n[registry."${host}"]\n  http = ${isPlain}\n`,
        remarks: [
          "For docker buildx create --config; the docker-container driver does not inherit the engine's mirrors.",
        ],
      };
    case "podman":
      return {
        file: "/etc/containers/registries.conf.d/mirror.conf",
        text: `[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n\n[[registry.mirror]]\nlocation = "${host}"\ninsecure = ${isPlain}\n`,
        remarks: ["Also for Buildah, skopeo and CRI-O."],
      };
    default:
      return {
        file: ".gitlab-ci.yml",
        text: `services:\n  - name: docker:dind\n    command: ["--registry-mirror", "${url}"]\n`,
        remarks: [
          "The address must be reachable from the service's container. Not together with a daemon.json that has the same key.",
        ],
      };
  }
}

/**
 * What is wrong with a mirror's URL for docker-machine, which pastes it into a line of a shell.
 *
 * @returns undefined when nothing is
 */
export function mirrorUrlProblem(url: string): string | undefined {
  if (/[\s"'`$\\;&|<>()]/.test(url)) return "it has a character that a shell would read";
  if (!URL.canParse(url)) return "it is no URL";
  const { hash, host, password, pathname, protocol, search, username } = new URL(url);
  if (protocol !== "http:" && protocol !== "https:") return "it must begin with http:// or https://";
  if (username !== "" || password !== "") return "it must not hold credentials";
  if (host === "" || search !== "" || hash !== "" || pathname !== "/") return "it must be a host and a port only";
  return undefined;
}

function machineWarnings(url: string): readonly string[] {
  const { hostname } = new URL(url);
  if (hostname !== "localhost" && !hostname.startsWith("127.") && hostname !== "[::1]") return [];
  return [
    `Warning: on a new machine ${hostname} is that machine itself. Give an address of the mirror with --advertise.`,
  ];
}
