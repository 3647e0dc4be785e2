import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { requireProgram, startDockerEngine, startRegistry } from "@fleetfoot-tooling/systems";
import { describeWithProgram, describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterEach, beforeEach, expect, it } from "vitest";
import { manifestTypes } from "./reference/manifest.ts";
import { pull, pushFromEngine, useMirror } from "./testing/engine.ts";
import { pushImage, randomContent } from "./testing/images.ts";
import { createManualClock } from "./testing/manual-clock.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";

const run = promisify(execFile);

describeWithSystem("docker-engine", (engine) => {
  it("RM C1: a second engine pulls through the mirror what the first has pulled, without a request for blobs, and none asks the Hub", async () => {
    await using registry = await startRegistry({ host: engine().hostAddress });
    await pushFromEngine(engine(), `${registry.authority}/library/app:one`);
    await using tap = await startTap(registry.endpoint);
    await using mirror = await serveMirror({
      host: "0.0.0.0",
      upstreams: { hub: { url: tap.url, hosts: ["docker.io"] } },
    });
    // For engines the Hub is where nobody answers; the mirror knows it as the tap.
    const hosts = { "docker.io": "127.0.0.1", "registry-1.docker.io": "127.0.0.1", "auth.docker.io": "127.0.0.1" };
    await using first = await startDockerEngine({ hosts });
    await useMirror(first, mirror);
    expect(await pull(first)).toContain("Downloaded newer image");
    const asked = tap.take();
    expect(asked.filter((line) => line.startsWith("HEAD"))).toEqual(["HEAD /v2/library/app/manifests/one"]);
    const blobs = asked.filter((line) => line.includes("/blobs/"));
    expect([blobs.length > 1, new Set(blobs).size]).toEqual([true, blobs.length]);
    expect(asked.filter((line) => line.includes("/manifests/")).length).toBe(2);
    expect(new Set(tap.requests.map(({ headers }) => headers["user-agent"]))).toEqual(new Set(["fleetfoot-mirror"]));
    await using second = await startDockerEngine({ hosts });
    await useMirror(second, mirror);
    expect(await pull(second)).toContain("Downloaded newer image");
    expect(tap.take()).toEqual([]);
    const body = { Image: "app:one", Cmd: ["true"] };
    const created = await second.request({ method: "POST", path: "/containers/create", body });
    expect(created.status, created.text).toBe(201);
    const ids = await Promise.all(
      [first, second].map(async (one) => {
        const inspected = await one.request({ method: "GET", path: "/images/app:one/json" });
        return (JSON.parse(inspected.text) as { readonly Id: string }).Id;
      }),
    );
    // An image's id is the digest of its config.
    const expected = blobs.map((line) => line.slice(line.lastIndexOf("/") + 1));
    expect(expected).toContain(ids[0]);
    expect(ids[1]).toBe(ids[0]);
  });
});

describeWithProgram("skopeo", (skopeo) => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "skopeo-"));
    await writeFile(join(folder, "policy.json"), JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
  });

  afterEach(() => rm(folder, { recursive: true }));

  /** Copies `docker.io/org/app:v1` with a mirror; what lies at docker.io then. */
  async function copy(mirror: ServedMirror, hub: string): Promise<(digest: string) => Promise<Buffer>> {
    const configuration = join(folder, "registries.conf");
    const mirrorHost = new URL(mirror.url).host;
    await writeFile(
      configuration,
      `[[registry]]\nprefix = "docker.io"\nlocation = "${hub}"\ninsecure = true\n[[registry.mirror]]\nlocation = "${mirrorHost}"\ninsecure = true\n`,
    );
    const options = ["--policy", join(folder, "policy.json"), "--registries-conf", configuration];
    const words = [...options, "copy", "docker://docker.io/org/app:v1", `dir:${folder}/image`];
    await run(skopeo().path, words, { env: { HOME: folder, PATH: process.env["PATH"] } });
    return (digest) => readFile(join(folder, "image", digest.slice("sha256:".length)));
  }

  it("pulls an OCI image of several layers through a mirror in its registries.conf", async () => {
    await using registry = await startRegistry();
    await using tap = await startTap(registry.endpoint);
    await using mirror = await serveMirror({ upstreams: { hub: { url: tap.url, hosts: ["docker.io"] } } });
    const layers = [randomContent(3_000_000), randomContent(5_000_000)];
    const image = await pushImage(registry.endpoint, "org/app", "v1", { layers, mediaType: manifestTypes.ociManifest });
    const copied = await copy(mirror, "docker.io");
    for (const { bytes, digest } of [image.config, ...layers]) expect((await copied(digest)).equals(bytes)).toBe(true);
    expect(tap.requests.length).toBe(4);
  });

  it("RM C3: goes to the registry itself when the mirror has the manifest, but not the layers, and its upstream is away", async () => {
    await using registry = await startRegistry();
    await using upstream = await startTap(registry.endpoint);
    await using hub = await startTap(registry.endpoint);
    const clock = createManualClock();
    await using mirror = await serveMirror({ upstreams: { hub: { url: upstream.url, hosts: ["docker.io"] } }, clock });
    const mediaType = manifestTypes.ociManifest;
    const image = await pushImage(registry.endpoint, "org/app", "v1", { mediaType });
    expect((await mirror.send("/v2/org/app/manifests/v1")).status).toBe(200);
    await upstream.goDown();
    await clock.advance(61_000);
    const copied = await copy(mirror, new URL(hub.url).host);
    for (const { bytes, digest } of [image.config, ...image.layers])
      expect((await copied(digest)).equals(bytes)).toBe(true);
    // It was refused the manifest, and asked the mirror for nothing more.
    expect(mirror.metric("requests_total", { kind: "manifest", result: "error" })).toBe(1);
    expect(mirror.metric("requests_total", { kind: "blob" })).toBe(0);
    expect(hub.take().filter((line) => line.includes("/manifests/v1"))).toHaveLength(1);
  });
});

