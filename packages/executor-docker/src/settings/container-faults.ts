import { isIP } from "node:net";
import { posix } from "node:path";

import { checkDns, logOptions, parseDevice, parseUlimit } from "../container/host-config.ts";
import { parseCpus, parseSize } from "../container/sizes.ts";
import { checkVolumes } from "../container/volumes.ts";
import { parseEngineAddress } from "../engine/address.ts";
import { DockerConfigurationError } from "../errors.ts";
import { isImageName } from "../image/reference.ts";
import { checkPolicies } from "../image/pull-policy.ts";
import type { DockerSettings } from "../types.ts";

/** What is checked: the settings of jobs, and where their engine is. */
export interface CheckedDockerSettings extends DockerSettings {
  readonly host?: string | undefined;
  readonly tlsVerify?: boolean | undefined;
}

/** A key of the file, and what is wrong with its value. */
type Fault = readonly [key: string, message: string];

/** Values with which no container could be made. */
export function* containerFaults(settings: CheckedDockerSettings): Generator<Fault> {
  const { host, tlsVerify = false } = settings;
  if (host !== undefined) yield* refused("host", () => parseEngineAddress({ host, tlsVerify }));
  yield* images(settings);
  yield* sizes("", settings.memory, settings.memorySwap, settings.memoryReservation);
  yield* sizes("service_", settings.serviceMemory, settings.serviceMemorySwap, settings.serviceMemoryReservation);
  yield* refused("garbage_collection_max_size", (key) => parseSize(key, settings.garbageCollectionMaxSize));
  yield* processors(settings);
  yield* numbers(settings);
  yield* names(settings);
  yield* refused("dns", () => checkDns(settings.dns ?? []));
  yield* refused("volumes", () => checkVolumes(settings.volumes ?? []));
  yield* places(settings);
  yield* refused("log_options", () => logOptions(settings.logOptions ?? {}, "build"));
  for (const limit of Object.entries(settings.ulimit ?? {})) yield* refused("ulimit", () => parseUlimit(limit));
  yield* devices("devices", settings.devices ?? []);
  yield* devices("services_devices", Object.values(settings.servicesDevices ?? {}).flat());
}

function* images({ image, helperImage, services = [], ...settings }: CheckedDockerSettings): Generator<Fault> {
  yield* refused("pull_policy", () => checkPolicies(settings.pullPolicy ?? []));
  yield* refused("allowed_pull_policies", () => checkPolicies(settings.allowedPullPolicies ?? []));
  const named = [
    ["image", image],
    ["helper_image", helperImage],
    ...services.map(({ name }) => ["services", name] as const),
  ] as const;
  for (const [key, name = ""] of named) {
    // What has variables in it is known in the job only.
    if (name === "" || name.includes("$") || isImageName(name)) continue;
    yield [
      key,
      `${JSON.stringify(name)} is not the name of an image; write for example registry.example.com/group/image:tag`,
    ];
  }
}

/** The least that the engine gives a container. @see https://docs.docker.com/engine/containers/resource_constraints/ */
const LEAST_MEMORY = 6 * 1024 ** 2;
const NO_LIMIT = -1;

function* sizes(
  prefix: string,
  memoryText: string | undefined,
  swapText: string | undefined,
  reservationText: string | undefined,
): Generator<Fault> {
  const keys = { memory: `${prefix}memory`, swap: `${prefix}memory_swap`, reservation: `${prefix}memory_reservation` };
  const faults = [
    ...refused(keys.memory, (key) => parseSize(key, memoryText)),
    ...refused(keys.swap, (key) => parseSize(key, swapText)),
    ...refused(keys.reservation, (key) => parseSize(key, reservationText)),
  ];
  yield* faults;
  if (faults.length > 0) return;
  const [memory = 0, swap = 0, reservation = 0] = [
    parseSize(keys.memory, memoryText),
    parseSize(keys.swap, swapText),
    parseSize(keys.reservation, reservationText),
  ];
  if (memory > 0 && memory < LEAST_MEMORY) {
    yield [
      keys.memory,
      `${JSON.stringify(memoryText)} is less than the 6m that a container needs; give a unit, as in 512m`,
    ];
  }
  if (reservation > 0 && memory > 0 && reservation > memory) {
    yield [keys.reservation, `${JSON.stringify(reservationText)} is more than ${keys.memory}; lower it`];
  }
  if (swap === 0 || swap === NO_LIMIT) return;
  if (memory <= 0) yield [keys.swap, `it limits memory and swap together, so ${keys.memory} is needed as well; set it`];
  else if (swap < memory) {
    yield [
      keys.swap,
      `it limits memory and swap together, so it cannot be less than ${keys.memory}; raise it, or write -1 for no limit`,
    ];
  }
}

