import { readFile } from "node:fs/promises";
import { isIP } from "node:net";

import type Dockerode from "dockerode";

import { DockerConfigurationError, messageOf } from "../errors.ts";
import { matchesAny } from "../image/patterns.ts";
import type { DockerSettings } from "../types.ts";
import { engineMounts } from "./mounts.ts";
import type { VolumeMount } from "./mounts.ts";
import { parseCpus, parseSize } from "./sizes.ts";

export interface HostConfigFacts {
  readonly settings: DockerSettings;
  readonly kind: "build" | "service";
  /** Name of the image as the job or the configuration writes it. */
  readonly image: string;
  readonly mounts: readonly VolumeMount[];
  readonly extraHosts: readonly string[];
  /** Network of the job's own; undefined: the configured one. */
  readonly network: string | undefined;
}

/**
 * What the engine is told about a container's host side.
 *
 * @throws {DockerConfigurationError} a setting that cannot be honoured
 * @see job-execution 2.6
 */
export async function hostConfig(facts: HostConfigFacts): Promise<Dockerode.HostConfig> {
  const { settings, kind, image, mounts, extraHosts, network } = facts;
  const resources = kind === "build" ? buildResources(settings) : serviceResources(settings);
  const build = kind === "build";
  const networkMode = network ?? settings.networkMode;
  checkDns(settings.dns ?? []);
  return compact({
    ...resources,
    ShmSize: settings.shmSizeBytes,
    ...engineMounts(mounts),
    Tmpfs: build ? settings.tmpfs : settings.servicesTmpfs,
    Privileged: isPrivileged(settings, kind, image),
    NetworkMode: networkMode,
    ExtraHosts: [...(settings.extraHosts ?? []), ...extraHosts],
    Dns: list(settings.dns),
    DnsSearch: list(settings.dnsSearch),
    Links: build ? list(settings.links) : undefined,
    CapAdd: list(settings.capAdd),
    CapDrop: list(settings.capDrop),
    GroupAdd: build ? list(settings.groupAdd) : undefined,
    SecurityOpt: await securityOptions((build ? settings.securityOpt : settings.servicesSecurityOpt) ?? []),
    Sysctls: build ? settings.sysctls : undefined,
    Runtime: settings.runtime,
    UsernsMode: settings.usernsMode,
    PidMode: build ? settings.pidMode : undefined,
    IpcMode: build ? settings.ipcMode : undefined,
    Isolation: settings.isolation,
    VolumesFrom: build ? list(settings.volumesFrom) : undefined,
    OomKillDisable: build ? settings.oomKillDisable : undefined,
    OomScoreAdj: settings.oomScoreAdjust,
    PidsLimit: build ? settings.pidsLimit : undefined,
    Devices: (build ? (settings.devices ?? []) : serviceDevices(settings, image)).map(parseDevice),
    DeviceCgroupRules: build ? list(settings.deviceCgroupRules) : undefined,
    DeviceRequests: gpuRequests(build ? settings.gpus : settings.serviceGpus),
    Ulimits: build ? Object.entries(settings.ulimit ?? {}).map(parseUlimit) : undefined,
    RestartPolicy: { Name: "no" },
    LogConfig: { Type: "json-file", Config: logOptions(settings.logOptions ?? {}, kind) },
  });
}

function buildResources(settings: DockerSettings): object {
  return {
    Memory: parseSize("memory", settings.memory),
    MemorySwap: parseSize("memory_swap", settings.memorySwap),
    MemoryReservation: parseSize("memory_reservation", settings.memoryReservation),
    NanoCpus: parseCpus("cpus", settings.cpus),
    CpuShares: settings.cpuShares,
    CpusetCpus: settings.cpusetCpus,
    CpusetMems: settings.cpusetMems,
    CgroupParent: settings.cgroupParent,
  };
}

function serviceResources(settings: DockerSettings): object {
  return {
    Memory: parseSize("service_memory", settings.serviceMemory),
    MemorySwap: parseSize("service_memory_swap", settings.serviceMemorySwap),
    MemoryReservation: parseSize("service_memory_reservation", settings.serviceMemoryReservation),
    NanoCpus: parseCpus("service_cpus", settings.serviceCpus),
    CpuShares: settings.serviceCpuShares,
    CpusetCpus: settings.serviceCpusetCpus,
    CgroupParent: settings.serviceCgroupParent,
  };
}

