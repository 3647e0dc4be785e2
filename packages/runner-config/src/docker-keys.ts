import type { RunnerDocker } from "./config.ts";

/** A key of `[runners.docker]` whose value is one word, a number, yes or no, or a list of words. */
export type DockerKey = {
  readonly [Name in DockerKeyName]: {
    /** In a {@link RunnerDocker}. */
    readonly name: Name;
    /** In the file. */
    readonly key: string;
    readonly kind: KindOf<NonNullable<RunnerDocker[Name]>>;
  };
}[DockerKeyName];

/** Names of everything in a {@link RunnerDocker} but tables. */
export type DockerKeyName = {
  [Name in keyof RunnerDocker]: NonNullable<RunnerDocker[Name]> extends string | boolean | number | readonly string[]
    ? Name
    : never;
}[keyof RunnerDocker];

type KindOf<Value> = [Value] extends [boolean]
  ? "boolean"
  : Value extends number
    ? "integer"
    : Value extends readonly string[]
      ? "list"
      : "text";

/** What is written of a `[runners.docker]` section. */
export type NewRunnerDocker = Partial<Pick<RunnerDocker, DockerKeyName>>;

/** All of them, in the order of the reference. @see job-execution 3.3 */
export const DOCKER_KEYS = [
  { name: "host", key: "host", kind: "text" },
  { name: "tlsCertificatePath", key: "tls_cert_path", kind: "text" },
  { name: "tlsVerify", key: "tls_verify", kind: "boolean" },
  { name: "image", key: "image", kind: "text" },
  { name: "pullPolicy", key: "pull_policy", kind: "list" },
  { name: "allowedPullPolicies", key: "allowed_pull_policies", kind: "list" },
  { name: "allowedImages", key: "allowed_images", kind: "list" },
  { name: "allowedServices", key: "allowed_services", kind: "list" },
  { name: "allowedPrivilegedImages", key: "allowed_privileged_images", kind: "list" },
  { name: "allowedPrivilegedServices", key: "allowed_privileged_services", kind: "list" },
  { name: "allowedUsers", key: "allowed_users", kind: "list" },
  { name: "user", key: "user", kind: "text" },
  { name: "privileged", key: "privileged", kind: "boolean" },
  { name: "servicesPrivileged", key: "services_privileged", kind: "boolean" },
  { name: "volumes", key: "volumes", kind: "list" },
  { name: "cacheDirectory", key: "cache_dir", kind: "text" },
  { name: "disableCache", key: "disable_cache", kind: "boolean" },
  { name: "volumeKeep", key: "volume_keep", kind: "boolean" },
  { name: "volumeDriver", key: "volume_driver", kind: "text" },
  { name: "volumesFrom", key: "volumes_from", kind: "list" },
  { name: "networkMode", key: "network_mode", kind: "text" },
  { name: "networkMtu", key: "network_mtu", kind: "integer" },
  { name: "enableIpv6", key: "enable_ipv6", kind: "boolean" },
  { name: "extraHosts", key: "extra_hosts", kind: "list" },
  { name: "dns", key: "dns", kind: "list" },
  { name: "dnsSearch", key: "dns_search", kind: "list" },
  { name: "links", key: "links", kind: "list" },
  { name: "macAddress", key: "mac_address", kind: "text" },
  { name: "hostname", key: "hostname", kind: "text" },
  { name: "memory", key: "memory", kind: "text" },
  { name: "memorySwap", key: "memory_swap", kind: "text" },
  { name: "memoryReservation", key: "memory_reservation", kind: "text" },
  { name: "cpus", key: "cpus", kind: "text" },
  { name: "cpuShares", key: "cpu_shares", kind: "integer" },
  { name: "cpusetCpus", key: "cpuset_cpus", kind: "text" },
  { name: "cpusetMems", key: "cpuset_mems", kind: "text" },
  { name: "cgroupParent", key: "cgroup_parent", kind: "text" },
  { name: "pidsLimit", key: "pids_limit", kind: "integer" },
  { name: "shmSizeBytes", key: "shm_size", kind: "integer" },
  { name: "devices", key: "devices", kind: "list" },
  { name: "deviceCgroupRules", key: "device_cgroup_rules", kind: "list" },
  { name: "gpus", key: "gpus", kind: "text" },
  { name: "serviceGpus", key: "service_gpus", kind: "text" },
  { name: "capAdd", key: "cap_add", kind: "list" },
  { name: "capDrop", key: "cap_drop", kind: "list" },
  { name: "groupAdd", key: "group_add", kind: "list" },
  { name: "securityOpt", key: "security_opt", kind: "list" },
  { name: "servicesSecurityOpt", key: "services_security_opt", kind: "list" },
  { name: "runtime", key: "runtime", kind: "text" },
  { name: "usernsMode", key: "userns_mode", kind: "text" },
  { name: "pidMode", key: "pid_mode", kind: "text" },
  { name: "ipcMode", key: "ipcmode", kind: "text" },
  { name: "isolation", key: "isolation", kind: "text" },
  { name: "oomKillDisable", key: "oom_kill_disable", kind: "boolean" },
  { name: "oomScoreAdjust", key: "oom_score_adjust", kind: "integer" },
  { name: "disableEntrypointOverwrite", key: "disable_entrypoint_overwrite", kind: "boolean" },
  { name: "garbageCollection", key: "garbage_collection", kind: "boolean" },
  { name: "garbageCollectionMaxAgeDays", key: "garbage_collection_max_age_days", kind: "integer" },
  { name: "garbageCollectionMaxSize", key: "garbage_collection_max_size", kind: "text" },
  { name: "helperImage", key: "helper_image", kind: "text" },
  { name: "waitForServicesTimeout", key: "wait_for_services_timeout", kind: "integer" },
  { name: "servicesLimit", key: "services_limit", kind: "integer" },
  { name: "serviceMemory", key: "service_memory", kind: "text" },
  { name: "serviceMemorySwap", key: "service_memory_swap", kind: "text" },
  { name: "serviceMemoryReservation", key: "service_memory_reservation", kind: "text" },
  { name: "serviceCpus", key: "service_cpus", kind: "text" },
  { name: "serviceCpuShares", key: "service_cpu_shares", kind: "integer" },
  { name: "serviceCpusetCpus", key: "service_cpuset_cpus", kind: "text" },
  { name: "serviceCgroupParent", key: "service_cgroup_parent", kind: "text" },
] as const;
