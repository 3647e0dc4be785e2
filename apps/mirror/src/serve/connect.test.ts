import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, request as sendRequest } from "node:http";
import type { IncomingMessage, Server as HttpServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runMirror, startMirror } from "../testing/process.ts";
import type { ChildMirror } from "../testing/process.ts";

let folder: string;
let data: string;
let upstream: HttpServer;
let upstreamUrl: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "connect-app-"));
  data = join(folder, "data");
  upstream = createServer((_, response) => response.writeHead(404).end()).listen(0, "127.0.0.1");
  await once(upstream, "listening");
  upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
});

afterEach(async () => {
  upstream.close();
  await rm(folder, { recursive: true });
});

/** Tells whenever the certificate library is loaded. */
const watching = {
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(
    "import{registerHooks}from'node:module';registerHooks({load(url,context,next){if(url.includes('@peculiar'))process.stderr.write('LOADED '+url+'\\n');return next(url,context)}})",
  )}`,
};

async function configure(more = ""): Promise<string> {
  const file = join(folder, "mirror.toml");
  const text = `data = ${JSON.stringify(data)}\nlisten = ["127.0.0.1:0"]\n[upstreams.quay]\nurl = "${upstreamUrl}"\nhosts = ["quay.io"]\n[connect]\nenabled = true\n${more}`;
  await writeFile(file, text);
  return file;
}

function connect(mirror: ChildMirror, target: string): Promise<{ status: number; phrase: string; socket: Socket }> {
  return new Promise((resolve, reject) => {
    const request = sendRequest({ host: "127.0.0.1", port: mirror.port, method: "CONNECT", path: target });
    request.on("connect", (response: IncomingMessage, socket: Socket) => {
      socket.on("error", () => {});
      resolve({ status: response.statusCode ?? 0, phrase: response.statusMessage ?? "", socket });
    });
    request.on("error", reject).end();
  });
}

describe("serve --connect", () => {
  it("RM K27: makes no authority and loads no certificate library while it is off, and answers CONNECT with 405", async () => {
    await using off = await startMirror(
      ["--data", data, "--upstream", upstreamUrl, "--listen", "127.0.0.1:0"],
      watching,
    );
    expect(await connect(off, "quay.io:443")).toMatchObject({
      status: 405,
      phrase: expect.stringContaining("connect.enabled"),
    });
    expect((await fetch(`${off.url}/ca.crt`)).status).toBe(404);
    await expect(access(join(data, "connect"))).rejects.toThrow("ENOENT");
    expect(off.output()).not.toContain("LOADED");
    off.kill("SIGTERM");
    expect(await off.ended).toBe(0);
    await using on = await startMirror(["--config", await configure()], watching);
    expect(on.output()).toContain("LOADED");
  });

  it("RM K8: prints the fingerprint of its authority, and gives out the certificate but never the key", async () => {
    const config = await configure();
    await using mirror = await startMirror(["--config", config]);
    const [, fingerprint = ""] = /SHA-256 ((?:[0-9A-F]{2}:){31}[0-9A-F]{2})/.exec(mirror.output()) ?? [];
    expect(fingerprint).not.toBe("");
    const answer = await fetch(`${mirror.url}/ca.crt`);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "application/x-x509-ca-cert"]);
    const certificate = await answer.text();
    expect(certificate).toBe(await readFile(join(data, "connect/ca.crt"), "utf8"));
    expect((await fetch(`${mirror.url}/ca.key`)).status).toBe(404);
    const printed = await runMirror(["configure", "ca", "--config", config]);
    expect([printed.code, printed.stdout]).toEqual([0, certificate]);
    expect(printed.stderr).toContain(fingerprint);

    const { socket } = await connect(mirror, "quay.io:443");
    const inside = connectTls({ socket, servername: "quay.io", ca: certificate });
    await once(inside, "secureConnect");
    inside.write("GET /v2/ HTTP/1.1\r\nHost: quay.io\r\nConnection: close\r\n\r\n");
    const [head] = (await once(inside, "data")) as [Buffer];
    expect(head.toString()).toMatch(/^HTTP\/1\.1 200 /);
    inside.destroy();
    const operators = await (await fetch(`${mirror.operatorsUrl}/metrics`)).text();
    expect(operators).toContain('fleetfoot_mirror_connects_total{result="intercepted"} 1');
  });

  it("RM K24: does not start for a host that its authority does not hold for, and says what to do", async () => {
    expect((await runMirror(["configure", "ca", "--config", await configure()])).code).toBe(0);
    const config = await configure('hosts = ["quay.io", "ghcr.io"]\n');
    const refused = await runMirror(["serve", "--config", config]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("does not hold for ghcr.io") });
    expect(refused.stderr).toContain("fleetfoot-mirror configure ca --renew");
    expect((await runMirror(["configure", "ca", "--renew", "--config", config])).code).toBe(0);
    await using mirror = await startMirror(["--config", config]);
    expect(mirror.output()).toContain("HTTP proxy for quay.io, ghcr.io");
  });

  it("RM K28: lets tunnels end by themselves when it is stopped, and cuts them when it is told twice", async () => {
    const silent = createTcpServer().listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    const config = await configure(`tunnelHosts = ["127.0.0.1:${port}"]\n`);
    const text = await readFile(config, "utf8");
    await writeFile(config, `allowPrivate = ["127.0.0.0/8"]\n${text}`);
    for (const signals of [1, 2]) {
      await using mirror = await startMirror(["--config", config]);
      const { socket, status } = await connect(mirror, `127.0.0.1:${port}`);
      expect(status).toBe(200);
      // Not even an operator's permission leads back to the mirror.
      expect((await connect(mirror, `127.0.0.1:${mirror.port}`)).status).toBe(403);
      mirror.kill("SIGTERM");
      await expect.poll(() => mirror.output()).toContain("stopping");
      if (signals === 1) socket.destroy();
      else mirror.kill("SIGTERM");
      expect(await mirror.ended).toBe(0);
    }
    silent.close();
  });

  it("RM K16: warns that everybody gets what its login opens", async () => {
    const config = await configure();
    const text = await readFile(config, "utf8");
    await writeFile(
      config,
      text.replace(
        "[connect]",
        'username = "robot"\npassword = "x"\naccess = "shared"\nsharedNames = ["^org/"]\n[connect]',
      ),
    );
    await using mirror = await startMirror(["--config", config]);
    expect(mirror.output()).toContain(
      "upstreams.quay: everybody who reaches this mirror gets what its credentials open",
    );
  });

  it("RM D5: prints a script for each client of the proxy, with address, authority and fingerprint in it", async () => {
    const config = await configure('hosts = ["quay.io", "registry-1.docker.io"]\n');
    for (const [client, folderOfClient] of [
      ["dockerd", "/etc/docker/certs.d/quay.io/ca.crt"],
      ["podman", "/etc/containers/certs.d/quay.io/ca.crt"],
      ["containerd", "/usr/local/share/ca-certificates"],
    ] as const) {
      const words = ["configure", "connect", "--client", client, "--config", config, "--advertise", "10.1.2.3:6000"];
      const { code, stderr, stdout } = await runMirror(words);
      expect([code, stdout.includes("http://10.1.2.3:6000"), stdout.includes(folderOfClient)], stderr).toEqual([
        0,
        true,
        true,
      ]);
      expect(stdout).toContain((await readFile(join(data, "connect/ca.crt"), "utf8")).trim());
      expect(stdout).toMatch(/NO_PROXY='?localhost,127\.0\.0\.1,.*,10\.0\.0\.0\/8,.*,10\.1\.2\.3:6000/);
      expect(stdout).toMatch(/# Certificate authority: SHA-256 [0-9A-F:]{95}\n/);
      if (client === "dockerd") expect(stderr).toContain("registry-1.docker.io from the system's store only");
      const { stdout: json } = await runMirror([...words, "--json"]);
      expect(JSON.parse(json)).toMatchObject({ client, url: "http://10.1.2.3:6000", text: stdout });
    }
  });

  it("prints a script that a shell reads, for hosts of every form, which leaves listed registries to the proxy", async () => {
    const config = await configure('hosts = ["QUAY.io", "10.9.9.9:5000", "fd00::7"]\nnameConstraints = false\n');
    const words = [
      "configure",
      "connect",
      "--config",
      config,
      "--advertise",
      "[fd00::1]:6000",
      "--no-proxy",
      ".corp.example",
    ];
    const { code, stderr, stdout } = await runMirror(words);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('Environment="HTTPS_PROXY=http://[fd00::1]:6000"');
    for (const name of ["quay.io", "10.9.9.9:5000", "[fd00::7]"])
      expect(stdout).toContain(`"/etc/docker/certs.d/${name}/ca.crt"`);
    const [, list = ""] = /NO_PROXY=([^"]*)"/.exec(stdout) ?? [];
    const entries = list.split(",");
    expect(entries).toEqual(expect.arrayContaining(["172.16.0.0/12", "fd00::1", ".corp.example"]));
    expect(entries).not.toContain("10.0.0.0/8");
    expect(entries).not.toContain("fc00::/7");
    const shell = spawnSync("sh", ["-n"], { input: stdout });
    expect([shell.status, String(shell.stderr)]).toEqual([0, ""]);
    for (const [more, problem] of [
      [["--no-proxy", 'x"y'], "--no-proxy"],
      [["--write"], "connect prints a script"],
    ] as const) {
      expect((await runMirror([...words, ...more])).stderr).toContain(problem);
    }
    const bad = await configure('hosts = ["quay.io; reboot"]\n');
    expect(await runMirror(["configure", "connect", "--config", bad])).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining("connect.hosts"),
    });
  });

  it("lets only those in who have a login, made by configure proxy-user", async () => {
    const { stdout } = await runMirror(["configure", "proxy-user", "robot"], { FLEETFOOT_PROXY_PASSWORD: "hunter2" });
    expect(stdout).toMatch(/^robot:scrypt\$/);
    await using mirror = await startMirror([
      "--config",
      await configure(`proxyAuth = [${JSON.stringify(stdout.trim())}]\n`),
    ]);
    expect((await connect(mirror, "quay.io:443")).status).toBe(407);
    expect((await runMirror(["configure", "proxy-user", "robot"])).code).toBe(1);
  });
});
