import { randomInt } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { engineRequest } from "./engine-request.ts";
import type { EngineAnswer, EngineRequest } from "./engine-request.ts";
import { systemEnvironment } from "./environment.ts";
import { SystemUnavailableError } from "./errors.ts";
import { requirePrograms } from "./programs.ts";
import { startSystem } from "./running-system.ts";
import type { RunningSystem } from "./running-system.ts";

/** How to start a Docker engine. */
export interface DockerEngineOptions {
  /** Settings of `daemon.json`. @default none */
  readonly configuration?: Readonly<Record<string, unknown>>;
  /** More variables for the daemon, such as its proxy. @default none */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A running Docker engine without images. */
export interface DockerEngine extends RunningSystem {
  readonly socketPath: string;
  /** What `DOCKER_HOST` takes. */
  readonly dockerHost: string;
  /** Address of the engine's network as this machine reaches it; published ports of containers listen there. */
  readonly address: string;
  /** Address of this machine as the engine and its containers reach it: bind a server to it that they shall call. */
  readonly hostAddress: string;
  /** Sends one request to the engine's API, for preparing and checking without the client under test. */
  request(request: EngineRequest): Promise<EngineAnswer>;
}

/** Every engine gets an address pair from this network; registries in it need no TLS. */
const engineNetwork = { prefix: "10.199", cidr: "10.199.0.0/16" };

/**
 * Runs as the first process of the engine's namespaces: makes the link to this machine, then the daemon. Everything it
 * makes (mounts, rules, bridges, links) belongs to the namespaces and goes with them. The shell stays first, because the
 * first process must collect ended container processes, and the daemon does not.
 *
 * File descriptor 3 is this machine's network namespace.
 */
const namespaceScript = `
set -e
link=$1 hostAddress=$2 address=$3
shift 3
ip link set lo up
ip link add "$link" type veth peer name eth0
ip link set "$link" netns /proc/self/fd/3
nsenter --net=/proc/self/fd/3 ip address add "$hostAddress/30" dev "$link"
nsenter --net=/proc/self/fd/3 ip link set "$link" up
ip address add "$address/30" dev eth0
ip link set eth0 up
ip route add default via "$hostAddress"
exec 3<&-
# An engine prefers the machine's own containerd, whose containers would live outside of these namespaces.
if [ -d /run/containerd ]; then mount -t tmpfs none /run/containerd; fi
"$@"
exit $?
`;

const machineScript = `exec 3</proc/self/ns/net
exec unshare --mount --net --ipc --pid --fork --kill-child --mount-proc sh -c "$@"`;

/**
 * Starts a Docker engine in namespaces of its own: several run side by side, each with its own bridge and firewall rules,
 * and none leaves anything behind.
 *
 * @throws {SystemUnavailableError} not Linux, not root, or the engine cannot be installed
 */
export async function startDockerEngine(options: DockerEngineOptions = {}): Promise<DockerEngine> {
  const obstacle = whyNoDockerEngine();
  if (obstacle !== undefined) throw new SystemUnavailableError("docker-engine", obstacle);
  const why = "the tests that need a real Docker engine";
  // All that the engine runs is named: while another process installs, some of it may be there already and some not.
  const { dockerd } = await requirePrograms(["containerd", "dockerd", "ip", "iptables", "runc"], why);
  const { hostAddress, address } = chooseAddresses();
  const system = await startSystem({
    system: "docker-engine",
    version: dockerd.version,
    usesPort: false,
    order: async ({ folder }) => {
      const configurationFile = join(folder, "daemon.json");
      await writeFile(configurationFile, JSON.stringify(options.configuration ?? {}));
      const controlGroup = `fleetfoot-${address.replaceAll(".", "-")}`;
      const link = `ff-${address.split(".").slice(2).join("-")}`;
      const flags = {
        "config-file": configurationFile,
        host: dockerHost(folder),
        "data-root": join(folder, "data"),
        "exec-root": join(folder, "exec"),
        pidfile: join(folder, "pid"),
        "cgroup-parent": `/${controlGroup}`,
        "insecure-registry": engineNetwork.cidr,
      };
      const daemon = [dockerd.path, ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`)];
      const inside = [namespaceScript, "engine", link, hostAddress, address, ...daemon];
      return {
        command: ["sh", "-c", machineScript, "machine", ...inside],
        environment: systemEnvironment(folder, options.environment),
        ownNamespaces: true,
        controlGroup,
        networkLink: link,
      };
    },
    isReady: async ({ folder }) =>
      (await engineRequest(socketPath(folder), { method: "GET", path: "/_ping" })).status === 200,
  });
  return {
    ...system,
    socketPath: socketPath(system.folder),
    dockerHost: dockerHost(system.folder),
    address,
    hostAddress,
    request: (request) => engineRequest(socketPath(system.folder), request),
  };
}

/** What stands in the way of a Docker engine on this machine; undefined when nothing is known to. */
function whyNoDockerEngine(): string | undefined {
  if (process.platform !== "linux") return "it needs Linux";
  if (process.getuid?.() !== 0) return "only root may start a Docker engine";
  return undefined;
}

function socketPath(folder: string): string {
  return join(folder, "engine.sock");
}

function dockerHost(folder: string): string {
  return `unix://${socketPath(folder)}`;
}

/** A network of two addresses that no interface of this machine is in. */
function chooseAddresses(): { readonly hostAddress: string; readonly address: string } {
  const taken = new Set(
    Object.values(networkInterfaces())
      .flat()
      .map((address) => address?.address),
  );
  for (;;) {
    const network = `${engineNetwork.prefix}.${randomInt(256)}`;
    const first = randomInt(64) * 4;
    const hostAddress = `${network}.${first + 1}`;
    if (!taken.has(hostAddress)) return { hostAddress, address: `${network}.${first + 2}` };
  }
}
