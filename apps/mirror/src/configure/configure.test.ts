import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import type { NetworkInterfaceInfo } from "node:os";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "smol-toml";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runMirror } from "../testing/process.ts";
import { chooseAdvertised } from "../clients/advertise.ts";
import type { AdvertiseFacts } from "../clients/advertise.ts";
import { registriesOf } from "../clients/registries.ts";
import { snippetFor } from "../clients/snippets.ts";
import type { Client, MirrorFacts } from "../clients/snippets.ts";
import { mirrorUrlProblem, readAdvertised } from "../settings/advertised.ts";

function interfacesOf(addresses: Readonly<Record<string, string>>): AdvertiseFacts["interfaces"] {
  const info = (address: string): NetworkInterfaceInfo => ({
    address,
    netmask: "",
    mac: "",
    internal: false,
    cidr: null,
    family: "IPv4",
  });
  return Object.fromEntries(Object.entries(addresses).map(([name, address]) => [name, [info(address)]]));
}

const everywhere: AdvertiseFacts = {
  advertise: undefined,
  listeners: [{ host: undefined, port: 6000 }],
  interfaces: interfacesOf({
    lo: "127.0.0.1",
    eth0: "203.0.113.5",
    eth1: "10.1.2.3",
    docker0: "172.17.0.1",
    eth2: "169.254.1.1",
  }),
  routeInterface: "eth0",
  isContainer: false,
};

describe("chooseAdvertised", () => {
  it("RM D3: prefers a private address of the machine to a public one and to bridges of engines", () => {
    expect(chooseAdvertised(everywhere)).toMatchObject({
      address: "10.1.2.3:6000",
      candidates: ["10.1.2.3:6000", "203.0.113.5:6000"],
    });
  });

  it("RM D4: says what is to be known of a public, a loopback and a container's address", () => {
    const publicOnly = chooseAdvertised({ ...everywhere, interfaces: interfacesOf({ eth0: "203.0.113.5" }) });
    expect(publicOnly).toMatchObject({ address: "203.0.113.5:6000", remarks: [expect.stringContaining("billed")] });
    const loopback = chooseAdvertised({ ...everywhere, listeners: [{ host: "127.0.0.1", port: 6000 }] });
    expect(loopback).toMatchObject({ address: "127.0.0.1:6000", remarks: [expect.stringContaining("--listen")] });
    const given = chooseAdvertised({ ...everywhere, advertise: readAdvertised("mirror.example:6000", []) });
    expect(given).toMatchObject({ address: "mirror.example:6000", remarks: [] });
    for (const [text, address] of [
      ["mirror.example", "mirror.example:6000"],
      ["fd00::1", "[fd00::1]:6000"],
      ["[fd00::1]", "[fd00::1]:6000"],
      ["[fd00::1]:80", "[fd00::1]:80"],
      ["10.1.2.3:80", "10.1.2.3:80"],
      ["https://mirror.example", "mirror.example:443"],
      ["http://mirror.example:6000/", "mirror.example:6000"],
    ] as const) {
      expect(chooseAdvertised({ ...everywhere, advertise: readAdvertised(text, []) }).address).toBe(address);
    }
    const inside = chooseAdvertised({ ...everywhere, isContainer: true });
    expect(inside.remarks).toEqual([expect.stringContaining("--advertise")]);
    expect(chooseAdvertised({ ...everywhere, listeners: [{ host: "10.9.9.9", port: 7 }] }).address).toBe("10.9.9.9:7");
  });
});

