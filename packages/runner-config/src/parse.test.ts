import { describe, expect, it } from "vitest";
import type { RunnerEntry } from "./config.ts";
import { DOCKER_KEYS } from "./docker-keys.ts";
import { lintRunnerConfig, parseRunnerConfig } from "./parse.ts";

const minimal =
  '[[runners]]\nname = "one"\nurl = "https://gitlab.example.com"\ntoken = "glrt-abc"\nexecutor = "shell"\n';

function parseRunner(body: string): RunnerEntry | undefined {
  const { config, problems } = parseRunnerConfig(`${minimal}${body}\n`);
  expect(problems).toEqual([]);
  return config?.runners[0];
}

const noStores = {
  s3: undefined,
  gcs: undefined,
  azure: undefined,
  local: undefined,
  foreignArchitecture: "warn",
} as const;

describe("parseRunnerConfig", () => {
  it("gives all defaults for an empty text", () => {
    expect(parseRunnerConfig("")).toEqual({
      problems: [],
      config: {
        concurrent: 1,
        checkIntervalMs: 3000,
        logLevel: "info",
        logFormat: "runner",
        listenAddress: undefined,
        shutdownTimeoutMs: 30_000,
        connectionMaxAgeMs: 900_000,
        runners: [],
      },
    });
  });

  it("gives all defaults for a runner that was just registered", () => {
    expect(parseRunner("")).toEqual({
      name: "one",
      url: "https://gitlab.example.com",
      token: "glrt-abc",
      id: undefined,
      tokenObtainedAt: undefined,
      tokenExpiresAt: undefined,
      executor: "shell",
      limit: 0,
      requestConcurrency: 1,
      strictCheckInterval: false,
      outputLimitBytes: 4_194_304,
      unhealthyRequestsLimit: 3,
      unhealthyIntervalMs: 3_600_000,
      jobStatusFinalUpdateRetryLimit: 10,
      buildsDirectory: undefined,
      cacheDirectory: undefined,
      cloneUrl: undefined,
      environment: [],
      shell: "bash",
      preGetSourcesScript: undefined,
      postGetSourcesScript: undefined,
      preBuildScript: undefined,
      postBuildScript: undefined,
      prepareTimeoutMs: 0,
      getSourcesTimeoutMs: 0,
      debugTraceDisabled: false,
      cleanGitConfig: undefined,
      customBuildDirectory: undefined,
      featureFlags: {},
      cache: undefined,
    });
  });

  it.each([
    ["concurrent = 7", { concurrent: 7 }],
    ["check_interval = 10", { checkIntervalMs: 10_000 }],
    ["check_interval = 0", { checkIntervalMs: 3000 }],
    ["check_interval = -1", { checkIntervalMs: 3000 }],
    ['log_level = "debug"', { logLevel: "debug" }],
    ['log_level = "WARN"', { logLevel: "warning" }],
    ['log_format = "json"', { logFormat: "json" }],
    ['listen_address = ":9252"', { listenAddress: ":9252" }],
    ["shutdown_timeout = 5", { shutdownTimeoutMs: 5000 }],
    ['connection_max_age = "1h"', { connectionMaxAgeMs: 3_600_000 }],
    ['connection_max_age = "0s"', { connectionMaxAgeMs: 0 }],
    ['connection_max_age = "-1m"', { connectionMaxAgeMs: 0 }],
    ["Concurrent = 7\nLOG_LEVEL = 'error'", { concurrent: 7, logLevel: "error" }],
    ["\uFEFFconcurrent = 2\r\n", { concurrent: 2 }],
  ])("%j", (text, expected) => {
    const { config, problems } = parseRunnerConfig(text);
    expect(problems).toEqual([]);
    expect(config).toMatchObject(expected);
  });

  it.each<[string, Partial<RunnerEntry>]>([
    ["id = 12", { id: 12 }],
    ["token_obtained_at = 2024-01-02T03:04:05Z", { tokenObtainedAt: "2024-01-02T03:04:05Z" }],
    ["token_expires_at = 2031-01-01T02:00:00.123+02:00", { tokenExpiresAt: "2031-01-01T00:00:00Z" }],
    ['token_expires_at = "2031-01-01T00:00:00Z"', { tokenExpiresAt: "2031-01-01T00:00:00Z" }],
    ["token_expires_at = 0001-01-01T00:00:00Z", { tokenExpiresAt: undefined }],
    ["limit = 3", { limit: 3 }],
    ["limit = -1", { limit: 0 }],
    ["request_concurrency = 4", { requestConcurrency: 4 }],
    ["request_concurrency = 0", { requestConcurrency: 1 }],
    ["strict_check_interval = true", { strictCheckInterval: true }],
    ["output_limit = 8", { outputLimitBytes: 8192 }],
    ["unhealthy_requests_limit = 5", { unhealthyRequestsLimit: 5 }],
    ['unhealthy_interval = "90s"', { unhealthyIntervalMs: 90_000 }],
    ["job_status_final_update_retry_limit = 2", { jobStatusFinalUpdateRetryLimit: 2 }],
    ['builds_dir = "b"\ncache_dir = "/c"', { buildsDirectory: "b", cacheDirectory: "/c" }],
    ['clone_url = "https://internal.example.com"', { cloneUrl: "https://internal.example.com" }],
    ['environment = ["A=1", "B=x=y"]', { environment: ["A=1", "B=x=y"] }],
    ['shell = "sh"', { shell: "sh" }],
    [
      'pre_get_sources_script = "a"\npost_get_sources_script = """\nb\nc"""',
      { preGetSourcesScript: "a", postGetSourcesScript: "b\nc" },
    ],
    ['pre_clone_script = "a"', { preGetSourcesScript: "a" }],
    ['pre_build_script = "a"\npost_build_script = "b"', { preBuildScript: "a", postBuildScript: "b" }],
    ['prepare_timeout = "5m"\nget_sources_timeout = "1m"', { prepareTimeoutMs: 300_000, getSourcesTimeoutMs: 60_000 }],
    ["debug_trace_disabled = true\nclean_git_config = false", { debugTraceDisabled: true, cleanGitConfig: false }],
    ["[runners.custom_build_dir]\nenabled = true", { customBuildDirectory: true }],
    ["[runners.feature_flags]\nFF_ONE = true\nFF_TWO = false", { featureFlags: { FF_ONE: true, FF_TWO: false } }],
    [
      "[runners.cache]",
      { cache: { ...noStores, type: undefined, path: "", shared: false, maxUploadedArchiveBytes: 0 } },
    ],
    [
      '[runners.cache]\nType = "S3"\nPath = "p"\nShared = true\nMaxUploadedArchiveSize = 1048576',
      { cache: { ...noStores, type: "s3", path: "p", shared: true, maxUploadedArchiveBytes: 1_048_576 } },
    ],
    [
      '[runners.cache]\ntype = "gcs"',
      { cache: { ...noStores, type: "gcs", path: "", shared: false, maxUploadedArchiveBytes: 0 } },
    ],
  ])("%j", (body, expected) => {
    expect(parseRunner(body)).toMatchObject(expected);
  });

  it("expands variables in url and token, and nowhere else", () => {
    const text =
      '[[runners]]\nname = "$NAME"\nurl = "https://$HOST/${PATH_PART}"\ntoken = "$TOKEN"\nexecutor = "shell"\nbuilds_dir = "$HOME"\n';
    const { config } = parseRunnerConfig(text, {
      environment: { HOST: "h", PATH_PART: "p", TOKEN: "glrt-x", NAME: "n", HOME: "h" },
    });
    expect(config?.runners[0]).toMatchObject({
      name: "$NAME",
      url: "https://h/p",
      token: "glrt-x",
      buildsDirectory: "$HOME",
    });
    expect(parseRunnerConfig(text).config?.runners[0]?.token).toBe("$TOKEN");
  });

  it("warns about a variable that is not in the environment", () => {
    const { problems } = parseRunnerConfig(minimal.replace("https://gitlab.example.com", "https://$HOST"), {
      environment: {},
    });
    expect(problems).toEqual([
      {
        path: "runners[0].url",
        severity: "warning",
        code: "missing-variable",
        message: "the variable HOST is not in the environment, so it counts as empty; set it",
      },
    ]);
  });

  it.each(['token = ""', 'token = "  "', ""])(
    "JE 59: a runner without token (%s) is left out with a warning, the others work",
    (token) => {
      const { config, problems } = parseRunnerConfig(
        `concurrent = 4\n[[runners]]\nname = "dead"\nurl = "u"\n${token}\n${minimal}`,
      );
      expect(config?.runners.map((runner) => runner.name)).toEqual(["one"]);
      expect(problems).toEqual([
        {
          path: "runners[0].token",
          severity: "warning",
          code: "missing-token",
          message: "there is no token, so this runner is left out; register it again or remove the section",
        },
      ]);
    },
  );

  it.each([
    ["docker-ssh+machine", "docker+machine"],
    ["docker-ssh", "docker"],
  ])("JE 67: the removed executor %s gives one error that names the runner and %s", (old, replacement) => {
    const { config, problems } = parseRunnerConfig(
      `concurrent = 2\n${minimal}${minimal.replace('"one"', '"old"').replace("abc", "xyz").replace("shell", old)}`,
    );
    expect(config).toBeUndefined();
    expect(problems).toEqual([
      {
        path: "runners[1].executor",
        severity: "error",
        code: "removed-executor",
        message: `the executor ${old} of the runner "old" no longer exists; write ${replacement} instead`,
      },
    ]);
  });

  it("names all problems at once, with their paths", () => {
    const text = [
      'concurrent = "many"',
      'check_interval = "3s"',
      'log_level = "loud"',
      'connection_max_age = "1 day"',
      "shutdown_timeout = 1.5",
      "[[runners]]",
      "url = 7",
      'token = "t"',
      "environment = [1]",
      "token_expires_at = 'soon'",
      "[runners.feature_flags]",
      'FF_A = "yes"',
      "[[runners]]",
      'Token = "t"',
      "executor = []",
      "custom_build_dir = true",
    ].join("\n");
    const { config, problems } = parseRunnerConfig(text);
    expect(config).toBeUndefined();
    expect(
      problems
        .filter((problem) => problem.severity === "error")
        .map(({ path, message }) => `${path} ${message}`)
        .toSorted(),
    ).toEqual([
      "check_interval must be a whole number, not this string",
      "concurrent must be a whole number, not this string",
      'connection_max_age must be a duration such as "30m", not this string',
      "log_level must be one of trace, debug, info, warn, warning, error, fatal, panic, not this string",
      "runners[0].environment must be a list of strings, not a list",
      "runners[0].feature_flags.FF_A must be true or false, not this string",
      "runners[0].token_expires_at must be a time such as 2030-01-02T03:04:05Z, not this string",
      "runners[0].url must be a string, not the number 7",
      "runners[1].custom_build_dir must be a table, not true",
      "runners[1].executor must be a string, not a list",
      "shutdown_timeout must be a whole number, not the number 1.5",
    ]);
  });

  it.each([
    ["concurrent = 0", "error", "concurrent", "must be at least 1, not 0"],
    ["runners = 1", "error", "runners", "must be a list of tables, written [[runners]], not the number 1"],
    ["[runners]\nname = 'x'", "error", "runners", "must be a list of tables, written [[runners]], not a table"],
    [
      `${minimal}environment = ["A=1", "nothing", "=x"]`,
      "warning",
      "runners[0].environment",
      "entry 2 has no NAME= at its start and is ignored",
    ],
    [
      `${minimal}${minimal}`,
      "warning",
      "concurrent",
      "1 is less than the number of runners (2): while some wait for a job, the others get no turn; raise it",
    ],
    [
      `concurrent = 1\nCONCURRENT = 2`,
      "warning",
      "CONCURRENT",
      "CONCURRENT and concurrent are the same key; only CONCURRENT counts, so remove the other",
    ],
  ])("%j: %s", (text, severity, path, message) => {
    expect(parseRunnerConfig(text).problems[0]).toMatchObject({ severity, path, message });
  });

  it("names line and column of broken TOML, and nothing of its text", () => {
    const { config, problems } = parseRunnerConfig('concurrent = 1\n[[runners]]\ntoken = "glrt-secret\n');
    expect(config).toBeUndefined();
    expect(problems).toEqual([expect.objectContaining({ path: "", severity: "error", code: "broken-toml" })]);
    expect(problems[0]?.message).toMatch(/^the file is not valid TOML: line 3, column \d+: /);
    expect(JSON.stringify(problems)).not.toContain("secret");
  });

  it("never shows a token that stands in the wrong place", () => {
    const text = '[[runners]]\nname = "x"\ntoken = ["glrt-secret"]\nlimit = "glrt-secret"\nexecutor = "shell"\n';
    expect(JSON.stringify(lintRunnerConfig(text))).not.toContain("secret");
  });
});