function isPrivileged(settings: DockerSettings, kind: "build" | "service", image: string): boolean {
  const wanted = kind === "build" ? settings.privileged : (settings.servicesPrivileged ?? settings.privileged);
  const allowed = (kind === "build" ? settings.allowedPrivilegedImages : settings.allowedPrivilegedServices) ?? [];
  return wanted === true && (allowed.length === 0 || matchesAny(image, allowed));
}

/** @throws {DockerConfigurationError} one of them is no address */
export function checkDns(addresses: readonly string[]): void {
  const wrong = addresses.find((address) => isIP(address) === 0);
  if (wrong !== undefined) {
    throw new DockerConfigurationError(
      `dns: ${JSON.stringify(wrong)} is no IP address; name servers are given by address`,
    );
  }
}

/** A seccomp profile is a file of this host, whose content the engine gets. */
function securityOptions(options: readonly string[]): Promise<string[] | undefined> {
  if (options.length === 0) return Promise.resolve(undefined);
  return Promise.all(
    options.map(async (option) => {
      const [, path] = /^seccomp[=:](.+)$/.exec(option) ?? [];
      if (path === undefined || path === "unconfined") return option;
      try {
        return `seccomp=${JSON.stringify(JSON.parse(await readFile(path, "utf8")))}`;
      } catch (error) {
        throw new DockerConfigurationError(
          `security_opt: cannot read the seccomp profile ${path}: ${messageOf(error)}`,
          {
            cause: error,
          },
        );
      }
    }),
  );
}

function serviceDevices({ servicesDevices = {} }: DockerSettings, image: string): readonly string[] {
  return Object.entries(servicesDevices).flatMap(([pattern, devices]) => (matchesAny(image, [pattern]) ? devices : []));
}

/** @throws {DockerConfigurationError} it is none */
export function parseDevice(text: string): object {
  const [host = "", container = host, permissions = "rwm", ...more] = text.split(":");
  if (!host.startsWith("/") || !container.startsWith("/") || !/^[rwm]{1,3}$/.test(permissions) || more.length > 0) {
    throw new DockerConfigurationError(
      `devices: ${JSON.stringify(text)} is no device; write host[:container[:rwm]], for example /dev/kvm:/dev/kvm:rwm`,
    );
  }
  return { PathOnHost: host, PathInContainer: container, CgroupPermissions: permissions };
}

/** @throws {DockerConfigurationError} it is none */
export function parseUlimit([name, text]: readonly [string, string]): object {
  const [soft = Number.NaN, hard = soft] = text.split(":").map(Number);
  if (!Number.isInteger(soft) || !Number.isInteger(hard)) {
    throw new DockerConfigurationError(`ulimit: ${name}=${JSON.stringify(text)} is no limit; write soft or soft:hard`);
  }
  return { Name: name, Soft: soft, Hard: hard };
}

/** @see https://docs.docker.com/reference/cli/docker/container/run/#gpus */
function gpuRequests(text: string | undefined): object[] | undefined {
  if (text === undefined || text === "") return undefined;
  const parts = new Map(
    text
      .replaceAll('"', "")
      .split(/,(?=[a-z]+=)/)
      .map((part) => {
        const [key = "", value] = part.split("=");
        return value === undefined ? ["count", key] : [key, value];
      }),
  );
  const devices = parts.get("device")?.split(",");
  const count = parts.get("count") === "all" ? -1 : Number(parts.get("count") ?? -1);
  const capabilities = ["gpu", ...(parts.get("capabilities")?.split(",") ?? [])];
  return [
    compact({
      Driver: parts.get("driver"),
      DeviceIDs: devices,
      Count: devices === undefined ? count : undefined,
      Capabilities: [[...new Set(capabilities)]],
    }),
  ];
}

/**
 * Output is read on from its log when a connection breaks, so a build's must have all of it: the engine's own limit, with which it
 * drops the beginning, does not count. The log goes with the container.
 *
 * @throws {DockerConfigurationError} there are others than may be given
 */
export function logOptions(
  options: Readonly<Record<string, string>>,
  kind: HostConfigFacts["kind"],
): Record<string, string> {
  const wrong = Object.keys(options).find((name) => name !== "env" && name !== "labels");
  if (wrong !== undefined) {
    throw new DockerConfigurationError(`log_options: ${wrong} is not allowed; only env and labels are`);
  }
  return { ...options, ...(kind === "build" ? { "max-size": NO_LIMIT } : {}) };
}

/** The engine takes no word for none. */
const NO_LIMIT = "1000t";

function list(values: readonly string[] | undefined): string[] | undefined {
  return values === undefined || values.length === 0 ? undefined : [...values];
}

/** Without what is not set, which the engine then decides. */
function compact(values: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