function* processors(settings: CheckedDockerSettings): Generator<Fault> {
  for (const [key, text] of [
    ["cpus", settings.cpus],
    ["service_cpus", settings.serviceCpus],
  ] as const) {
    yield* refused(key, () => parseCpus(key, text));
  }
  for (const [key, text] of [
    ["cpuset_cpus", settings.cpusetCpus],
    ["cpuset_mems", settings.cpusetMems],
    ["service_cpuset_cpus", settings.serviceCpusetCpus],
  ] as const) {
    if (text === undefined || text === "" || /^\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*$/.test(text)) continue;
    yield [key, `${JSON.stringify(text)} is no list of numbers; write for example 0-2,4`];
  }
}

function* numbers(settings: CheckedDockerSettings): Generator<Fault> {
  const ranges = [
    ["shm_size", settings.shmSizeBytes, 0, Number.MAX_SAFE_INTEGER, "bytes"],
    ["network_mtu", settings.networkMtu, 0, 65_535, "bytes"],
    ["cpu_shares", settings.cpuShares, 0, Number.MAX_SAFE_INTEGER, "shares, of which 1024 is usual"],
    ["service_cpu_shares", settings.serviceCpuShares, 0, Number.MAX_SAFE_INTEGER, "shares, of which 1024 is usual"],
    ["oom_score_adjust", settings.oomScoreAdjust, -1000, 1000, "points"],
    ["garbage_collection_max_age_days", settings.garbageCollectionMaxAgeDays, 0, 36_500, "days"],
  ] as const;
  for (const [key, value, least, most, unit] of ranges) {
    if (value === undefined || (value >= least && value <= most)) continue;
    const range = most === Number.MAX_SAFE_INTEGER ? `at least ${least}` : `from ${least} to ${most}`;
    yield [key, `${value} is out of range; write a number of ${unit}, ${range}`];
  }
}

function* names({ hostname = "", macAddress = "", ...settings }: CheckedDockerSettings): Generator<Fault> {
  if (hostname.length > MOST_NAME_CHARACTERS) {
    yield ["hostname", `${JSON.stringify(hostname)} is longer than ${MOST_NAME_CHARACTERS} characters; shorten it`];
  }
  if (macAddress !== "" && !/^[\dA-Fa-f]{2}([:-])(?:[\dA-Fa-f]{2}\1){4}[\dA-Fa-f]{2}$/.test(macAddress)) {
    yield ["mac_address", `${JSON.stringify(macAddress)} is no MAC address; write for example 92:d0:c6:0a:29:33`];
  }
  for (const entry of settings.extraHosts ?? []) {
    const [, name = "", address = ""] = /^([^:\s]+):(.+)$/.exec(entry) ?? [];
    const isAddress = isIP(address.replace(/^\[(.*)\]$/, "$1")) > 0 || address === "host-gateway";
    if (name !== "" && isAddress) continue;
    yield [
      "extra_hosts",
      `${JSON.stringify(entry)} is no name:address; write for example registry.example.com:10.0.0.7`,
    ];
  }
  for (const rule of settings.deviceCgroupRules ?? []) {
    if (/^[abc] (?:\d+|\*):(?:\d+|\*) [rwm]{1,3}$/.test(rule)) continue;
    yield ["device_cgroup_rules", `${JSON.stringify(rule)} is no rule; write for example "c 189:* rmw"`];
  }
}

/** @see https://man7.org/linux/man-pages/man2/sethostname.2.html */
const MOST_NAME_CHARACTERS = 64;

/** Paths that the engine takes only when they are absolute. */
function* places({ cacheDirectory = "", tmpfs = {}, servicesTmpfs = {} }: CheckedDockerSettings): Generator<Fault> {
  const paths = [
    ...(cacheDirectory === "" ? [] : [["cache_dir", cacheDirectory] as const]),
    ...Object.keys(tmpfs).map((path) => ["tmpfs", path] as const),
    ...Object.keys(servicesTmpfs).map((path) => ["services_tmpfs", path] as const),
  ];
  for (const [key, path] of paths) {
    if (!posix.isAbsolute(path)) yield [key, `${JSON.stringify(path)} is no absolute path; begin it with /`];
  }
}

function* devices(key: string, texts: readonly string[]): Generator<Fault> {
  for (const text of texts) yield* refused(key, () => parseDevice(text));
}

/** What a reader says of a value. */
function* refused(key: string, read: (key: string) => unknown): Generator<Fault> {
  try {
    read(key);
  } catch (error) {
    if (!(error instanceof DockerConfigurationError)) throw error;
    // In a job the key is part of the message.
    yield [key, error.message.replace(/^[a-z_]+: /, "")];
  }
}