describe("two sections with the same url and token", () => {
  const section = (name: string, url: string, token: string): string =>
    `[[runners]]\nname = "${name}"\nurl = "${url}"\ntoken = "${token}"\nexecutor = "shell"\n`;

  it("are a warning that names both and no token", () => {
    const url = "https://gitlab.example.com";
    const text = `concurrent = 3\n${section("a", url, "glrt-x")}${section("b", url, "glrt-y")}${section("c", url, "glrt-x")}`;
    const { config, problems } = parseRunnerConfig(text);
    expect(config?.runners).toHaveLength(3);
    expect(problems).toEqual([
      {
        path: "runners[2].token",
        severity: "warning",
        code: "duplicate-runner",
        message: expect.stringMatching(/"c" .* "a" \(runners\[0\]\)/),
      },
    ]);
    expect(JSON.stringify(problems)).not.toContain("glrt-");
  });

  it("are none where the url or the token differs, or no token is there", () => {
    const text = `concurrent = 4\n${section("a", "https://a", "glrt-x")}${section("b", "https://b", "glrt-x")}${section("c", "https://a", "glrt-y")}${section("d", "https://a", "")}${section("e", "https://a", "")}`;
    expect(parseRunnerConfig(text).problems.map(({ code }) => code)).toEqual(["missing-token", "missing-token"]);
  });
});

