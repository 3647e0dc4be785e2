import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeCertificateFolder } from "./certificates.ts";
import { engineRequest } from "./engine-request.ts";
import type { EngineAnswer, EngineRequest } from "./engine-request.ts";
import { systemEnvironment } from "./environment.ts";
import { SystemStartError, SystemUnavailableError } from "./errors.ts";
import { requirePrograms } from "./programs.ts";
import { runProgram } from "./run-program.ts";
import { startSystem } from "./running-system.ts";
import type { RunningSystem } from "./running-system.ts";

/** How to start a Docker engine. */
export interface DockerEngineOptions {
  /** Settings of `daemon.json`. @default none */
  readonly configuration?: Readonly<Record<string, unknown>>;
  /** Registries to the authority (PEM) that it trusts for each, as in `/etc/docker/certs.d`. @default the machine's own */
  readonly registryAuthorities?: Readonly<Record<string, string>>;
  /** More variables for the daemon, such as its proxy. @default none */
  readonly environment?: Readonly<Record<string, string>>;
  /** Addresses of hosts, as the engine sees them, in place of what this machine's `/etc/hosts` says. @default that file */
  readonly hosts?: Readonly<Record<string, string>>;
  /** Authorities of registries and mirrors that have no TLS and that it cannot tell by their address. @default none */
  readonly insecureRegistries?: readonly string[];
  /** Whether it also listens on port 2376 of its network, with TLS. @default false */
  readonly tls?: boolean;
}

/** A running Docker engine without images. */
export interface DockerEngine extends RunningSystem {
  readonly socketPath: string;
  /** What `DOCKER_HOST` takes. */
  readonly dockerHost: string;
  /** How it is reached over the network; undefined unless that was asked for. */
  readonly tls: EngineTls | undefined;
  /**
   * Makes its firewall forget connections to it that are idle, without a word to either end; later packets of them are dropped.
   * It holds for connections that begin afterwards.
   *
   * @param port - of the connections it is about; that of TLS by default
   */
  forgetIdleConnections(afterSeconds: number, port?: number): Promise<void>;
  /** Asks the daemon to end and starts it anew; resolves when it answers again. Containers live on only with `live-restore`. */
  restart(): Promise<void>;
  /** The daemon's process as this machine sees it, for signals; another one after a restart. */
  daemonProcessId(): Promise<number>;
  /** Address of the engine's network as this machine reaches it; published ports of containers listen there. */
  readonly address: string;
  /** Address of this machine as the engine and its containers reach it: bind a server to it that they shall call. */
  readonly hostAddress: string;
  /** Sends one request to the engine's API, for preparing and checking without the client under test. */
  request(request: EngineRequest): Promise<EngineAnswer>;
}

/** What a client needs to reach an engine with TLS. */
export interface EngineTls {
  /** What `DOCKER_HOST` takes. */
  readonly host: string;
  /** Folder with `ca.pem`, `cert.pem` and `key.pem`, as docker-machine lays it out. */
  readonly certificatePath: string;
}

const tlsPort = 2376;

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
link=$1 hostAddress=$2 address=$3 hosts=$4 again=$5 settings=$6
shift 6
if [ -e "$hosts" ]; then mount --bind "$hosts" /etc/hosts; fi
if [ -n "$settings" ]; then mkdir -p /etc/docker; mount --bind "$settings" /etc/docker; fi
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
while :; do
  code=0
  "$@" || code=$?
  if [ ! -e "$again" ]; then exit $code; fi
  rm "$again"
done
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
      if (options.tls === true) await layOutCertificates(folder, address);
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
      daemon.push(...(options.insecureRegistries ?? []).map((authority) => `--insecure-registry=${authority}`));
      if (options.tls === true) daemon.push(...tlsFlags(folder, address));
      const hosts = join(folder, "hosts");
      if (options.hosts !== undefined) await writeFile(hosts, hostsFile(options.hosts));
      const { registryAuthorities } = options;
      const settings =
        registryAuthorities === undefined ? "" : await layOutAuthorities(join(folder, "settings"), registryAuthorities);
      const own = [link, hostAddress, address, hosts, restartMark(folder), settings];
      const inside = [namespaceScript, "engine", ...own, ...daemon];
      return {
        command: ["sh", "-c", machineScript, "machine", ...inside],
        environment: systemEnvironment(folder, options.environment),
        ownNamespaces: true,
        controlGroup,
        networkLink: link,
      };
    },
    isReady: ({ folder }) => isUp(folder),
  });
  return {
    ...system,
    socketPath: socketPath(system.folder),
    dockerHost: dockerHost(system.folder),
    tls:
      options.tls === true
        ? { host: `tcp://${address}:${tlsPort}`, certificatePath: join(system.folder, "tls") }
        : undefined,
    forgetIdleConnections: (afterSeconds, port = tlsPort) =>
      forgetIdleConnections(system.processId, afterSeconds, port),
    restart: () => restart(system.processId, system.folder),
    daemonProcessId: () => daemonOf(system.folder),
    address,
    hostAddress,
    request: (request) => engineRequest(socketPath(system.folder), request),
  };
}

