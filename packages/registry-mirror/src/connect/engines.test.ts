import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  importImage,
  makeCertificateFolder,
  startDockerEngine,
  startRegistry,
  startTlsFront,
} from "@fleetfoot-tooling/systems";
import type { Authority, CertificateFolder, DockerEngine, Registry, TlsFront } from "@fleetfoot-tooling/systems";
import { describeWithProgram, describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { UpstreamOptions } from "../options.ts";
import { manifestTypes } from "../reference/manifest.ts";
import { pushImage, randomContent } from "../testing/images.ts";
import { serveConnect } from "../testing/serve-connect.ts";
import type { ServedProxy } from "../testing/serve-connect.ts";
import { startTap } from "../testing/tap.ts";
import type { Tap } from "../testing/tap.ts";
import { hashProxyPassword } from "./index.ts";
import type { ConnectOptions } from "./index.ts";

const run = promisify(execFile);

let certificates: CertificateFolder;
let authority: Authority;
let tap: Tap;
let front: TlsFront;
let proxy: ServedProxy;

beforeAll(async () => {
  certificates = await makeCertificateFolder();
  authority = await certificates.makeAuthority("upstream");
});

afterAll(() => certificates[Symbol.asyncDispose]());

/** A registry with TLS of its own authority, which clients know by other names only, and the proxy in front of it. */
async function start(
  endpoint: string,
  hosts: readonly string[],
  options: Partial<ConnectOptions> = {},
  upstream: Partial<UpstreamOptions> = {},
): Promise<void> {
  tap = await startTap(endpoint);
  front = await startTlsFront(() => tap.url, await authority.issue());
  const url = `https://127.0.0.1:${front.port}`;
  proxy = await serveConnect({
    host: "0.0.0.0",
    policy: { hosts },
    ...options,
    mirror: { upstreams: { quay: { url, hosts, ca: authority.certificate, ...upstream } } },
  });
}

async function stop(): Promise<void> {
  await proxy[Symbol.asyncDispose]();
  await front[Symbol.asyncDispose]();
  await tap[Symbol.asyncDispose]();
}

describeWithSystem("docker-engine", (engine) => {
  let registry: Registry;

  beforeAll(async () => {
    registry = await startRegistry({ host: engine().hostAddress });
    for (const name of ["org/app", "library/app"]) {
      await importImage(engine(), { reference: `${registry.authority}/${name}:one` });
      const path = `/images/${registry.authority}/${name}/push?tag=one`;
      const push = await engine().request({ method: "POST", path, headers: noLogin });
      expect(push.text).toContain("digest: sha256:");
    }
  });

  afterAll(() => registry.stop());
  afterEach(stop);

  /** An engine that knows the mirror as its HTTP proxy, and trusts its authority for these registries. */
  function startClient(
    trusted: readonly string[],
    { login = "", inStore }: { readonly login?: string; readonly inStore?: string } = {},
  ): Promise<DockerEngine> {
    const proxyUrl = `http://${login}${engine().hostAddress}:${proxy.port}`;
    return startDockerEngine({
      // An engine looks every name up, since networks can be insecure registries; there is no name service here.
      hosts: Object.fromEntries(names.map((name) => [name, "198.51.100.1"])),
      registryAuthorities: Object.fromEntries(trusted.map((host) => [host, proxy.ca.certificate])),
      environment: {
        HTTPS_PROXY: proxyUrl,
        HTTP_PROXY: proxyUrl,
        NO_PROXY: "10.199.0.0/16",
        SSL_CERT_FILE: inStore ?? "/dev/null",
        SSL_CERT_DIR: "/nowhere",
      },
    });
  }

  it("RM K1: an engine pulls an image of a registry that is not Docker Hub, and a second one costs no blob", async () => {
    await start(registry.endpoint, ["quay.io"]);
    await using first = await startClient(["quay.io"]);
    expect(await pull(first, "quay.io/org/app")).toContain("Downloaded newer image");
    const asked = tap.take();
    const manifests = asked.filter((line) => line.includes("/manifests/"));
    expect(new Set(manifests.map((line) => line.split(" ")[0]))).toEqual(new Set(["GET", "HEAD"]));
    expect(manifests).toHaveLength(2);
    const blobs = asked.filter((line) => line.includes("/blobs/"));
    expect([blobs.length, new Set(blobs).size]).toEqual([2, 2]);
    expect(asked).toHaveLength(4);
    await using second = await startClient(["quay.io"]);
    expect(await pull(second, "quay.io/org/app")).toContain("Downloaded newer image");
    expect(tap.take().filter((line) => line.includes("/blobs/"))).toEqual([]);
    // Refused hosts are shown with the setting that would let them in.
    expect(await pull(second, "ghcr.io/org/app")).toContain(
      "fleetfoot-mirror: ghcr.io:443 is not on the list (connect.hosts, connect.otherHosts)",
    );
    // A push says at once why it does not go this way.
    const tagged = await second.request({
      method: "POST",
      path: `/images/${encodeURIComponent("quay.io/org/app:one")}/tag?repo=quay.io/org/other&tag=one`,
    });
    expect(tagged.status, tagged.text).toBe(201);
    const push = await second.request({
      method: "POST",
      path: "/images/quay.io/org/other/push?tag=one",
      headers: noLogin,
    });
    expect(push.text).toContain("pushes do not go through this mirror; add the registry to NO_PROXY");
  }, 120_000);

  it("RM K2: an engine takes the authority for Docker Hub from the system's store only", async () => {
    await start(registry.endpoint, ["registry-1.docker.io"], {}, { hosts: ["docker.io"] });
    const hub = ["registry-1.docker.io", "docker.io", "index.docker.io"];
    await using withFolder = await startClient(hub);
    expect(await pull(withFolder, "app")).toContain("x509: certificate signed by unknown authority");
    const store = join(proxy.directory, "store.pem");
    await writeFile(store, proxy.ca.certificate);
    await using withStore = await startClient([], { inStore: store });
    expect(await pull(withStore, "app")).toContain("Downloaded newer image");
    expect(tap.requests.some(({ target }) => target === "/v2/library/app/manifests/one")).toBe(true);
  }, 120_000);

  it("RM K11, RM K21: an engine pulls from a registry that is an address, with a login for the proxy", async () => {
    const users = { robot: await hashProxyPassword("hunter2") };
    await start(registry.endpoint, ["198.51.100.7"], { users });
    await using client = await startClient(["198.51.100.7"], { login: "robot:hunter2@" });
    expect(await pull(client, "198.51.100.7/org/app")).toContain("Downloaded newer image");
    await using stranger = await startClient(["198.51.100.7"], { login: "robot:wrong@" });
    expect(await pull(stranger, "198.51.100.7/org/app")).toContain("wants a user and a password");
  }, 120_000);

  it("RM K18, RM K19: an engine logs in at the registry itself, and pushes to it", async () => {
    await start(
      registry.endpoint,
      ["quay.io"],
      { policy: { hosts: ["quay.io"], pushHosts: ["quay.io"] } },
      { access: "pass-through" },
    );
    const right = `Basic ${Buffer.from("alice:right").toString("base64")}`;
    tap.fault = ({ headers }) =>
      headers.authorization === right
        ? undefined
        : { kind: "answer", status: 401, headers: { "www-authenticate": 'Basic realm="quay"' } };
    await using client = await startClient(["quay.io"]);
    const login = (password: string): Promise<{ readonly status: number; readonly text: string }> =>
      client.request({
        method: "POST",
        path: "/auth",
        body: { username: "alice", password, serveraddress: "quay.io" },
      });
    expect((await login("wrong")).text).toContain("failed with status: 401 Unauthorized");
    expect(await login("right")).toMatchObject({ status: 200, text: expect.stringContaining("Login Succeeded") });
    const headers = {
      "x-registry-auth": Buffer.from(JSON.stringify({ username: "alice", password: "right" })).toString("base64url"),
    };
    expect(await pull(client, "quay.io/org/app")).not.toContain("Downloaded newer image");
    expect(await pull(client, "quay.io/org/app", headers)).toContain("Downloaded newer image");
    const image = await importImage(client, { reference: "quay.io/org/pushed:one" });
    const push = await client.request({ method: "POST", path: "/images/quay.io/org/pushed/push?tag=one", headers });
    expect(push.text).toContain("digest: sha256:");
    expect(proxy.mirror.entries({ name: "org/pushed" })).toEqual([]);
    await client.request({ method: "DELETE", path: `/images/${image}` });
    expect(await pull(client, "quay.io/org/pushed", headers)).toContain("Downloaded newer image");
  }, 120_000);
});

describeWithProgram("skopeo", (skopeo) => {
  afterEach(stop);

  it("RM K1: skopeo copies an OCI image through the proxy", async () => {
    await using registry = await startRegistry();
    await start(registry.endpoint, ["quay.io"]);
    const layers = [randomContent(3_000_000), randomContent(5_000_000)];
    const image = await pushImage(registry.endpoint, "org/app", "v1", { layers, mediaType: manifestTypes.ociManifest });
    const folder = await mkdtemp(join(tmpdir(), "skopeo-"));
    await mkdir(join(folder, "certs/quay.io"), { recursive: true });
    await writeFile(join(folder, "certs/quay.io/ca.crt"), proxy.ca.certificate);
    const policy = join(folder, "policy.json");
    await writeFile(policy, JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
    try {
      for (let round = 0; round < 2; round += 1) {
        const words = [
          "--policy",
          policy,
          "copy",
          "--src-cert-dir",
          join(folder, "certs/quay.io"),
          "docker://quay.io/org/app:v1",
          `dir:${folder}/image${round}`,
        ];
        const HTTPS_PROXY = `http://127.0.0.1:${proxy.port}`;
        await run(skopeo().path, words, { env: { HOME: folder, PATH: process.env["PATH"], HTTPS_PROXY } });
        for (const { bytes, digest } of [image.config, ...layers]) {
          const copied = await readFile(join(folder, `image${round}`, digest.slice("sha256:".length)));
          expect(copied.equals(bytes)).toBe(true);
        }
      }
      expect(tap.requests).toHaveLength(4);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

const names = ["quay.io", "ghcr.io", "docker.io", "index.docker.io", "registry-1.docker.io"];
const noLogin = { "x-registry-auth": Buffer.from("{}").toString("base64") };

async function pull(
  engine: DockerEngine,
  name: string,
  headers: Readonly<Record<string, string>> = noLogin,
): Promise<string> {
  const path = `/images/create?fromImage=${encodeURIComponent(name)}&tag=one`;
  return (await engine.request({ method: "POST", path, headers })).text;
}
