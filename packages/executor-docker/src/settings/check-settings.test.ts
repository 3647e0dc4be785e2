import { importImage } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { beforeAll, describe, expect, it } from "vitest";
import { DockerExecutorError } from "../errors.ts";
import { openHarness, release, runScript } from "../test-support/harness.ts";
import type { DockerSettings } from "../types.ts";
import { checkDockerSettings } from "./check-settings.ts";

function found(settings: Parameters<typeof checkDockerSettings>[0]): readonly string[] {
  return checkDockerSettings(settings).map(({ key, severity, message }) => `${severity} ${key}: ${message}`);
}

/** With each of them a container cannot be made. */
const REFUSED: readonly (readonly [key: string, settings: DockerSettings, message: RegExp])[] = [
  ["memory", { memory: "lots" }, /no size; write for example 128m/],
  ["memory", { memory: "512" }, /less than the 6m .* give a unit, as in 512m/],
  ["memory_swap", { memory: "1g", memorySwap: "512m" }, /cannot be less than memory; raise it/],
  ["memory_swap", { memorySwap: "1g" }, /memory is needed as well/],
  ["memory_reservation", { memory: "512m", memoryReservation: "1g" }, /is more than memory; lower it/],
  ["service_memory", { serviceMemory: "1 gigabyte" }, /no size/],
  ["cpus", { cpus: "two" }, /no number of processors; write for example 1.5/],
  ["service_cpus", { serviceCpus: "1/0" }, /no number of processors/],
  ["cpuset_cpus", { cpusetCpus: "all" }, /no list of numbers; write for example 0-2,4/],
  ["shm_size", { shmSizeBytes: -1 }, /out of range; write a number of bytes, at least 0/],
  ["oom_score_adjust", { oomScoreAdjust: 2000 }, /from -1000 to 1000/],
  ["pull_policy", { pullPolicy: ["sometimes"] }, /one of always, if-not-present, never/],
  ["allowed_pull_policies", { allowedPullPolicies: ["Always"] }, /one of always, if-not-present, never/],
  ["image", { image: "Ruby:3" }, /not the name of an image/],
  ["services", { services: [{ name: "redis:7:8" }] }, /not the name of an image/],
  ["hostname", { hostname: "x".repeat(65) }, /longer than 64 characters; shorten it/],
  ["extra_hosts", { extraHosts: ["registry.example.com"] }, /no name:address; write for example/],
  ["dns", { dns: ["resolver.example.com"] }, /no IP address/],
  ["mac_address", { macAddress: "92:d0" }, /write for example 92:d0:c6:0a:29:33/],
  ["devices", { devices: ["kvm"] }, /write host\[:container\[:rwm\]\]/],
  ["services_devices", { servicesDevices: { "*": ["/dev/kvm:/dev/kvm:x"] } }, /^".*" is no device/],
  ["device_cgroup_rules", { deviceCgroupRules: ["c 189 rwm"] }, /write for example "c 189:\* rmw"/],
  ["ulimit", { ulimit: { nofile: "many" } }, /write soft or soft:hard/],
  ["log_options", { logOptions: { "max-size": "1m" } }, /only env and labels are/],
  ["volumes", { volumes: ["./data:/data"] }, /write for example \/srv\/data:\/data/],
  ["volumes", { volumes: ["/a:/b:/c:/d"] }, /too many parts/],
  ["volumes", { volumes: ["/a:"] }, /an empty part/],
  ["volumes", { volumes: ["/cache", "/srv:/cache"] }, /\/cache is there twice/],
  ["volumes", { volumes: ["/srv:/"] }, /mount it below a directory/],
  ["cache_dir", { cacheDirectory: "kept", volumes: ["/cache"] }, /no absolute path; begin it with \//],
  ["tmpfs", { tmpfs: { run: "rw" } }, /no absolute path/],
];

describe("settings that no container could be made with", () => {
  it.each(REFUSED)("%s: %j is an error with what to write", (key, settings, message) => {
    expect(checkDockerSettings(settings)).toEqual([
      { key, severity: "error", message: expect.stringMatching(message) as unknown },
    ]);
  });

  it("are told all at once, the engine's address included", () => {
    expect(found({ host: "ssh://h", memory: "x", cpus: "y" })).toEqual([
      expect.stringMatching(/^error host: .*use unix, tcp, http or https/),
      expect.stringMatching(/^error memory: /),
      expect.stringMatching(/^error cpus: /),
    ]);
  });
});

describe("settings that are hardly meant", () => {
  it.each<readonly [key: string, settings: DockerSettings]>([
    ["allowed_privileged_images", { allowedPrivilegedImages: ["docker:*"] }],
    [
      "allowed_privileged_services",
      { privileged: true, servicesPrivileged: false, allowedPrivilegedServices: ["d:*"] },
    ],
    ["hostname", { hostname: "build host" }],
    ["cap_drop", { privileged: true, capDrop: ["NET_RAW"] }],
    ["pull_policy", { pullPolicy: ["always"], allowedPullPolicies: ["never"] }],
  ])("%s: %j is a warning", (key, settings) => {
    expect(checkDockerSettings(settings).map(({ severity, key: named }) => [severity, named])).toEqual([
      ["warning", key],
    ]);
  });
});

const FINE: DockerSettings = {
  image: "$CI_REGISTRY/image",
  helperImage: "registry.example.com:5000/group/helper:1",
  services: [{ name: "postgres:17", alias: "db" }],
  pullPolicy: ["always", "if-not-present"],
  memory: "512m",
  memorySwap: "-1",
  memoryReservation: "128m",
  serviceMemory: "1.5g",
  cpus: "1/2",
  cpusetCpus: "0",
  shmSizeBytes: 0,
  pidsLimit: -1,
  hostname: "build-1.example.com",
  extraHosts: ["a.example.com:10.0.0.7", "b:fd00::1", "c:host-gateway"],
  dns: ["10.0.0.1", "fd00::1"],
  devices: ["/dev/null", "/dev/null:/dev/zero2:r"],
  ulimit: { nofile: "1024:2048", core: "-1" },
  volumes: ["/cache", "/tmp:/data:ro", "named:/data2", "$CI_PROJECT_DIR/node_modules", "relative"],
  tmpfs: { "/run": "rw" },
  deviceCgroupRules: ["c 189:* rwm"],
  logOptions: { env: "A" },
};

it("nothing is said of settings that are fine, or of none", () => {
  expect(found(FINE)).toEqual([]);
  expect(found({})).toEqual([]);
});

describeWithSystem("docker-engine", (engine) => {
  beforeAll(() => importImage(engine()));

  it("a job runs with what is fine", async () => {
    // The rest is not on this engine.
    const own = {
      ...FINE,
      image: "fleetfoot-busybox",
      helperImage: undefined,
      services: [],
      pullPolicy: ["if-not-present"],
      extraHosts: ["a.example.com:10.0.0.7"],
    };
    await using harness = await openHarness(engine().dockerHost, { settings: own });
    const environment = await harness.prepare();
    expect(await runScript(environment, "echo hi")).toMatchObject({ stdout: "hi\n" });
    await release(environment);
  });

  it.each(REFUSED.filter(([key]) => !key.startsWith("service") && key !== "allowed_pull_policies"))(
    "each job would fail with %s: %j",
    async (_, settings) => {
      await using harness = await openHarness(engine().dockerHost, { settings });
      // As if nobody had looked at them before.
      const failure = await harness
        .prepare()
        .then((environment) => runScript(environment, "true"))
        .catch((error: unknown) => error);
      expect(DockerExecutorError.isInstance(failure)).toBe(true);
    },
  );
});