const PLAIN = { boolean: "true", integer: "7", list: '["x"]', text: '"x"' };

/** @see https://docs.gitlab.com/runner/configuration/advanced-configuration/#the-runnersdocker-section */
const REFERENCE_KEYS =
  `host tls_cert_path tls_verify image pull_policy allowed_pull_policies allowed_images allowed_services
allowed_privileged_images allowed_privileged_services allowed_users user privileged services_privileged volumes
cache_dir disable_cache volume_keep volume_driver volume_driver_ops volumes_from network_mode network_mtu enable_ipv6
extra_hosts dns dns_search links mac_address hostname memory memory_swap memory_reservation cpus cpu_shares cpuset_cpus
cpuset_mems cgroup_parent ulimit shm_size tmpfs services_tmpfs devices services_devices device_cgroup_rules gpus
service_gpus cap_add cap_drop group_add security_opt services_security_opt sysctls runtime userns_mode pid_mode ipcmode
isolation oom_kill_disable oom_score_adjust disable_entrypoint_overwrite wait_for_services_timeout services_limit
service_memory service_memory_swap service_memory_reservation service_cpus service_cpu_shares service_cpuset_cpus
service_cgroup_parent service_slot_cgroup_template helper_image helper_image_flavor container_labels log_options
services`.split(/\s+/);
const REFERENCE_TABLES = [
  "volume_driver_ops",
  "ulimit",
  "tmpfs",
  "services_tmpfs",
  "sysctls",
  "container_labels",
  "log_options",
];
const REFERENCE_UNSUPPORTED = ["helper_image_flavor", "service_slot_cgroup_template"];

