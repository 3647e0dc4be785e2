import { describe, expect, it } from "vitest";
import { parse } from "smol-toml";
import { readSettings } from "./read-settings.ts";
import type { Settings } from "./read-settings.ts";
import type { SettingsSources } from "./settings-sources.ts";
import { formatSize, parseDuration, parseSize } from "./units.ts";

const nothing: SettingsSources = {
  flags: { listen: [] },
  environment: {},
  file: {},
  isRoot: true,
  homeDirectory: "/home/me",
};

function settingsOf(sources: Partial<SettingsSources>): Settings {
  const result = readSettings({ ...nothing, ...sources });
  if ("problems" in result) throw new Error(result.problems.join("\n"));
  return result.settings;
}

function problemsOf(sources: Partial<SettingsSources>): readonly string[] {
  const result = readSettings({ ...nothing, ...sources });
  return "problems" in result ? result.problems : [];
}

describe("readSettings", () => {
  it("RM D1: mirrors Docker Hub on loopback when it is told nothing", () => {
    const { listeners, mirror, operators, warnings } = settingsOf({});
    expect(listeners).toEqual([{ host: "127.0.0.1", port: 6000, entry: undefined }]);
    expect(operators).toEqual({ host: "127.0.0.1", port: 6001 });
    expect(mirror).toMatchObject({
      directory: "/var/lib/fleetfoot-mirror",
      upstreams: { hub: { url: "https://registry-1.docker.io" } },
    });
    expect(warnings).toEqual([]);
    expect(settingsOf({ isRoot: false }).mirror.directory).toBe("/home/me/.local/share/fleetfoot-mirror");
  });

  it("RM D2: takes several addresses, warns of those that others reach, and lets flags go before variables", () => {
    const all = settingsOf({ flags: { listen: ["0.0.0.0:6000"] } });
    expect(all.listeners).toEqual([{ host: undefined, port: 6000, entry: undefined }]);
    expect(all.warnings).toHaveLength(1);
    expect(all.warnings[0]).toContain("private network");
    expect(settingsOf({ flags: { listen: ["127.0.0.1:1", "[::1]:2"] } }).listeners.map(({ port }) => port)).toEqual([
      1, 2,
    ]);
    const environment = { REGISTRY_HTTP_ADDR: ":5000" };
    expect(settingsOf({ environment })).toMatchObject({
      listeners: [{ host: undefined, port: 5000 }],
      warnings: all.warnings.map(() => expect.stringContaining("0.0.0.0:5000")),
    });
    expect(settingsOf({ environment, flags: { listen: ["127.0.0.1:7"] } }).listeners).toMatchObject([{ port: 7 }]);
  });

  it("RM C13: reads the variables of the classical image", () => {
    const environment = {
      REGISTRY_PROXY_REMOTEURL: "https://registry.example.com",
      REGISTRY_HTTP_ADDR: "127.0.0.1:5000",
      REGISTRY_PROXY_USERNAME: "me",
      REGISTRY_PROXY_PASSWORD: "hunter2",
    };
    const { listeners, mirror } = settingsOf({ environment });
    expect(listeners).toMatchObject([{ host: "127.0.0.1", port: 5000 }]);
    expect(mirror.upstreams).toMatchObject({
      hub: { url: "https://registry.example.com", hosts: ["docker.io"], credentials: { username: "me" } },
    });
    expect(JSON.stringify(mirror)).not.toContain("hunter2");
  });

  it("reads the file of several upstreams in order", () => {
    const file = parse(`
      listen = ["10.1.2.3:6000"]
      default = "hub"
      maxSize = "50GB"
      maxUnused = "30d"
      [upstreams.internal]
      url = "https://registry.example.com"
      tagTtl = "60s"
      exclusive = ["^platform/"]
      [upstreams.hub]
      url = "https://registry-1.docker.io"
      tagTtl = "24h"
      deny = ["-(alpha|beta)$"]
      tagRules = [{ pattern = "^latest$", tagTtl = "10m" }, { pattern = "^v[0-9]", tagTtl = "forever" }]
      [virtual.ci]
      upstreams = ["internal", "hub"]
      listen = "10.1.2.3:6010"
      winnerTtl = "12h"
    `);
    const { listeners, mirror } = settingsOf({ file });
    expect(listeners.map(({ entry, port }) => [port, entry])).toEqual([
      [6000, undefined],
      [6010, "ci"],
    ]);
    expect(mirror).toMatchObject({
      defaultRegistry: "hub",
      maxBytes: 50e9,
      maxUnusedMs: 30 * 86_400_000,
      upstreams: {
        internal: { tagTtlMs: 60_000, exclusive: ["^platform/"] },
        hub: {
          tagTtlMs: 86_400_000,
          deny: ["-(alpha|beta)$"],
          tagRules: [
            { pattern: "^latest$", ttlMs: 600_000 },
            { pattern: "^v[0-9]", ttlMs: "forever" },
          ],
        },
      },
      virtualRegistries: { ci: { upstreams: ["internal", "hub"], winnerTtlMs: 43_200_000 } },
    });
  });

  it("lets flags and variables go before what a file says too", () => {
    const file = parse(
      [
        'listen = "127.0.0.1:1"',
        'operators = "127.0.0.1:2"',
        'data = "/from/file"',
        'maxSize = "1GB"',
        'advertise = "from.file"',
        'tlsCert = "file.crt"',
        'tlsKey = "file.key"',
        "allowShared = true",
      ].join("\n"),
    );
    const flags = {
      listen: ["127.0.0.1:3"],
      operators: "127.0.0.1:4",
      maxSize: "2GB",
      advertise: "from.flag",
      tlsCert: "flag.crt",
      tlsKey: "flag.key",
      allowShared: true,
    };
    const environment = { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: "/from/variable" };
    expect(settingsOf({ file, flags, environment })).toMatchObject({
      listeners: [{ port: 3 }],
      operators: { port: 4 },
      advertise: { scheme: undefined, host: "from.flag", port: undefined },
      tls: { certFile: "flag.crt", keyFile: "flag.key" },
      mirror: { directory: "/from/variable", maxBytes: 2e9 },
    });
  });

  it("needs the name and the password of the classical image's variables together, for serving only", () => {
    const environment = { REGISTRY_PROXY_USERNAME: "me" };
    expect(problemsOf({ environment })).toEqual([expect.stringContaining("REGISTRY_PROXY_PASSWORD")]);
    expect(problemsOf({ environment, needsLogins: false })).toEqual([]);
  });

  it("RM E6: refuses to share what credentials open with other machines, unless it is told to", () => {
    const file = parse(
      '[upstreams.hub]\nurl = "https://registry-1.docker.io"\naccess = "shared"\nsharedNames = ["^org/"]\nusername = "me"\npassword = "hunter2"',
    );
    const open = { listen: ["0.0.0.0:6000"] };
    expect(problemsOf({ file, flags: open })).toEqual([expect.stringContaining("--allow-shared")]);
    const allowed = settingsOf({ file, flags: { ...open, allowShared: true } });
    expect(allowed.warnings).toContainEqual(expect.stringContaining("everybody who reaches this mirror"));
    expect(settingsOf({ file }).warnings).toHaveLength(1);
  });

  it("needs the password of an upstream for serving only, and names the variable that holds none", () => {
    const file = parse(
      '[upstreams.hub]\nurl = "https://a.example"\nusername = "me"\npasswordVariable = "HUB_PASSWORD"',
    );
    for (const environment of [{}, { HUB_PASSWORD: "" }])
      expect(problemsOf({ file, environment })).toEqual([expect.stringContaining("HUB_PASSWORD")]);
    expect(problemsOf({ file, needsLogins: false })).toEqual([]);
  });

  it.each([
    ["[s3]", "s3.bucket is missing"],
    ["[s3]\nbucket = 5", "s3.bucket must be a text"],
    ['[upstreams.__proto__]\nurl = "https://a.example"', "upstreams.__proto__ cannot be a name"],
    ["reserve = -1", "reserve must be a size"],
    ["maxSize = 1.5", "maxSize must be a size"],
    ['advertise = "x:0"', 'advertise: "x:0"'],
    ['advertise = "http://me:hunter2@x"', 'advertise: "http://[redacted]@x" cannot be'],
    ['data = "here"', 'data: "here" is no absolute path'],
    ["maxSize = 0", "maxSize: must be above 0"],
    ['listen = ["10.1.2.3:1", "10.1.2.3:1"]', 'listen: "10.1.2.3:1" is there twice'],
    ['listen = ["[::1]:1"]\noperators = "[::1]:1"', "operators: [::1]:1 is where clients come to (listen)"],
    ['advertise = "http://x:70000/"', 'advertise: "http://x:70000/"'],
    ['[s3]\nbucket = "x"\nendpoint = "http://minio:9000"', "s3.endpoint is no setting"],
    ['[gcs]\nbucket = "x"\nserverAddress = "minio:9000"', "gcs.serverAddress is no setting"],
    ['[azure]\naccountName = "x"\ncontainerName = "y"\nbucket = "z"', "azure.bucket is no setting"],
    ['[upstreams.hub]\nurl = "https://a.example"\nca = "/etc/ca.pem"', "upstreams.hub.ca must be certificates"],
  ])("says what is wrong with %j", (text, problem) => {
    expect(problemsOf({ file: parse(text) })).toEqual([expect.stringContaining(problem)]);
  });

  it("warns of shared access that opens nothing", () => {
    const login = 'username = "me"\npassword = "hunter2"';
    const file = parse(`[upstreams.hub]\nurl = "https://registry-1.docker.io"\naccess = "shared"\n${login}`);
    expect(settingsOf({ file }).warnings).toEqual([
      expect.stringContaining('access "shared" opens only what sharedNames name'),
    ]);
  });

  it("tells every problem at once, with the place of each", () => {
    const file = parse(
      'lissten = "x"\nmaxSize = "many"\n[upstreams.a]\nurl = 5\naccess = "open"\nusername = "x"\n[s3]\nbucket = "x"\n[gcs]\nbucket = "y"',
    );
    const problems = problemsOf({ file, flags: { listen: ["nowhere"], tlsCert: "x" } });
    for (const part of [
      "lissten is no setting",
      "maxSize must be",
      "upstreams.a.url must be",
      "upstreams.a.access must be one of",
      "passwordVariable",
      '"nowhere"',
      "tlsKey",
      "only one of s3",
    ]) {
      expect(problems.join("\n")).toContain(part);
    }
  });
});

describe("units", () => {
  it.each([
    ["50GB", 50e9],
    ["512MiB", 512 * 1024 ** 2],
    ["1.5 g", 1.5e9],
    ["7", 7],
    ["x", undefined],
    ["", undefined],
    ["-1", undefined],
  ])("reads the size %j", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each([
    ["24h", 86_400_000],
    ["1h30m", 5_400_000],
    ["7d", 604_800_000],
    ["0", 0],
    ["250ms", 250],
    ["5", undefined],
    ["1y", undefined],
  ])("reads the time %j", (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it("writes sizes for people", () => {
    expect([0, 999, 1500, 2.5e9].map(formatSize)).toEqual(["0 B", "999 B", "1.5 kB", "2.5 GB"]);
  });
});
