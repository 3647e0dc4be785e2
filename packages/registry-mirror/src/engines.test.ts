import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { requireProgram, startDockerEngine, startRegistry } from "@fleetfoot-tooling/systems";
import type { Registry } from "@fleetfoot-tooling/systems";
import { describeWithProgram, describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { manifestTypes } from "./reference/manifest.ts";
import { pull, pushFromEngine, removeImage, useMirror } from "./testing/engine.ts";
import { pushImage, randomContent } from "./testing/images.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Tap } from "./testing/tap.ts";

const run = promisify(execFile);

describeWithSystem("docker-engine", (engine) => {
  let registry: Registry;
  let tap: Tap;
  let mirror: ServedMirror;

  beforeAll(async () => {
    registry = await startRegistry({ host: engine().hostAddress });
    await pushFromEngine(engine(), `${registry.authority}/library/app:one`);
  });

  afterAll(() => registry.stop());

  beforeEach(async () => {
    tap = await startTap(registry.endpoint);
    mirror = await serveMirror({
      host: "0.0.0.0",
      upstreams: { hub: { url: tap.url, hosts: ["docker.io"] } },
    });
    await useMirror(engine(), mirror);
  });

  afterEach(async () => {
    await removeImage(engine(), "app:one");
    await mirror[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
  });

  it("RM C1: a second engine pulls through the mirror what the first has pulled, without a request for blobs", async () => {
    expect(await pull(engine())).toContain("Downloaded newer image");
    const first = tap.take();
    expect(first.filter((line) => line.startsWith("HEAD"))).toEqual(["HEAD /v2/library/app/manifests/one"]);
    const blobs = first.filter((line) => line.includes("/blobs/"));
    expect(new Set(blobs).size).toBe(blobs.length);
    expect(first.filter((line) => line.includes("/manifests/")).length).toBe(2);
    await using second = await startDockerEngine();
    await useMirror(second, mirror);
    expect(await pull(second)).toContain("Downloaded newer image");
    expect(tap.take()).toEqual([]);
    const created = await second.request({
      method: "POST",
      path: "/containers/create",
      body: { Image: "app:one", Cmd: ["true"] },
    });
    expect(created.status, created.text).toBe(201);
  });
});

describeWithProgram("skopeo", (skopeo) => {
  it("pulls an OCI image of several layers through a mirror in its registries.conf", async () => {
    await using registry = await startRegistry();
    await using tap = await startTap(registry.endpoint);
    await using mirror = await serveMirror({ upstreams: { hub: { url: tap.url, hosts: ["docker.io"] } } });
    const layers = [randomContent(3_000_000), randomContent(5_000_000)];
    const image = await pushImage(registry.endpoint, "org/app", "v1", { layers, mediaType: manifestTypes.ociManifest });
    const folder = await mkdtemp(join(tmpdir(), "skopeo-"));
    const configuration = join(folder, "registries.conf");
    const location = new URL(mirror.url).host;
    await writeFile(
      configuration,
      `[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "${location}"\ninsecure = true\n`,
    );
    const policy = join(folder, "policy.json");
    await writeFile(policy, JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
    try {
      const words = [
        "--policy",
        policy,
        "--registries-conf",
        configuration,
        "copy",
        "docker://docker.io/org/app:v1",
        `dir:${folder}/image`,
      ];
      await run(skopeo().path, words, { env: { HOME: folder, PATH: process.env["PATH"] } });
      for (const { bytes, digest } of [image.config, ...layers]) {
        expect((await readFile(join(folder, "image", digest.slice("sha256:".length)))).equals(bytes)).toBe(true);
      }
      expect(tap.requests.length).toBe(4);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describeWithProgram("ctr", (ctr) => {
  it("RM C2: containerd pulls images of two registries through one mirror for all", async () => {
    const containerd = await requireProgram("containerd");
    await using registry = await startRegistry();
    await using one = await startTap(registry.endpoint);
    await using two = await startTap(registry.endpoint);
    await using mirror = await serveMirror({
      upstreams: { hub: { url: one.url, hosts: ["docker.io"] }, quay: { url: two.url, hosts: ["quay.io"] } },
    });
    const hub = await pushImage(registry.endpoint, "library/app", "v1", { mediaType: manifestTypes.ociManifest });
    const quay = await pushImage(registry.endpoint, "org/app", "v1", { mediaType: manifestTypes.ociManifest });
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
        ["docker.io/library/app:v1", hub],
        ["quay.io/org/app:v1", quay],
      ] as const) {
        // Only fetched: what random layers hold cannot be unpacked.
        await call("content", "fetch", "--hosts-dir", join(folder, "certs.d"), reference);
        const { stdout } = await call("content", "ls", "--quiet");
        for (const { digest } of [image.manifest, image.config, ...image.layers]) expect(stdout).toContain(digest);
      }
      expect(one.requests.every(({ target }) => target.startsWith("/v2/library/app/"))).toBe(true);
      expect(two.requests.every(({ target }) => target.startsWith("/v2/org/app/"))).toBe(true);
      expect(two.requests.length).toBeGreaterThan(2);
    } finally {
      const ended = once(daemon, "close");
      daemon.kill();
      await ended;
      await rm(folder, { recursive: true, force: true });
    }
  });
});