describe("snippetFor", () => {
  const hub: MirrorFacts["registries"] = [{ host: "docker.io", path: "" }];
  const several = registriesOf({
    mirror: {
      directory: "/data",
      upstreams: {
        hub: { url: "https://registry-1.docker.io" },
        quay: { url: "https://quay.io", hosts: ["quay.example"] },
        internal: { url: "https://reg.example.com:5000" },
        other: { url: "https://[fd00::7]:5000" },
        here: { url: "http://127.0.0.1:5000" },
      },
      virtualRegistries: { ci: { upstreams: ["internal", "hub"] }, apart: { upstreams: ["internal"], prefix: "own" } },
    },
  });

  it("RM D5: covers every registry that the mirror has, as far as the client can say which one it means", () => {
    expect(several).toEqual([
      { host: "docker.io", path: "" },
      { host: "quay.io", path: "quay.io" },
      { host: "quay.example", path: "quay.example" },
      { host: "reg.example.com:5000", path: "own" },
      { host: "[fd00::7]:5000", path: undefined },
    ]);
    const url = "http://[fd00::1]:6000";
    const facts = { url, registries: several };
    expect(parse(snippetFor("buildkit", facts).text)).toEqual({
      registry: {
        ...Object.fromEntries(several.map(({ host }) => [host, { mirrors: ["[fd00::1]:6000"] }])),
        "[fd00::1]:6000": { http: true },
      },
    });
    const podman = snippetFor("podman", facts);
    const entry = (host: string, location: string): unknown => ({
      prefix: host,
      location: host,
      mirror: [{ location, insecure: true }],
    });
    expect(parse(podman.text)).toEqual({
      registry: [
        entry("docker.io", "[fd00::1]:6000"),
        entry("quay.io", "[fd00::1]:6000/quay.io"),
        entry("quay.example", "[fd00::1]:6000/quay.example"),
        entry("reg.example.com:5000", "[fd00::1]:6000/own"),
      ],
    });
    expect(podman.remarks).toContainEqual(expect.stringContaining("Not for [fd00::7]:5000"));
    const containerd = snippetFor("containerd", facts);
    expect(parse(containerd.text)).toMatchObject({ host: { [url]: {} } });
    expect(containerd.remarks.join("\n")).toContain("For docker.io, quay.io, quay.example, reg.example.com:5000");
    for (const client of ["dockerd", "docker-machine", "dind"] as const) {
      const { remarks, text } = snippetFor(client, facts);
      expect(text).toContain(url);
      expect(remarks.join("\n")).toContain("named as [fd00::1]:6000/quay.io/NAME (which needs");
      expect(remarks.join("\n")).not.toContain("Warning");
    }
  });

  it("RM D5: says where the authority of a mirror with TLS belongs, and lets no client speak plainly then", () => {
    const url = "https://10.1.2.3:6000";
    for (const client of ["dockerd", "docker-machine", "containerd", "buildkit", "podman", "dind"] as const) {
      const { remarks, text } = snippetFor(client, { url, registries: several });
      expect(remarks.join("\n"), client).toMatch(/An authority that the client does not know/);
      expect([remarks, text].join("\n"), client).not.toMatch(/http = true|insecure = true|insecure-registries|http:/);
    }
  });

  it("warns of engines whose Docker Hub would be another registry", () => {
    const registries = [
      { host: "quay.io", path: "" },
      { host: "docker.io", path: "docker.io" },
    ];
    for (const client of ["dockerd", "docker-machine", "dind"] as const) {
      const { remarks } = snippetFor(client, { url: "http://10.1.2.3:6000", registries });
      expect(remarks).toContainEqual(expect.stringContaining("is not Docker Hub"));
    }
  });

  it("RM D5: writes each client's own format with the address in it", () => {
    const url = "http://10.1.2.3:6000";
    const text = (client: Client): string => snippetFor(client, { url, registries: hub }).text;
    expect(JSON.parse(text("dockerd"))).toEqual({ "registry-mirrors": [url] });
    expect(parse(text("docker-machine"))).toEqual({ MachineOptions: [`engine-registry-mirror=${url}`] });
    expect(parse(text("containerd"))).toEqual({
      host: { [url]: { capabilities: ["pull", "resolve"], dial_timeout: "2s" } },
    });
    expect(parse(text("buildkit"))).toEqual({
      registry: { "docker.io": { mirrors: ["10.1.2.3:6000"] }, "10.1.2.3:6000": { http: true } },
    });
    expect(parse(text("podman"))).toEqual({
      registry: [
        { prefix: "docker.io", location: "docker.io", mirror: [{ location: "10.1.2.3:6000", insecure: true }] },
      ],
    });
    expect(text("dind")).toContain(`["--registry-mirror", "${url}"]`);
  });

  it("RM C6: refuses what docker-machine could not take, and warns of an address that means the machine itself", () => {
    for (const bad of [
      "http://10.0.0.5:6000 --x",
      "10.0.0.5:6000",
      "http://u:p@h",
      "http://h/$(id)",
      "ftp://h",
      "http://h/path",
    ]) {
      expect(mirrorUrlProblem(bad), bad).toBeDefined();
    }
    expect(mirrorUrlProblem("http://localhost:6000")).toBeUndefined();
    expect(snippetFor("docker-machine", { url: "http://localhost:6000", registries: hub }).remarks).toContainEqual(
      expect.stringContaining("Warning"),
    );
    expect(snippetFor("docker-machine", { url: "http://10.1.2.3:6000", registries: hub }).remarks.join()).not.toContain(
      "Warning",
    );
  });
});

