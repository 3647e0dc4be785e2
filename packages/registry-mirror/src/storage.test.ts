import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { MirrorOptions } from "./options.ts";
import { blobName } from "./storage/layout.ts";
import { digestOf } from "./reference/hash.ts";
import { pushImage, randomContent } from "./testing/images.ts";
import type { PushedImage } from "./testing/images.ts";
import { createManualClock } from "./testing/manual-clock.ts";
import type { ManualClock } from "./testing/manual-clock.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Tap } from "./testing/tap.ts";

const run = promisify(execFile);
const dayMs = 24 * 60 * 60_000;

describeWithSystem("docker-registry", (registry) => {
  let tap: Tap;
  let clock: ManualClock;
  let directory: string;
  let mirror: ServedMirror;

  beforeEach(async () => {
    tap = await startTap(registry().endpoint);
    clock = createManualClock();
    directory = await mkdtemp(join(tmpdir(), "mirror-"));
    mirror = await start();
  });

  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  function start(options: Partial<MirrorOptions> = {}): Promise<ServedMirror> {
    return serveMirror({ upstreams: { hub: { url: tap.url, hosts: ["docker.io"] } }, clock, directory, ...options });
  }

  async function restart(options: Partial<MirrorOptions> = {}): Promise<void> {
    await mirror[Symbol.asyncDispose]();
    mirror = await start(options);
  }

  async function stored(): Promise<void> {
    while (mirror.metric("fills_running") > 0) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Nobody waits for it but this test. */
  async function manifestStored({ manifest: { digest } }: PushedImage): Promise<void> {
    while (mirror.mirror.entries({ reference: digest })[0]?.lastUsedAtMs === undefined)
      await new Promise((resolve) => setImmediate(resolve));
  }

  async function pull(name: string, image: PushedImage): Promise<void> {
    expect((await mirror.send(`/v2/${name}/manifests/v1`)).status).toBe(200);
    for (const { bytes, digest } of [image.config, ...image.layers]) {
      const answer = await mirror.send(`/v2/${name}/blobs/${digest}`);
      expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
    }
    await stored();
  }

  it("RM E1: keeps below its limit, and removes first what was not used for longest", async () => {
    await restart({ maxBytes: 10_500_000 });
    const images: PushedImage[] = [];
    for (let index = 0; index < 12; index += 1) {
      images.push(
        await pushImage(registry().endpoint, `library/app${index}`, "v1", { layers: [randomContent(1_000_000)] }),
      );
    }
    for (const [index, image] of images.entries()) {
      const [oldest] = images;
      if (index === 10 && oldest !== undefined) await pull("library/app0", oldest);
      await pull(`library/app${index}`, image);
      await clock.advance(1000);
      expect(mirror.mirror.status().storedBytes).toBeLessThanOrEqual(10_500_000);
    }
    const isStored = async (index: number): Promise<boolean> =>
      stat(join(directory, blobName(images[index]?.layers[0]?.digest ?? "sha256:"))).then(
        () => true,
        () => false,
      );
    expect([await isStored(0), await isStored(1), await isStored(11)]).toEqual([true, false, true]);
  });

  it("keeps pinned images, whatever else has to go for them", async () => {
    await restart({
      upstreams: { hub: { url: tap.url, hosts: ["docker.io"], pins: ["library/pinned:v1"] } },
      maxBytes: 3_000_000,
      maxUnusedMs: 7 * dayMs,
    });
    const pinned = await pushImage(registry().endpoint, "library/pinned", "v1", { layers: [randomContent(1_000_000)] });
    await pull("library/pinned", pinned);
    for (let index = 0; index < 4; index += 1) {
      await clock.advance(1000);
      const image = await pushImage(registry().endpoint, `library/app${index}`, "v1", {
        layers: [randomContent(1_000_000)],
      });
      await pull(`library/app${index}`, image);
      await manifestStored(image);
    }
    expect(mirror.mirror.status().storedBytes).toBeLessThanOrEqual(3_000_000);
    await clock.advance(8 * dayMs);
    await mirror.mirror.tidy();
    tap.take();
    for (const { digest } of [pinned.config, ...pinned.layers]) {
      expect((await mirror.send(`/v2/library/pinned/blobs/${digest}`)).headers["x-cache"]).toBe("hit");
    }
    expect(mirror.mirror.status().storedBlobs).toBe(3);
    await expect(restart({ upstreams: { hub: { url: tap.url, pins: ["no tag"] } } })).rejects.toThrow("pins");
    mirror = await start();
  });

  it("finds a damaged blob by itself, removes it, and fetches it again when somebody wants it", async () => {
    const [whole, damaged] = [randomContent(600_000), randomContent(600_000)];
    const image = await pushImage(registry().endpoint, "library/app", "v1", { layers: [whole, damaged] });
    await pull("library/app", image);
    const file = join(directory, blobName(damaged.digest));
    const bytes = await readFile(file);
    bytes.writeUInt8(bytes.readUInt8(300_000) ^ 1, 300_000);
    await writeFile(file, bytes);
    const stop = new AbortController();
    const maintained = mirror.mirror.maintain(stop.signal);
    await clock.advance(dayMs);
    while (mirror.metric("verification_failures_total", { origin: "disk" }) === 0) await clock.advance(1000);
    stop.abort();
    await maintained;
    await expect(stat(file)).rejects.toThrow("ENOENT");
    await expect(stat(join(directory, blobName(whole.digest)))).resolves.toBeDefined();
    await pull("library/app", image);
    await expect(mirror.mirror.scrub(AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });

  it("RM E2: removes by age since the last use, not since it was fetched", async () => {
    await restart({ maxUnusedMs: 7 * dayMs });
    const used = await pushImage(registry().endpoint, "library/used", "v1");
    const unused = await pushImage(registry().endpoint, "library/unused", "v1");
    await pull("library/used", used);
    await pull("library/unused", unused);
    for (let day = 0; day < 10; day += 1) {
      await clock.advance(dayMs);
      await pull("library/used", used);
      await mirror.mirror.tidy();
    }
    tap.take();
    await pull("library/used", used);
    expect(tap.take()).toEqual([]);
    await expect(stat(join(directory, blobName(unused.layers[0]?.digest ?? "sha256:")))).rejects.toThrow("ENOENT");
  });

  it("RM E3: does not serve a stale manifest whose layer was evicted, and fetches that layer when it can", async () => {
    const image = await pushImage(registry().endpoint, "library/app", "v1", { layers: [randomContent(300_000)] });
    await restart({ maxBytes: 400_000 });
    await pull("library/app", image);
    const other = await pushImage(registry().endpoint, "library/other", "v1", { layers: [randomContent(300_000)] });
    await clock.advance(1000);
    await pull("library/other", other);
    await clock.advance(61_000);
    const comeBack = await tap.goDown();
    expect((await mirror.send("/v2/library/app/manifests/v1")).status).toBe(504);
    await comeBack();
    await clock.advance(11_000);
    await pull("library/app", image);
  });

  it("RM E4: purges a name, and keeps blobs that others share", async () => {
    const layer = randomContent(2000);
    const one = await pushImage(registry().endpoint, "org/one", "v1", { layers: [layer] });
    const two = await pushImage(registry().endpoint, "org/two", "v1", { layers: [layer] });
    await pull("org/one", one);
    await pull("org/two", two);
    await mirror.mirror.purge({ upstream: "hub", name: "org/one" });
    const left = mirror.mirror.entries().map(({ name }) => name);
    expect(new Set(left)).toEqual(new Set(["org/two"]));
    const isThere = (digest: PushedImage["config"]["digest"]): Promise<boolean> =>
      stat(join(directory, blobName(digest))).then(
        () => true,
        () => false,
      );
    expect([await isThere(layer.digest), await isThere(one.config.digest), await isThere(one.manifest.digest)]).toEqual(
      [true, false, false],
    );
    await restart();
    expect(new Set(mirror.mirror.entries().map(({ name }) => name))).toEqual(new Set(["org/two"]));
  });

  it("RM B13: serves what it cannot store, and stores again when there is room", async () => {
    const small = join(directory, "small");
    await run("mkdir", [small]);
    await run("mount", ["-t", "tmpfs", "-o", "size=12m", "none", small]);
    try {
      await restart({ directory: small });
      // A length that is not told gets in, and fills the disk on the way.
      tap.fault = ({ target }) =>
        target.includes("/blobs/")
          ? { kind: "headers", change: (headers) => delete headers["content-length"] }
          : undefined;
      const image = await pushImage(registry().endpoint, "library/big", "v1", { layers: [randomContent(40_000_000)] });
      const path = `/v2/library/big/blobs/${image.layers[0]?.digest}`;
      for (let round = 0; round < 2; round += 1) {
        const answers = await Promise.all([mirror.send(path), mirror.send(path), mirror.send(path)]);
        for (const { body, isCut } of answers)
          expect([isCut, body.equals(image.layers[0]?.bytes ?? Buffer.alloc(0))]).toEqual([false, true]);
        await stored();
        tap.fault = () => undefined;
      }
      expect(mirror.metric("pass_through_total")).toBeGreaterThanOrEqual(2);
      expect(await readdir(join(small, "tmp"))).toEqual([]);
      expect((await mirror.send("/v2/library/big/manifests/v1")).status).toBe(200);
      const fits = await pushImage(registry().endpoint, "library/fits", "v1", { layers: [randomContent(5_000_000)] });
      await pull("library/fits", fits);
      expect((await stat(join(small, blobName(fits.layers[0]?.digest ?? "sha256:")))).size).toBe(5_000_000);
      await mirror[Symbol.asyncDispose]();
    } finally {
      await run("umount", [small]);
    }
  });

  it("RM B14: has no damaged blob after it was killed again and again while it filled", async () => {
    const layers = Array.from({ length: 6 }, (_, index) => randomContent(1_000_000 * (index + 1)));
    const image = await pushImage(registry().endpoint, "library/kill", "v1", { layers });
    await Promise.all(
      Array.from({ length: parallelKills }, (_, index) => killAgainAndAgain(join(directory, `kill${index}`))),
    );
    for (let index = 0; index < parallelKills; index += 1) {
      await restart({ directory: join(directory, `kill${index}`) });
      expect(await readdir(join(directory, `kill${index}`, "tmp"))).toEqual([]);
      await pull("library/kill", image);
    }
  }, 240_000);

  async function killAgainAndAgain(own: string): Promise<void> {
    const script = join(import.meta.dirname, "testing/pulling-process.ts");
    for (let kill = 0; kill < kills / parallelKills; kill += 1) {
      const child = spawn(process.execPath, ["--conditions=@fleetfoot/source", script, own, tap.url], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      await once(child.stdout, "data");
      // Somewhere between the first byte and the last file.
      await sleep(Math.random() * 40);
      child.kill("SIGKILL");
      await once(child, "close");
      for (const path of await readdir(join(own, "blobs"), { recursive: true }).catch(() => [])) {
        const hex = path.split("/").at(-1) ?? "";
        if (hex.length !== 64) continue;
        expect(digestOf(await readFile(join(own, "blobs", path)), "sha256:")).toBe(`sha256:${hex}`);
      }
      // Begins anew now and then, so that there is something to fill.
      if (kill % 4 === 3) await rm(join(own, "blobs"), { recursive: true, force: true });
    }
  }
});

/** Each takes half a second of a process's start. */
const kills = Number(process.env["FLEETFOOT_KILLS"] ?? 40);
const parallelKills = 4;
