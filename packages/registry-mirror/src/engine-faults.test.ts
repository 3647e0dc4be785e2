import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startDockerEngine, startRegistry } from "@fleetfoot-tooling/systems";
import type { DockerEngine, Registry } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { manifestTypes, readManifest } from "./reference/manifest.ts";
import { pull, pushFromEngine, removeImage, useMirror } from "./testing/engine.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Fault, Tap } from "./testing/tap.ts";

/** A quarter of the defaults: what is proved here is that every wait has a limit, and that an engine's retries add none. */
const limits = {
  connectMs: 1250,
  tokenMs: 1250,
  manifestMs: 2500,
  manifestTotalMs: 3000,
  blobMs: 5000,
  idleMs: 1500,
  fillStallMs: 3250,
};

interface Case {
  readonly upstream: string;
  /** Where it fails. */
  readonly at: "config" | "everything" | "layer" | "manifest";
  readonly fault: Fault;
  /** How often it fails so. @default always */
  readonly times?: number;
  /** How it fails afterwards. @default not at all */
  readonly afterwards?: Fault;
  readonly arrives: boolean;
  /** How often the upstream is asked for what fails, at most: each of them is a wait of the engine's user. */
  readonly mostRequests: number;
}

describeWithSystem("docker-engine", () => {
  let engine: DockerEngine;
  let registry: Registry;
  let tap: Tap;
  let mirror: ServedMirror;
  let config: string;
  let layer: string;

  beforeAll(async () => {
    // The Hub refuses connections at once, whatever name servers this machine has.
    engine = await startDockerEngine({ hosts: { "docker.io": "198.51.100.1", "registry-1.docker.io": "127.0.0.1" } });
    registry = await startRegistry({ host: engine.hostAddress });
    const folder = await mkdtemp(join(tmpdir(), "layer-"));
    await writeFile(join(folder, "random"), randomBytes(6_000_000));
    await pushFromEngine(engine, `${registry.authority}/library/app:one`, { "/random": join(folder, "random") });
    await rm(folder, { recursive: true });
    const headers = { accept: manifestTypes.dockerManifest };
    const manifest = await fetch(`${registry.endpoint}/v2/library/app/manifests/one`, { headers });
    const { children } = readManifest(Buffer.from(await manifest.arrayBuffer()), manifestTypes.dockerManifest);
    [config = "", layer = ""] = children.map(({ digest }) => digest);
  });

  afterAll(async () => {
    await registry.stop();
    await engine.stop();
  });

  beforeEach(async () => {
    tap = await startTap(registry.endpoint);
    mirror = await serveMirror({ host: "0.0.0.0", upstreams: { hub: { url: tap.url, hosts: ["docker.io"] } }, limits });
    await useMirror(engine, mirror);
  });

  afterEach(async () => {
    await removeImage(engine, "app:one");
    await mirror[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
  });

  const cases: readonly Case[] = [
    { upstream: "is silent", at: "everything", fault: { kind: "hang" }, arrives: false, mostRequests: 1 },
    {
      upstream: "is in trouble",
      at: "everything",
      fault: { kind: "answer", status: 500 },
      arrives: false,
      mostRequests: 2,
    },
    {
      upstream: "throttles",
      at: "everything",
      fault: { kind: "answer", status: 429, headers: { "retry-after": "30" } },
      arrives: false,
      mostRequests: 1,
    },
    { upstream: "resets connections", at: "everything", fault: { kind: "reset" }, arrives: false, mostRequests: 1 },
    {
      upstream: "sends wrong manifests",
      at: "manifest",
      fault: { kind: "flip", atByte: 40 },
      arrives: false,
      mostRequests: 3,
    },
    { upstream: "is silent about layers", at: "layer", fault: { kind: "hang" }, arrives: false, mostRequests: 1 },
    {
      upstream: "answers 500 for layers",
      at: "layer",
      fault: { kind: "answer", status: 500 },
      arrives: false,
      mostRequests: 1,
    },
    {
      upstream: "throttles layers",
      at: "layer",
      fault: { kind: "answer", status: 429 },
      arrives: false,
      mostRequests: 1,
    },
    {
      upstream: "stops inside of layers",
      at: "layer",
      fault: { kind: "stall", afterBytes: 2_000_000 },
      times: 1,
      afterwards: { kind: "hang" },
      arrives: false,
      mostRequests: 3,
    },
    {
      upstream: "stops inside of a layer once",
      at: "layer",
      fault: { kind: "stall", afterBytes: 2_000_000 },
      times: 1,
      arrives: true,
      mostRequests: 2,
    },
    {
      upstream: "lets layers drip",
      at: "layer",
      fault: { kind: "drip", afterBytes: 2_000_000 },
      times: 1,
      afterwards: { kind: "drip", afterBytes: 0 },
      arrives: false,
      mostRequests: 3,
    },
    {
      upstream: "is slow",
      at: "layer",
      fault: { kind: "slow", bytesPerSecond: 2_000_000 },
      arrives: true,
      mostRequests: 1,
    },
    {
      upstream: "cuts layers",
      at: "layer",
      fault: { kind: "cut", afterBytes: 100_000 },
      arrives: false,
      mostRequests: 4,
    },
    {
      upstream: "cuts a layer twice",
      at: "layer",
      fault: { kind: "cut", afterBytes: 2_000_000 },
      times: 2,
      arrives: true,
      mostRequests: 3,
    },
    {
      upstream: "sends wrong layers",
      at: "layer",
      fault: { kind: "flip", atByte: 3_000_000 },
      arrives: false,
      mostRequests: 1,
    },
    // Engines keep the layers of such pulls, so these are the last ones.
    { upstream: "is silent about configs", at: "config", fault: { kind: "hang" }, arrives: false, mostRequests: 1 },
    {
      upstream: "stops inside of configs",
      at: "config",
      fault: { kind: "stall", afterBytes: 100 },
      arrives: false,
      mostRequests: 3,
    },
    {
      upstream: "sends wrong configs",
      at: "config",
      fault: { kind: "flip", atByte: 100 },
      arrives: false,
      mostRequests: 6,
    },
  ];

  it.each(cases)(
    "RM F5, RM F14: an engine's pull ends, with the right image or none, when the upstream $upstream",
    async ({ afterwards, arrives, at, fault, mostRequests, times = Infinity }) => {
      let failed = 0;
      tap.fault = ({ target }) => {
        const fails =
          at === "everything" ||
          (at === "manifest" ? target.includes("/manifests/") : target.endsWith(at === "config" ? config : layer));
        failed += fails ? 1 : 0;
        if (!fails) return undefined;
        return failed <= times ? fault : afterwards;
      };
      const text = await pull(engine);
      expect(text.includes("Downloaded newer image")).toBe(arrives);
      const inspected = await engine.request({ method: "GET", path: "/images/app:one/json" });
      expect(inspected.status).toBe(arrives ? 200 : 404);
      expect(failed).toBeLessThanOrEqual(mostRequests);
      if (arrives) await runs();
    },
    120_000,
  );

  it("RM F6: an engine pulls again as soon as the upstream answers again", async () => {
    tap.fault = () => ({ kind: "hang" });
    expect(await pull(engine)).not.toContain("Downloaded newer image");
    tap.fault = () => undefined;
    let again = "";
    // The breaker lets the next request through after two seconds.
    for (let attempt = 0; attempt < 40 && !again.includes("Downloaded newer image"); attempt += 1) {
      again = await pull(engine);
      if (!again.includes("Downloaded newer image")) await sleep(500);
    }
    expect(again).toContain("Downloaded newer image");
  }, 120_000);

  /** Whether the image is what was pushed: its program runs. */
  async function runs(): Promise<void> {
    const body = { Image: "app:one", Cmd: ["/bin/busybox", "true"] };
    const created = await engine.request({ method: "POST", path: "/containers/create", body });
    expect(created.status, created.text).toBe(201);
    const { Id } = JSON.parse(created.text) as { readonly Id: string };
    expect((await engine.request({ method: "POST", path: `/containers/${Id}/start` })).status).toBe(204);
    const waited = await engine.request({ method: "POST", path: `/containers/${Id}/wait` });
    expect(JSON.parse(waited.text)).toMatchObject({ StatusCode: 0 });
    await engine.request({ method: "DELETE", path: `/containers/${Id}` });
  }
});