describeWithProgram("ctr", (ctr) => {
  it("RM C2: containerd pulls images of two registries through one mirror for all", async () => {
    const containerd = await requireProgram("containerd");
    await using oneRegistry = await startRegistry();
    await using twoRegistry = await startRegistry();
    await using one = await startTap(oneRegistry.endpoint);
    await using two = await startTap(twoRegistry.endpoint);
    await using mirror = await serveMirror({
      upstreams: { hub: { url: one.url, hosts: ["docker.io"] }, quay: { url: two.url, hosts: ["quay.io"] } },
    });
    // Only the registry that containerd means tells them apart.
    const hub = await pushImage(oneRegistry.endpoint, "org/app", "v1", { mediaType: manifestTypes.ociManifest });
    const quay = await pushImage(twoRegistry.endpoint, "org/app", "v1", { mediaType: manifestTypes.ociManifest });
    const folder = await mkdtemp(join(tmpdir(), "containerd-"));
    const address = join(folder, "socket");
    await mkdir(join(folder, "certs.d/_default"), { recursive: true });
    await writeFile(
      join(folder, "certs.d/_default/hosts.toml"),
      `[host."${mirror.url}"]\n  capabilities = ["pull", "resolve"]\n`,
    );
    const configuration = `version = 2\nroot = "${folder}/root"\nstate = "${folder}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "${address}"\n`;
    await writeFile(join(folder, "config.toml"), configuration);
    const daemon = spawn(containerd.path, ["--config", join(folder, "config.toml")], {
      env: { PATH: process.env["PATH"] },
      stdio: "ignore",
    });
    const call = (...words: readonly string[]): Promise<{ stdout: string }> =>
      run(ctr().path, ["--address", address, ...words]);
    try {
      while (
        !(await call("version").then(
          () => true,
          () => false,
        ))
      )
        await sleep(50);
      for (const [reference, image] of [
        ["docker.io/org/app:v1", hub],
        ["quay.io/org/app:v1", quay],
      ] as const) {
        // Only fetched: what random layers hold cannot be unpacked.
        await call("content", "fetch", "--hosts-dir", join(folder, "certs.d"), reference);
        const { stdout } = await call("content", "ls", "--quiet");
        for (const { digest } of [image.manifest, image.config, ...image.layers]) expect(stdout).toContain(digest);
      }
      for (const [{ requests }, { config, manifest, layers }] of [
        [one, hub],
        [two, quay],
      ] as const) {
        const wanted = [manifest, config, ...layers].map(({ digest }) => digest);
        expect(requests.map(({ target }) => target.slice(target.lastIndexOf("/") + 1)).toSorted()).toEqual(
          ["v1", ...wanted].toSorted(),
        );
      }
    } finally {
      const ended = once(daemon, "close");
      daemon.kill();
      await ended;
      await rm(folder, { recursive: true, force: true });
    }
  });
});