describe("[runners.docker]", () => {
  const docker = (
    text: string,
  ): NonNullable<ReturnType<typeof parseRunnerConfig>["config"]>["runners"][number]["docker"] =>
    parseRunnerConfig(`${minimal}[runners.docker]\n${text}`).config?.runners[0]?.docker;

  it("is read with its lists, tables and services", () => {
    const text =
      'host = "tcp://10.0.0.1:2376"\ntls_verify = true\ntls_cert_path = "/certs"\nimage = "ruby:3"\nprivileged = true\n' +
      'volumes = ["/cache"]\nshm_size = 1024\nwait_for_services_timeout = -1\n[runners.docker.sysctls]\n"net.ipv4.ip_forward" = 1\n' +
      '[runners.docker.services_devices]\n"redis:*" = ["/dev/null"]\n[[runners.docker.services]]\nname = "redis:7"\nalias = "cache"\n';
    expect(docker(text)).toMatchObject({
      host: "tcp://10.0.0.1:2376",
      tlsVerify: true,
      tlsCertificatePath: "/certs",
      image: "ruby:3",
      privileged: true,
      volumes: ["/cache"],
      shmSizeBytes: 1024,
      waitForServicesTimeout: -1,
      sysctls: { "net.ipv4.ip_forward": "1" },
      servicesDevices: { "redis:*": ["/dev/null"] },
      services: [{ name: "redis:7", alias: "cache" }],
    });
    expect(parseRunnerConfig(minimal).config?.runners[0]?.docker).toBeUndefined();
  });

  it("takes a pull policy as one string or as a list", () => {
    expect(docker('pull_policy = "never"')?.pullPolicy).toEqual(["never"]);
    expect(docker('pull_policy = ["always", "if-not-present"]')?.pullPolicy).toEqual(["always", "if-not-present"]);
  });

  it("reads or names every key that the reference has, and ignores none silently", () => {
    const plain = DOCKER_KEYS.map(({ key, kind }) => `${key} = ${PLAIN[kind]}`);
    const tables = REFERENCE_TABLES.map((key) => `${key} = { "a" = "b" }`);
    const lists = ['services_devices = { "a:*" = ["/dev/null"] }', 'services = [{ name = "redis" }]'];
    const lines = [...plain, ...tables, ...lists, ...REFERENCE_UNSUPPORTED.map((key) => `${key} = "x"`)];
    const problems = lintRunnerConfig(`concurrent = 1\n${minimal}[runners.docker]\n${lines.join("\n")}\n`);
    expect(problems.map(({ code, path }) => `${code} ${path}`)).toEqual(
      REFERENCE_UNSUPPORTED.map((key) => `unsupported runners[0].docker.${key}`),
    );
    const keys = DOCKER_KEYS.map(({ key }) => key);
    const known = new Set([...keys, ...REFERENCE_TABLES, "services_devices", "services"]);
    expect(REFERENCE_KEYS.filter((key) => !known.has(key)).toSorted()).toEqual(REFERENCE_UNSUPPORTED.toSorted());
  });

  it("names a value of the wrong kind and a service without a name", () => {
    const text = `${minimal}[runners.docker]\npull_policy = 3\n[[runners.docker.services]]\nalias = "x"\n`;
    expect(parseRunnerConfig(text).problems.map(({ path, code }) => `${code} ${path}`)).toEqual([
      "wrong-type runners[0].docker.pull_policy",
      "missing-name runners[0].docker.services[0].name",
    ]);
  });
});