/** @see https://man7.org/linux/man-pages/man5/hosts.5.html */
function hostsFile(hosts: Readonly<Record<string, string>>): string {
  const lines = Object.entries(hosts).map(([host, address]) => `${address} ${host}\n`);
  return `127.0.0.1 localhost\n${lines.join("")}`;
}

/** @see https://docs.docker.com/engine/security/certificates/ */
async function layOutAuthorities(folder: string, authorities: Readonly<Record<string, string>>): Promise<string> {
  await mkdir(folder);
  for (const [registry, certificate] of Object.entries(authorities)) {
    await mkdir(join(folder, "certs.d", registry), { recursive: true });
    await writeFile(join(folder, "certs.d", registry, "ca.crt"), certificate);
  }
  return folder;
}

async function layOutCertificates(folder: string, address: string): Promise<void> {
  await using certificates = await makeCertificateFolder();
  const authority = await certificates.makeAuthority("engine");
  const [server, client] = await Promise.all([authority.issue(`IP:${address}`), authority.issue()]);
  const files = {
    "ca.pem": authority.certificate,
    "server.pem": server.certificate,
    "server-key.pem": server.key,
    "cert.pem": client.certificate,
    "key.pem": client.key,
  };
  await mkdir(join(folder, "tls"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, "tls", name), text, { mode: 0o600 });
}

function tlsFlags(folder: string, address: string): readonly string[] {
  const file = (name: string): string => join(folder, "tls", name);
  return [
    `--host=tcp://${address}:${tlsPort}`,
    "--tlsverify",
    `--tlscacert=${file("ca.pem")}`,
    `--tlscert=${file("server.pem")}`,
    `--tlskey=${file("server-key.pem")}`,
  ];
}

/** Packets of a flow that the connection tracking has forgotten count as invalid, since it may not pick up flows in the middle. */
async function forgetIdleConnections(processId: number, afterSeconds: number, port: number): Promise<void> {
  const settings = "/proc/sys/net/netfilter/nf_conntrack_tcp";
  const script = [
    "set -e",
    "iptables -F forgetful 2>/dev/null || iptables -N forgetful",
    `for direction in "INPUT --dport" "OUTPUT --sport"; do set -- $direction; rule="$1 -p tcp $2 ${port} -j forgetful"; iptables -C $rule 2>/dev/null || iptables -I $rule; done`,
    "iptables -A forgetful -p tcp --syn -j RETURN",
    "iptables -A forgetful -m conntrack --ctstate ESTABLISHED -j RETURN",
    "iptables -A forgetful -j DROP",
    `echo 0 > ${settings}_loose`,
    `echo ${afterSeconds} > ${settings}_timeout_established`,
  ].join("\n");
  await runProgram("nsenter", [`--net=/proc/${processId}/ns/net`, "sh", "-c", script], {
    environment: systemEnvironment("/"),
  });
}

const restartPollMs = 50;
const restartDeadlineMs = 60_000;

async function restart(processId: number, folder: string): Promise<void> {
  await writeFile(restartMark(folder), "");
  const place = `/proc/${processId}/ns`;
  const inside = [`--pid=${place}/pid_for_children`, `--mount=${place}/mnt`];
  const stop = `kill -TERM "$(cat '${join(folder, "pid")}')"`;
  await runProgram("nsenter", [...inside, "sh", "-c", stop], { environment: systemEnvironment("/") });
  const deadline = performance.now() + restartDeadlineMs;
  // The mark goes when the old daemon has gone.
  while (existsSync(restartMark(folder)) || !(await isUp(folder))) {
    if (performance.now() > deadline) {
      throw new SystemStartError("docker-engine", `it does not serve ${restartDeadlineMs} ms after a restart`, "");
    }
    await sleep(restartPollMs);
  }
}

async function daemonOf(folder: string): Promise<number> {
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const words = (await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "")).split("\0");
    if (words[0]?.endsWith("dockerd") === true && words.includes(`--config-file=${join(folder, "daemon.json")}`))
      return Number(entry);
  }
  throw new Error("the engine's daemon was not found");
}

async function isUp(folder: string): Promise<boolean> {
  try {
    return (await engineRequest(socketPath(folder), { method: "GET", path: "/_ping" })).status === 200;
  } catch {
    // Not yet.
    return false;
  }
}

/** While it is there, the end of the daemon is the beginning of the next one. */
function restartMark(folder: string): string {
  return join(folder, "restart");
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
