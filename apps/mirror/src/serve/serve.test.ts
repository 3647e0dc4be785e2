import { execFile, spawn } from "node:child_process";
import { randomBytes, createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, get, request } from "node:http";
import type { IncomingMessage, Server } from "node:http";
import { get as getTls } from "node:https";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runMirror, startMirror } from "../testing/process.ts";

const layer = randomBytes(5_000_000);
const digest = `sha256:${createHash("sha256").update(layer).digest("hex")}`;
/** More than sockets hold. */
const large = randomBytes(60_000_000);
const largeDigest = `sha256:${createHash("sha256").update(large).digest("hex")}`;
const run = promisify(execFile);
const pulls = Number(process.env["FLEETFOOT_PULLS"] ?? 30);

describe("serve", () => {
  let data: string;
  let hub: Server;
  let hubUrl: string;

  beforeEach(async () => {
    data = await mkdtemp(join(tmpdir(), "mirror-app-"));
    hub = createServer(({ url = "" }, response) => {
      const content = url.endsWith(largeDigest) ? large : layer;
      response.writeHead(200, {
        "content-length": String(content.byteLength),
        "ratelimit-limit": "100;w=21600",
        "ratelimit-remaining": "76;w=21600",
      });
      response.end(content);
    }).listen(0, "127.0.0.1");
    await once(hub, "listening");
    hubUrl = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
  });

  afterEach(async () => {
    hub.closeAllConnections();
    hub.close();
    await rm(data, { recursive: true });
  });

  const blob = `/v2/library/app/blobs/${digest}`;

  it("RM D1: listens on loopback only, with the operators' pages on another address", async () => {
    await using mirror = await startMirror(["--data", data, "--upstream", hubUrl, "--listen", "127.0.0.1:0"]);
    expect((await fetch(`${mirror.url}/v2/`)).status).toBe(200);
    for (const path of ["/metrics", "/status.json", "/entries", "/upstreams/hub/entries", "/"]) {
      expect((await fetch(`${mirror.url}${path}`)).status).toBe(404);
    }
    const others = Object.values(networkInterfaces()).flatMap((list) =>
      (list ?? []).filter(({ family, internal }) => family === "IPv4" && !internal),
    );
    for (const { address } of others) await expect(reach(address, mirror.port)).resolves.toBe("ECONNREFUSED");
    expect(mirror.output()).not.toContain("warning");
  });

  it("RM D6: says which address it cannot have and why, and takes no other one", async () => {
    const taken = (hub.address() as AddressInfo).port;
    const busy = await runMirror(["serve", "--data", data, "--listen", `127.0.0.1:${taken}`]);
    expect([busy.code, busy.stderr]).toEqual([1, expect.stringMatching(new RegExp(`127\\.0\\.0\\.1:${taken}.*taken`))]);
    const foreign = await runMirror(["serve", "--data", data, "--listen", "192.0.2.1:6000"]);
    expect([foreign.code, foreign.stderr]).toEqual([
      1,
      expect.stringMatching(/192\.0\.2\.1:6000.*no address of this machine/),
    ]);
  });

  it.each([
    { listen: "127.0.0.1:6123", upstream: "http://127.0.0.1:6123" },
    { listen: "127.0.0.1:6123", upstream: "http://localhost:6123/" },
    { listen: "0.0.0.0:6123", upstream: "https://127.0.0.1:6123" },
    { listen: "localhost:6123", upstream: "http://127.0.0.1:6123" },
    { listen: "[::1]:6123", upstream: "http://[::1]:6123" },
    { listen: "127.0.0.1:80", upstream: "http://127.0.0.1" },
  ])("does not start as its own upstream: $upstream on $listen", async ({ listen, upstream }) => {
    const result = await runMirror(["serve", "--data", data, "--listen", listen, "--upstream", upstream]);
    expect([result.code, result.stdout]).toEqual([1, ""]);
    expect(result.stderr).toMatch(/upstreams\.hub\.url is \S+, where this mirror itself listens/);
  });

  it
    .runIf(process.platform === "linux")
    .each([
      { words: ["serve", "--data", "/proc/x"] },
      { words: ["serve", "--data", "/proc/x/y", "--connect"] },
      { words: ["configure", "ca", "--connect", "--data", "/proc/x/y"] },
      { words: ["configure", "dockerd", "--write", "--file", "/proc/x/daemon.json", "--unit", "/proc/x/unit"] },
      { words: ["configure", "containerd", "--write", "--file", "/proc/x/hosts.toml"] },
    ])("$words says that there can be no such folder, and does not hang", async ({ words }) => {
    const { code, stderr, stdout } = await runMirror(words);
    expect([code, stdout, stderr.split("\n").length]).toEqual([1, "", expect.toBeOneOf([2, 3])]);
    expect(stderr).toContain("/proc/x cannot be made: /proc takes no folders.");
  });

  it("says at once that an upstream leads back to it", async () => {
    let mirrorUrl = "";
    const front = createServer((request, response) => {
      response.writeHead(302, { location: `${mirrorUrl}${request.url}` }).end();
    }).listen(0, "127.0.0.1");
    await once(front, "listening");
    const url = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
    await using mirror = await startMirror(["--data", data, "--upstream", url, "--listen", "127.0.0.1:0"]);
    mirrorUrl = mirror.url;
    const answer = await fetch(`${mirror.url}/v2/library/app/manifests/one`);
    expect([answer.status, await answer.text()]).toEqual([502, expect.stringContaining("this mirror itself")]);
    expect(mirror.output()).toContain('"level":"error","message":"upstream hub leads back to this mirror"');
    front.close();
    front.closeAllConnections();
  });

  it("leaves the directory of a running mirror alone, and says which process has it", async () => {
    const words = ["--data", data, "--upstream", hubUrl, "--listen", "127.0.0.1:0"];
    const first = await startMirror(words);
    try {
      const second = await runMirror(["serve", "--operators", "127.0.0.1:0", ...words]);
      expect(second.code).toBe(1);
      expect(second.stderr).toContain(`${data} is in use by process ${first.processId}`);
    } finally {
      await first[Symbol.asyncDispose]();
    }
    await using third = await startMirror(words);
    expect((await fetch(`${third.url}/v2/`)).status).toBe(200);
  });

  it("ends at once when it is told to before it serves", async () => {
    const pipe = join(data, "mirror.toml");
    await run("mkfifo", [pipe]);
    const main = fileURLToPath(new URL("../main.ts", import.meta.url));
    const child = spawn(process.execPath, ["--conditions=@fleetfoot/source", main, "serve", "--config", pipe]);
    const ended = once(child, "close");
    // Opens when the mirror reads, which then waits for a text that does not come.
    const writer = await open(pipe, "w");
    child.kill("SIGTERM");
    expect(await ended).toEqual([null, "SIGTERM"]);
    await writer.close();
  });

  it("serves and ends in order when nobody reads any more what it prints", async () => {
    await using mirror = await startMirror(["--data", data, "--upstream", hubUrl, "--listen", "127.0.0.1:0"]);
    mirror.stopReading();
    expect((await fetch(`${mirror.url}/v2/library/app/blobs/${digest}`)).status).toBe(200);
    mirror.kill("SIGTERM");
    expect(await mirror.ended).toBe(0);
  });

  it("RM D2: warns at every start on an address that others reach", async () => {
    await using mirror = await startMirror(["--data", data, "--upstream", hubUrl], { REGISTRY_HTTP_ADDR: ":0" });
    expect(mirror.output().match(/warning: .*private network/g)).toHaveLength(1);
  });

  it("RM C11: finishes a body that is on its way when it is told to stop, takes nothing new, and exits with 0", async () => {
    await using mirror = await startMirror(["--data", data, "--upstream", hubUrl, "--listen", "127.0.0.1:0"]);
    await (await fetch(`${mirror.url}/v2/library/app/blobs/${largeDigest}`)).arrayBuffer();
    const response = await new Promise<IncomingMessage>((resolve) =>
      get(`${mirror.url}/v2/library/app/blobs/${largeDigest}`, resolve),
    );
    let firstBytes = 0;
    response.once("data", (chunk: Buffer) => {
      firstBytes = chunk.byteLength;
      response.pause();
    });
    await once(response, "pause");
    mirror.kill("SIGTERM");
    while ((await reach("127.0.0.1", mirror.port)) !== "ECONNREFUSED")
      await new Promise((resolve) => setImmediate(resolve));
    let received = firstBytes;
    response.on("data", (chunk: Buffer) => {
      received += chunk.byteLength;
    });
    response.resume();
    await once(response, "end");
    expect(received).toBe(large.byteLength);
    expect(await mirror.ended).toBe(0);
  });

  it("RM V20: shows operators what is cached of one upstream, page by page, and removes it by the same filter", async () => {
    const settings = join(data, "mirror.toml");
    await writeFile(
      settings,
      `[upstreams.hub]\nurl = "${hubUrl}"\nhosts = ["docker.io"]\n[upstreams.other]\nurl = "${hubUrl.replace("127.0.0.1", "localhost")}"\nhosts = ["other.example"]\n`,
    );
    const words = ["--data", join(data, "blobs"), "--config", settings, "--listen", "127.0.0.1:0"];
    await using mirror = await startMirror(words);
    const fetchBlob = async (name: string): Promise<void> => {
      await (await fetch(`${mirror.url}/v2/${name}/blobs/${digest}`, { method: "GET" })).arrayBuffer();
    };
    for (let batch = 0; batch < 250; batch += 25) {
      await Promise.all(
        Array.from({ length: 25 }, (_, index) => fetchBlob(`org/app${String(batch + index).padStart(3, "0")}`)),
      );
    }
    await fetchBlob("org/else");
    await fetchBlob("other.example/org/app999");

    const names: string[] = [];
    const counts: number[] = [];
    for (let path: string | undefined = "/upstreams/hub/entries?search=app"; path !== undefined;) {
      const page: Response = await fetch(`${mirror.operatorsUrl}${path}`);
      const { entries } = (await page.json()) as { entries: { name: string }[] };
      for (const entry of entries) {
        expect(entry).toMatchObject({ upstream: "hub", digest, bytes: layer.byteLength, winnerOf: [] });
        expect(entry).toHaveProperty("lastUsedAtMs");
        names.push(entry.name);
      }
      counts.push(entries.length);
      path = /<([^>]*)>/.exec(page.headers.get("link") ?? "")?.[1];
    }
    expect(counts).toEqual([100, 100, 50]);
    expect(names).toEqual(Array.from({ length: 250 }, (_, index) => `org/app${String(index).padStart(3, "0")}`));

    const operators = ["--operators", new URL(mirror.operatorsUrl).host];
    const filter = ["--upstream", "hub", "--search", "app"];
    const listed = await runMirror(["stats", ...operators, "--entries", ...filter, "--json"]);
    expect((JSON.parse(listed.stdout) as unknown[]).length).toBe(250);
    const pruned = await runMirror(["prune", ...operators, ...filter]);
    expect(pruned.stdout).toBe("250 entries removed\n");
    const left = (await (await fetch(`${mirror.operatorsUrl}/entries`)).json()) as { entries: { name: string }[] };
    expect(left.entries.map(({ name }) => name)).toEqual(["org/app999", "org/else"]);
    expect((await fetch(`${mirror.url}/upstreams/hub/entries`)).status).toBe(404);
    expect(
      (await fetch(`${mirror.operatorsUrl}/entries`, { method: "DELETE", headers: { "sec-fetch-site": "cross-site" } }))
        .status,
    ).toBe(405);
  });

  it("shows operators nothing, and removes nothing, under a name that a web page made lead to this machine", async () => {
    await using mirror = await startMirror(["--data", data, "--upstream", hubUrl, "--listen", "127.0.0.1:0"]);
    const statusFor = (hosts: readonly string[], method: string): Promise<number | undefined> => {
      const { hostname, port } = new URL(mirror.operatorsUrl);
      const headers = hosts.flatMap((host) => ["host", host]);
      return new Promise((resolve, reject) => {
        const asked = request({ host: hostname, port, path: "/entries", method, headers, agent: false });
        asked.on("response", (response) => resolve(response.resume().statusCode)).on("error", reject);
        asked.end();
      });
    };
    for (const method of ["GET", "DELETE"]) {
      for (const host of ["page.example:6001", "localhost.page.example", "127.0.0.1.page.example:1"])
        expect([host, await statusFor([host], method)]).toEqual([host, 421]);
      for (const host of ["127.0.0.1:6001", "localhost:1", "[::1]:6001", "10.1.2.3"])
        expect([host, await statusFor([host], method)]).toEqual([host, 200]);
      expect(await statusFor(["localhost", "page.example"], method)).toBe(400);
    }
  });

  it("tells operators that nothing can be stored, and goes on when it can", async () => {
    const own = await mkdtemp(join(tmpdir(), "mirror-lost-"));
    const directory = join(own, "data");
    await using mirror = await startMirror(["--data", directory, "--upstream", hubUrl, "--listen", "127.0.0.1:0"]);
    const ask = async (path: string): Promise<readonly [number, string]> => {
      const answer = await fetch(`${mirror.operatorsUrl}${path}`);
      return [answer.status, await answer.text()];
    };
    const pull = async (): Promise<number> =>
      (await (await fetch(`${mirror.url}/v2/library/app/blobs/${largeDigest}`)).bytes()).byteLength;
    await rm(directory, { recursive: true });
    await writeFile(directory, "a file in its place");
    const bytes = await pull();
    expect(bytes).toBeGreaterThan(0);
    while ((await ask("/readyz"))[0] === 200) await new Promise((resolve) => setImmediate(resolve));
    expect(await ask("/readyz")).toEqual([503, expect.stringContaining('"ready":false')]);
    expect(await ask("/healthz")).toEqual([200, expect.stringContaining("ok, but nothing can be stored: ")]);
    expect(await ask("/")).toEqual([200, expect.stringContaining("nothing can be stored: ")]);
    await rm(directory);
    expect(await pull()).toBe(bytes);
    while ((await ask("/readyz"))[0] !== 200) await new Promise((resolve) => setImmediate(resolve));
    expect(await ask("/healthz")).toEqual([200, "ok\n"]);
    await rm(own, { recursive: true, force: true });
  });

  it("RM B15: needs no more memory for many bodies than for one", async () => {
    await using mirror = await startMirror(["--data", data, "--upstream", hubUrl, "--listen", "127.0.0.1:0"]);
    // The blob of the row has 5 GB, and is pulled 200 times; with FLEETFOOT_PULLS=17000 it is as many bytes.
    for (let pull = 0; pull < pulls; pull += 1) {
      let bytes = 0;
      const { body } = await fetch(`${mirror.url}/v2/library/app/blobs/${largeDigest}`);
      for await (const chunk of body ?? []) bytes += chunk.byteLength;
      expect(bytes).toBe(large.byteLength);
    }
    expect(await peakMegabytes(mirror.processId)).toBeLessThanOrEqual(250);
  });

  it("shows figures to Prometheus, and to people", async () => {
    await using mirror = await startMirror([
      "--data",
      data,
      "--upstream",
      hubUrl,
      "--listen",
      "127.0.0.1:0",
      "--max-size",
      "1GB",
    ]);
    for (let round = 0; round < 4; round += 1) await (await fetch(`${mirror.url}${blob}`)).arrayBuffer();
    const metrics = await (await fetch(`${mirror.operatorsUrl}/metrics`)).text();
    expect(metrics).toContain('fleetfoot_mirror_rate_limit_remaining{upstream="hub"} 76');
    expect(metrics).toContain("nodejs_eventloop_lag_seconds");
    const { stdout } = await runMirror(["stats", "--operators", new URL(mirror.operatorsUrl).host]);
    expect(stdout).toContain("5.0 MB of 1.0 GB");
    expect(stdout).toContain("76 of 100 left at hub");
    expect(await (await fetch(`${mirror.operatorsUrl}/readyz`)).json()).toEqual({
      ready: true,
      sharedStore: "none",
      upstreams: { hub: "up" },
    });
    expect((await fetch(`${mirror.operatorsUrl}/healthz`)).status).toBe(200);
  });

  it("speaks TLS, and takes a new certificate without a restart", async () => {
    const makeCertificate = (name: string, more: readonly string[] = []): Promise<unknown> =>
      run("openssl", [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        `/CN=${name}`,
        "-keyout",
        join(data, "key.pem"),
        "-out",
        join(data, "cert.pem"),
        ...more,
      ]);
    await makeCertificate("first");
    await using mirror = await startMirror([
      "--data",
      join(data, "blobs"),
      "--upstream",
      hubUrl,
      "--listen",
      "127.0.0.1:0",
      "--tls-cert",
      join(data, "cert.pem"),
      "--tls-key",
      join(data, "key.pem"),
    ]);
    expect(mirror.url).toMatch(/^https:/);
    expect(await certificateOf(mirror.url)).toBe("first");
    expect(mirror.output()).toContain("does not hold for 127.0.0.1, as clients call this mirror");
    const { host: operators } = new URL(mirror.operatorsUrl);
    const examine = (...more: readonly string[]): ReturnType<typeof runMirror> =>
      runMirror(["doctor", "--advertise", new URL(mirror.url).host, "--operators", operators, ...more]);
    expect((await examine("--tls")).stdout).toContain("FAIL its certificate is for another name");
    expect((await examine()).stdout).toContain("Does it speak TLS, or not (--tls)?");
    await makeCertificate("second", ["-addext", "subjectAltName=IP:127.0.0.1"]);
    mirror.kill("SIGHUP");
    while ((await certificateOf(mirror.url)) !== "second") await new Promise((resolve) => setImmediate(resolve));
    while (!mirror.output().includes("the certificate was read again"))
      await new Promise((resolve) => setImmediate(resolve));
    expect((await examine("--tls")).stdout).toContain("--   its certificate is not known to this program");
  });

  it("explains itself, and what it does not know", async () => {
    expect((await runMirror(["--help"])).stdout).toContain("serve");
    expect((await runMirror(["serve", "--help"])).stdout).toContain("--max-size");
    const { stdout: help } = await runMirror(["configure", "--help"]);
    for (const client of [
      "dockerd",
      "docker-machine",
      "containerd",
      "buildkit",
      "podman",
      "dind",
      "connect",
      "ca",
      "proxy-user",
    ])
      expect(help).toMatch(new RegExp(`^  ${client} .*[a-z]`, "m"));
    expect((await runMirror(["help", "configure"])).stdout).toBe(help);
    const broken = join(data, "broken.toml");
    await writeFile(broken, '[upstreams.hub]\npassword = "hunter2"\nurl = [\n');
    const { code, stderr } = await runMirror(["serve", "--config", broken]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/broken\.toml, line \d+, column \d+: Invalid TOML/)]);
    expect(stderr).not.toContain("hunter2");
    expect(await runMirror(["dance"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no command "dance"'),
    });
    expect(await runMirror(["serve", "--nonsense"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("--nonsense"),
    });
    expect((await runMirror(["--version"])).stdout).toMatch(/^fleetfoot-mirror \d/);
    expect(await runMirror(["stats", "--operators", "127.0.0.1:1"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("does it run?"),
    });
  });
});

/** @see https://man7.org/linux/man-pages/man5/proc_pid_status.5.html */
async function peakMegabytes(processId: number): Promise<number> {
  const status = await readFile(`/proc/${processId}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1000;
}

function certificateOf(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    getTls(`${url}/v2/`, { rejectUnauthorized: false, agent: false }, (response) => {
      const { subject } = (response.socket as TLSSocket).getPeerCertificate();
      response.resume();
      resolve(subject.CN);
    }).on("error", reject);
  });
}

/** `connected`, or the code of the failure. */
function reach(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.on("connect", () => {
      socket.destroy();
      resolve("connected");
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "failed"));
  });
}