describe("lintRunnerConfig", () => {
  it("names unknown keys and keys that have no effect, with their paths", () => {
    const text = `concurrnt = 2\nsentry_dsn = "x"\n${minimal}tokn = "x"\n[runners.docker]\nimage = "x"\nimagee = "x"\nhelper_image_flavor = "x"\n[runners.ssh]\nhost = "x"\n[runners.cache]\nTyp = "s3"\n[runners.cache.s3]\nBucketName = "b"\n[runners.custom_build_dir]\nenabeld = true\n`;
    expect(parseRunnerConfig(text).problems).toEqual([]);
    expect(lintRunnerConfig(text).map(({ path, code, severity }) => `${severity} ${code} ${path}`)).toEqual([
      "warning unknown-key concurrnt",
      "warning unsupported sentry_dsn",
      "warning unknown-key runners[0].tokn",
      "warning unsupported runners[0].ssh",
      "warning unknown-key runners[0].custom_build_dir.enabeld",
      "warning unknown-key runners[0].docker.imagee",
      "warning unsupported runners[0].docker.helper_image_flavor",
      "warning unknown-key runners[0].cache.Typ",
    ]);
  });

  it("finds nothing in a file that register wrote", () => {
    expect(lintRunnerConfig(`concurrent = 1\n${minimal}`)).toEqual([]);
  });
});
