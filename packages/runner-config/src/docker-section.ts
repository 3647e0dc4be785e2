import type { RunnerDocker, RunnerDockerService } from "./config.ts";
import type { TableReader } from "./table-reader.ts";

/** Reads `[runners.docker]`; problems go to the reader. An empty text counts as none. */
export function readDocker(table: TableReader | undefined): RunnerDocker | undefined {
  if (table === undefined) return undefined;
  const text = (key: string): string | undefined => table.string(key) || undefined;
  return {
    host: text("host"),
    tlsCertificatePath: text("tls_cert_path"),
    tlsVerify: table.boolean("tls_verify"),
    image: text("image"),
    pullPolicy: table.stringOrStrings("pull_policy"),
    allowedPullPolicies: table.strings("allowed_pull_policies"),
    allowedImages: table.strings("allowed_images"),
    allowedServices: table.strings("allowed_services"),
    allowedPrivilegedImages: table.strings("allowed_privileged_images"),
    allowedPrivilegedServices: table.strings("allowed_privileged_services"),
    allowedUsers: table.strings("allowed_users"),
    user: text("user"),
    privileged: table.boolean("privileged"),
    servicesPrivileged: table.boolean("services_privileged"),
    volumes: table.strings("volumes"),
    cacheDirectory: text("cache_dir"),
    disableCache: table.boolean("disable_cache"),
    volumeKeep: table.boolean("volume_keep"),
    volumeDriver: text("volume_driver"),
    volumeDriverOptions: table.texts("volume_driver_ops"),
    volumesFrom: table.strings("volumes_from"),
    networkMode: text("network_mode"),
    networkMtu: table.integer("network_mtu"),
    enableIpv6: table.boolean("enable_ipv6"),
    extraHosts: table.strings("extra_hosts"),
    dns: table.strings("dns"),
    dnsSearch: table.strings("dns_search"),
    links: table.strings("links"),
    macAddress: text("mac_address"),
    hostname: text("hostname"),
    memory: text("memory"),
    memorySwap: text("memory_swap"),
    memoryReservation: text("memory_reservation"),
    cpus: text("cpus"),
    cpuShares: table.integer("cpu_shares"),
    cpusetCpus: text("cpuset_cpus"),
    cpusetMems: text("cpuset_mems"),
    cgroupParent: text("cgroup_parent"),
    ulimit: table.texts("ulimit"),
    pidsLimit: table.integer("pids_limit"),
    shmSizeBytes: table.integer("shm_size"),
    tmpfs: table.texts("tmpfs"),
    servicesTmpfs: table.texts("services_tmpfs"),
    devices: table.strings("devices"),
    servicesDevices: table.lists("services_devices"),
    deviceCgroupRules: table.strings("device_cgroup_rules"),
    gpus: text("gpus"),
    serviceGpus: text("service_gpus"),
    capAdd: table.strings("cap_add"),
    capDrop: table.strings("cap_drop"),
    groupAdd: table.strings("group_add"),
    securityOpt: table.strings("security_opt"),
    servicesSecurityOpt: table.strings("services_security_opt"),
    sysctls: table.texts("sysctls"),
    runtime: text("runtime"),
    usernsMode: text("userns_mode"),
    pidMode: text("pid_mode"),
    ipcMode: text("ipcmode"),
    isolation: text("isolation"),
    oomKillDisable: table.boolean("oom_kill_disable"),
    oomScoreAdjust: table.integer("oom_score_adjust"),
    disableEntrypointOverwrite: table.boolean("disable_entrypoint_overwrite"),
    waitForServicesTimeout: table.integer("wait_for_services_timeout"),
    servicesLimit: table.integer("services_limit"),
    serviceMemory: text("service_memory"),
    serviceMemorySwap: text("service_memory_swap"),
    serviceMemoryReservation: text("service_memory_reservation"),
    serviceCpus: text("service_cpus"),
    serviceCpuShares: table.integer("service_cpu_shares"),
    serviceCpusetCpus: text("service_cpuset_cpus"),
    serviceCgroupParent: text("service_cgroup_parent"),
    containerLabels: table.texts("container_labels"),
    logOptions: table.texts("log_options"),
    services: table.tables("services").flatMap((service) => readService(service) ?? []),
  };
}

function readService(table: TableReader): RunnerDockerService | undefined {
  const name = table.string("name") ?? "";
  const service = {
    name,
    alias: table.string("alias") || undefined,
    command: table.strings("command"),
    entrypoint: table.strings("entrypoint"),
    environment: table.strings("environment"),
  };
  if (name !== "") return service;
  table.problem("name", "error", "missing-name", "the service has no name; give it the name of an image");
  return undefined;
}
