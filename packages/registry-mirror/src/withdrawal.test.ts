import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, readFile, readdir, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { MirrorOptions, UpstreamOptions } from "./options.ts";
import { Secret } from "./secret.ts";
import { pushImage, randomContent } from "./testing/images.ts";
import type { PushedImage } from "./testing/images.ts";
import { createManualClock } from "./testing/manual-clock.ts";
import type { ManualClock } from "./testing/manual-clock.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Tap } from "./testing/tap.ts";

const run = promisify(execFile);
const credentials = { username: "robot", password: new Secret("hunter2-secret") };
const robot = `Basic ${Buffer.from("robot:hunter2-secret").toString("base64")}`;
const shared: Partial<UpstreamOptions> = { access: "shared", sharedNames: ["^org/"], credentials };

describeWithSystem("docker-registry", (registry) => {
  let tap: Tap;
  let clock: ManualClock;
  let directory: string;
  let images: readonly PushedImage[];
  let isOpenTo: { nobody: boolean; robot: boolean };
  let mirrors: ServedMirror[];

  beforeEach(async () => {
    tap = await startTap(registry().endpoint);
    isOpenTo = { nobody: false, robot: true };
    tap.fault = ({ headers }) => {
      if (headers.authorization === robot ? isOpenTo.robot : isOpenTo.nobody) return undefined;
      return { kind: "answer", status: 401, headers: { "www-authenticate": 'Basic realm="r"' } };
    };
    clock = createManualClock();
    directory = await mkdtemp(join(tmpdir(), "withdrawal-"));
    mirrors = [];
    const layers = [randomContent(1000)];
    images = [
      await pushImage(registry().endpoint, "org/app", "v0", { layers }),
      await pushImage(registry().endpoint, "org/app", "v1", { layers }),
    ];
  });

  afterEach(async () => {
    vi.restoreAllMocks();
    for (const mirror of mirrors) await mirror[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  async function start(options: Partial<MirrorOptions> = {}, upstream = shared): Promise<ServedMirror> {
    const mirror = await serveMirror({
      upstreams: { upstream: { url: tap.url, ...upstream } },
      clock,
      directory,
      ...options,
    });
    mirrors.push(mirror);
    return mirror;
  }

  const paths = (): readonly string[] =>
    images.flatMap(({ config, layers, manifest }, index) => [
      `manifests/v${index}`,
      `manifests/${manifest.digest}`,
      ...[config, ...layers].map(({ digest }) => `blobs/${digest}`),
    ]);

  /** Status of everything there is of the name. */
  async function statuses(url: string): Promise<readonly number[]> {
    const found = new Set<number>();
    // One after the other, so that what the blobs belong to is known before they are asked for.
    for (const path of paths()) {
      const response = await fetch(`${url}/v2/org/app/${path}`);
      await response.arrayBuffer();
      found.add(response.status);
    }
    return [...found];
  }

  /** An upstream's refusal of one tag is a refusal of the name. */
  async function isRefused(url: string): Promise<void> {
    const response = await fetch(`${url}/v2/org/app/manifests/v9`, { method: "HEAD" });
    expect(response.status).toBe(403);
  }

  /** A mirror of its own process, that has everything when `during` is called, and is killed when that ends. */
  async function killAfter(own: string, during: (url: string) => Promise<void>): Promise<void> {
    const script = join(import.meta.dirname, "testing/serving-process.ts");
    const child = spawn(process.execPath, ["--conditions=@fleetfoot/source", script, own, tap.url], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const [port] = (await once(child.stdout, "data")) as [Buffer];
      const url = `http://127.0.0.1:${port.toString().trim()}`;
      expect(await statuses(url)).toEqual([200]);
      await during(url);
    } finally {
      const closed = once(child, "close");
      child.kill("SIGKILL");
      await closed;
    }
  }

  it("gives nothing of a withdrawn name when it was killed as soon as a client knew of it, and the upstream is away", async () => {
    for (let round = 0; round < 3; round += 1) {
      isOpenTo.robot = true;
      const own = join(directory, `round${round}`);
      await killAfter(own, async (url) => {
        isOpenTo.robot = false;
        await isRefused(url);
      });
      const comeBack = await tap.goDown();
      const mirror = await start({ directory: own });
      expect((await statuses(mirror.url)).filter((status) => status < 400)).toEqual([]);
      await comeBack();
    }
  }, 60_000);

  it("does so, too, when the disk was full meanwhile", async () => {
    const small = join(directory, "small");
    await mkdir(small);
    await run("mount", ["-t", "tmpfs", "-o", "size=4m", "none", small]);
    try {
      const filler = join(small, "filler");
      await killAfter(small, async (url) => {
        // What the mirror writes in the background: a tag and a manifest of each image.
        const written = async (): Promise<number> =>
          (await readdir(small, { recursive: true })).filter((path) => /\/_(?:tags|digests)\//.test(path)).length;
        await expect.poll(written).toBe(4);
        await fillUp(filler);
        isOpenTo.robot = false;
        await isRefused(url);
        expect(await statuses(url)).toEqual([403]);
      });
      await rm(filler);
      await tap.goDown();
      const mirror = await start({ directory: small });
      expect((await statuses(mirror.url)).filter((status) => status < 400)).toEqual([]);
      await mirror[Symbol.asyncDispose]();
    } finally {
      await run("umount", ["-l", small]);
    }
  }, 60_000);

  it("refuses a withdrawn name in time when the disk hangs", async () => {
    const mirror = await start();
    expect(await statuses(mirror.url)).toEqual([200]);
    await mirror.mirror.tidy();
    const file = await open(join(directory, "any"), "w");
    const prototype = Object.getPrototypeOf(file) as FileHandle;
    await file.close();
    const hanging = Promise.withResolvers<void>();
    vi.spyOn(prototype, "sync").mockReturnValue(hanging.promise);
    isOpenTo.robot = false;
    const refused = isRefused(mirror.url);
    await clock.waitsFor(2000);
    await clock.advance(2000);
    await refused;
    // Nobody waits for the disk again.
    expect(await statuses(mirror.url)).toEqual([403]);
    expect(mirror.log.filter((line) => line.startsWith("warn") && line.includes("takes too long"))).toHaveLength(1);
    hanging.resolve();
  });

  it("writes down what it could not within ten seconds after the disk has room again", async () => {
    const mirror = await start();
    expect(await statuses(mirror.url)).toEqual([200]);
    await mirror.mirror.tidy();
    const file = await open(join(directory, "any"), "w");
    const prototype = Object.getPrototypeOf(file) as FileHandle;
    await file.close();
    vi.spyOn(prototype, "sync").mockRejectedValue(new Error("ENOSPC"));
    isOpenTo.robot = false;
    await isRefused(mirror.url);
    vi.restoreAllMocks();
    const marker = join(directory, "meta/upstream/org/app/_withdrawn");
    await expect(readFile(marker, "utf8")).rejects.toThrow("ENOENT");
    const ended = new AbortController();
    const maintained = mirror.mirror.maintain(ended.signal);
    await clock.advance(10_000);
    await expect.poll(() => readFile(marker, "utf8").catch(() => "")).not.toBe("");
    ended.abort();
    await maintained;
  });

  it("gives everything again once the upstream lets it in, and remembers that", async () => {
    const first = await start();
    expect(await statuses(first.url)).toEqual([200]);
    isOpenTo.robot = false;
    await isRefused(first.url);
    expect(await statuses(first.url)).toEqual([403]);
    isOpenTo.robot = true;
    await clock.advance(31_000);
    expect(await statuses(first.url)).toEqual([200]);
    await first.mirror.close();
    await tap.goDown();
    const second = await start();
    expect(await statuses(second.url)).toEqual([200]);
  });

  it("takes an answer that was asked for before a withdrawal for none that came after it", async () => {
    const mirror = await start();
    expect(await statuses(mirror.url)).toEqual([200]);
    await clock.advance(61_000);
    const late = await pushImage(registry().endpoint, "org/app", "v2");
    const asked = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const refusing = tap.fault;
    tap.fault = (request) => {
      const refused = refusing(request);
      if (refused !== undefined || !request.target.endsWith("/manifests/v2")) return refused;
      asked.resolve();
      return { kind: "gate", afterBytes: 0, opened: gate.promise };
    };
    const early = fetch(`${mirror.url}/v2/org/app/manifests/v2`);
    await asked.promise;
    isOpenTo.robot = false;
    await isRefused(mirror.url);
    gate.resolve();
    await (await early).arrayBuffer();
    for (const reference of ["v2", late.manifest.digest])
      expect((await fetch(`${mirror.url}/v2/org/app/manifests/${reference}`)).status).toBe(403);
  });

  it("does not use its login for a name any more that was public and was refused", async () => {
    isOpenTo = { nobody: true, robot: true };
    const mirror = await start({}, { credentials });
    expect(await statuses(mirror.url)).toEqual([200]);
    isOpenTo = { nobody: false, robot: false };
    await isRefused(mirror.url);
    isOpenTo = { nobody: false, robot: true };
    await clock.advance(61_000);
    expect(await statuses(mirror.url)).toEqual([403]);
    isOpenTo = { nobody: true, robot: true };
    await clock.advance(61_000);
    expect(await statuses(mirror.url)).toEqual([200]);
  });
});

/** Writes to a file until the disk is full. */
async function fillUp(path: string): Promise<void> {
  const file = await open(path, "w");
  try {
    for (const bytes of [65_536, 4096]) {
      const block = Buffer.alloc(bytes, 1);
      await expect(
        (async () => {
          for (;;) if ((await file.write(block)).bytesWritten < bytes) throw new Error("ENOSPC");
        })(),
      ).rejects.toThrow("ENOSPC");
    }
  } finally {
    await file.close();
  }
  expect((await readFile(path)).byteLength).toBeGreaterThan(0);
}
