import type { DOCKER_KEYS } from "@fleetfoot/runner-config";
import type { OptionTable } from "./command.ts";

type KeyOfFile = (typeof DOCKER_KEYS)[number]["key"];

/** What stands for the value of a key of `[runners.docker]` (empty: none is taken; with dots: may be repeated), and the help. */
const ROWS: Readonly<Record<KeyOfFile, readonly [value: string, help: string]>> = {
  host: ["ADDRESS", "the engine, for example tcp://10.0.0.1:2376; default: the local one"],
  tls_cert_path: ["DIR", "folder with ca.pem, cert.pem and key.pem"],
  tls_verify: ["", "use TLS and check the engine's certificate"],
  image: ["IMAGE", "image of jobs that name none"],
  pull_policy: ["POLICY...", "always (default), if-not-present or never; tried in order"],
  allowed_pull_policies: ["POLICY...", "policies that jobs may choose; default: those of the runner"],
  allowed_images: ["PATTERN...", "images that jobs may choose; default: all"],
  allowed_services: ["PATTERN...", "services that jobs may choose; default: all"],
  allowed_privileged_images: ["PATTERN...", "images that are privileged; default: all, if any is"],
  allowed_privileged_services: ["PATTERN...", "services that are privileged; default: all, if any is"],
  allowed_users: ["USER...", "users that jobs may choose; default: all"],
  user: ["USER", "runs the commands of all jobs as this user"],
  privileged: ["", "give containers all rights, as Docker in Docker needs them"],
  services_privileged: ["", "the same for services; default: as for jobs"],
  volumes: ["VOLUME...", "[SOURCE:]PATH[:OPTIONS] in all containers; /cache is added"],
  cache_dir: ["DIR", "folder of the engine's host for volumes that are kept"],
  disable_cache: ["", "remove volumes with the job"],
  volume_keep: ["", "keep the anonymous volumes of containers"],
  volume_driver: ["NAME", "driver of the volumes that are made"],
  volumes_from: ["CONTAINER...", "take over the volumes of containers"],
  network_mode: ["NAME", "network of the containers: bridge, host, none, or one that there is"],
  network_mtu: ["BYTES", "MTU of networks that are made for jobs"],
  enable_ipv6: ["", "IPv6 in networks that are made for jobs"],
  extra_hosts: ["NAME:ADDRESS...", "lines for the hosts file"],
  dns: ["ADDRESS...", "name servers"],
  dns_search: ["DOMAIN...", "domains that names are looked for in"],
  links: ["CONTAINER:ALIAS...", "containers that jobs reach by name"],
  mac_address: ["ADDRESS", "MAC address of the job's container"],
  hostname: ["NAME", "host name of the job's container"],
  memory: ["SIZE", "limit of memory, for example 512m"],
  memory_swap: ["SIZE", "limit of memory and swap together"],
  memory_reservation: ["SIZE", "memory that is left when the host is short of it"],
  cpus: ["NUMBER", "processors, for example 1.5"],
  cpu_shares: ["NUMBER", "weight against other containers; default: 1024"],
  cpuset_cpus: ["LIST", "processors that may be used, for example 0,2"],
  cpuset_mems: ["LIST", "memory nodes that may be used"],
  cgroup_parent: ["NAME", "control group around the containers"],
  pids_limit: ["NUMBER", "limit of processes in the job's container"],
  shm_size: ["BYTES", "size of /dev/shm"],
  devices: ["DEVICE...", "HOST[:CONTAINER[:RIGHTS]]"],
  device_cgroup_rules: ["RULE...", "for example c 81:* rmw"],
  gpus: ["GPUS", "as docker run takes them, for example all"],
  service_gpus: ["GPUS", "the same for services"],
  cap_add: ["NAME...", "Linux capabilities to add"],
  cap_drop: ["NAME...", "Linux capabilities to drop"],
  group_add: ["GROUP...", "more groups of the commands' user"],
  security_opt: ["OPTION...", "for example seccomp=FILE, a file of this host"],
  services_security_opt: ["OPTION...", "the same for services"],
  runtime: ["NAME", "runtime of the containers"],
  userns_mode: ["MODE", "user namespace: host"],
  pid_mode: ["MODE", "process namespace: host, or container:NAME"],
  ipcmode: ["MODE", "namespace of shared memory"],
  isolation: ["NAME", "isolation of containers, on Windows"],
  oom_kill_disable: ["", "do not kill processes when the memory is used up"],
  oom_score_adjust: ["NUMBER", "how readily processes are killed then"],
  disable_entrypoint_overwrite: ["", "jobs cannot replace the entrypoint of their image"],
  garbage_collection: ["", "remove kept volumes and pulled images that no job uses any longer"],
  garbage_collection_max_age_days: ["DAYS", "not used for so long; default: 14"],
  garbage_collection_max_size: ["SIZE", "the oldest ones above so much, for example 50g"],
  wait_for_services_timeout: ["SECONDS", "wait so long for services; default: 30; negative: do not"],
  services_limit: ["NUMBER", "most services of a job; negative: no limit"],
  service_memory: ["SIZE", "limit of memory of a service"],
  service_memory_swap: ["SIZE", "limit of memory and swap of a service"],
  service_memory_reservation: ["SIZE", "memory that a service is left with"],
  service_cpus: ["NUMBER", "processors of a service"],
  service_cpu_shares: ["NUMBER", "weight of a service"],
  service_cpuset_cpus: ["LIST", "processors that a service may use"],
  service_cgroup_parent: ["NAME", "control group around services"],
  helper_image: ["IMAGE", "an image with git in which sources are fetched; default: this host does it"],
};

/** Where the name of an option is not made from the key as all others are. @see job-execution 3.3 */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  tls_cert_path: "docker-cert-path",
  tls_verify: "docker-tlsverify",
  allowed_users: "docker-allowed_users",
  services_privileged: "docker-services_privileged",
  userns_mode: "docker-userns",
};
const OTHER_VARIABLES: Readonly<Record<string, string | undefined>> = {
  tls_cert_path: "DOCKER_CERT_PATH",
  network_mtu: undefined,
  enable_ipv6: undefined,
};

/** Options for the keys of `[runners.docker]` that are no tables, under the names that GitLab Runner has for them. */
export const dockerOptions: OptionTable = Object.fromEntries(
  Object.entries(ROWS).map(([key, [value, help]]) => {
    const isList = value.endsWith("...");
    const variable = Object.hasOwn(OTHER_VARIABLES, key) ? OTHER_VARIABLES[key] : `DOCKER_${key.toUpperCase()}`;
    const option = {
      type: value === "" ? "boolean" : "string",
      help,
      ...(value === "" ? {} : { value: value.replace(/\.{3}$/, "") }),
      ...(isList ? { multiple: true } : {}),
      ...(variable === undefined ? {} : { variable }),
    } as const;
    return [dockerOptionName(key), option];
  }),
);

/** For example `docker-image`. */
export function dockerOptionName(key: string): string {
  return OTHER_NAMES[key] ?? `docker-${key.replaceAll("_", "-")}`;
}