describe("configure dockerd --write", () => {
  let folder: string;
  let file: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "daemon-"));
    file = join(folder, "daemon.json");
  });

  afterEach(() => rm(folder, { recursive: true }));

  const run = (...words: readonly string[]): ReturnType<typeof runMirror> =>
    runMirror([
      "configure",
      "dockerd",
      "--write",
      "--advertise",
      "10.1.2.3:6000",
      "--file",
      file,
      "--unit",
      join(folder, "unit"),
      "--pid-file",
      join(folder, "none"),
      ...words,
    ]);

  it("RM C4: keeps everything else in the file, adds one entry however often, and takes it out again", async () => {
    const original =
      '{\n    "zebra": 1,\n    "registry-mirrors": [\n        "https://other.example"\n    ],\n    "debug": true\n}\n';
    await writeFile(file, original, { mode: 0o600 });
    for (let round = 0; round < 2; round += 1) {
      expect((await run()).code).toBe(0);
      const text = await readFile(file, "utf8");
      expect(Object.keys(JSON.parse(text) as object)).toEqual(["zebra", "registry-mirrors", "debug"]);
      expect(JSON.parse(text)).toMatchObject({ "registry-mirrors": ["http://10.1.2.3:6000", "https://other.example"] });
    }
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await run("--remove")).code).toBe(0);
    expect(await readFile(file, "utf8")).toBe(original);
  });

  it("makes the file, of mode 0644, where there is none", async () => {
    expect((await run()).code).toBe(0);
    expect((await stat(file)).mode & 0o777).toBe(0o644);
    expect((await run("--remove")).code).toBe(0);
    expect(JSON.parse(await readFile(file, "utf8"))).toEqual({});
  });

  it("RM C5: touches nothing when the unit sets a mirror by flag, because dockerd would not start again", async () => {
    await writeFile(file, "{}");
    await writeFile(
      join(folder, "unit"),
      "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H tcp://0.0.0.0:2376 \\\n --registry-mirror http://10.0.0.1:6000\n",
    );
    const { code, stderr } = await run();
    expect([code, await readFile(file, "utf8")]).toEqual([1, "{}"]);
    expect(stderr).toContain("--registry-mirror");
  });

  it.each(["not json", "[]", '{"registry-mirrors": "x"}'])("touches no file that holds %s", async (text) => {
    await writeFile(file, text);
    expect((await run()).code).toBe(1);
    expect(await readFile(file, "utf8")).toBe(text);
  });

  it.each([
    [["dockerd", "--remove"], "--remove goes with --write"],
    [["dockerd", "--write", "--json"], "--write and --json do not go together"],
    [["dockerd", "--client", "podman"], "--client goes with connect"],
    [["dockerd", "--renew"], "--renew goes with ca"],
    [["podman", "--write"], "podman is configured by hand"],
    [["dockerd", "--advertise", "a b"], 'advertise: "a b" cannot be'],
    [["buildkit", "--upstream", "nonsense"], "upstream is no URL"],
  ])("refuses %j, of which nothing or nonsense would come", async (words, problem) => {
    expect(await runMirror(["configure", ...words])).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining(problem),
    });
  });

  it("prints the choice and its reason as JSON", async () => {
    const { stdout } = await runMirror(["configure", "containerd", "--json", "--listen", "10.1.2.3:6000"]);
    expect(JSON.parse(stdout)).toMatchObject({
      client: "containerd",
      address: "10.1.2.3:6000",
      url: "http://10.1.2.3:6000",
      reason: expect.any(String),
    });
  });
});
