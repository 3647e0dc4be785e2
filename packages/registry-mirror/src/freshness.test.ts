import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { UpstreamOptions } from "./options.ts";
import { pushImage } from "./testing/images.ts";
import type { PushedImage } from "./testing/images.ts";
import { createManualClock } from "./testing/manual-clock.ts";
import type { ManualClock } from "./testing/manual-clock.ts";
import { serveMirror } from "./testing/serve.ts";
import type { Answer, ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Tap } from "./testing/tap.ts";

const tagPath = "/v2/library/app/manifests/v1";

describeWithSystem("docker-registry", (registry) => {
  let tap: Tap;
  let clock: ManualClock;
  let mirror: ServedMirror;
  let image: PushedImage;

  const start = async (upstream: Partial<UpstreamOptions> = {}, more: object = {}): Promise<ServedMirror> =>
    serveMirror({ upstreams: { hub: { url: tap.url, hosts: ["docker.io"], ...upstream } }, clock, ...more });

  beforeEach(async () => {
    tap = await startTap(registry().endpoint);
    clock = createManualClock();
    mirror = await start();
    image = await pushImage(registry().endpoint, "library/app", "v1");
  });

  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
  });

  /** Pulls as an engine does. */
  async function pull(): Promise<void> {
    await mirror.send(tagPath, { method: "HEAD" });
    await mirror.send(`/v2/library/app/manifests/${image.manifest.digest}`);
    for (const { digest } of [image.config, ...image.layers]) await mirror.send(`/v2/library/app/blobs/${digest}`);
    tap.take();
  }

  /** Sends a request and lets all waits in the mirror pass until it is answered. */
  async function sendWhileTimePasses(
    target: string,
    most: number,
    method = "GET",
  ): Promise<{ answer: Answer; tookMs: number }> {
    const startedAt = clock.now();
    const answered = Promise.withResolvers<Answer>();
    const progress: { isOver: boolean } = { isOver: false };
    mirror
      .send(target, { method })
      .then(answered.resolve, answered.reject)
      .finally(() => {
        progress.isOver = true;
      });
    // The request has to reach the upstream before time may pass.
    await clock.waitsFor(most);
    while (!progress.isOver && clock.now() - startedAt <= most) await clock.advance(250);
    const tookMs = clock.now() - startedAt;
    const answer = await answered.promise;
    return { answer, tookMs };
  }

  it("RM F1: asks once a minute whether a tag has moved", async () => {
    await mirror.send(tagPath, { method: "HEAD" });
    expect(tap.take()).toEqual([`HEAD ${tagPath}`]);
    await clock.advance(30_000);
    const cached = await mirror.send(tagPath, { method: "HEAD" });
    expect([tap.take(), cached.headers["age"]]).toEqual([[], "30"]);
    await clock.advance(31_000);
    const checked = await mirror.send(tagPath, { method: "HEAD" });
    expect([tap.take(), checked.headers["x-cache"]]).toEqual([[`HEAD ${tagPath}`], "revalidated"]);
  });

  it("RM F2: moves a tag after its minute, and still has what it led to before", async () => {
    await mirror.send(tagPath);
    const moved = await pushImage(registry().endpoint, "library/app", "v1");
    await clock.advance(30_000);
    expect((await mirror.send(tagPath)).headers["docker-content-digest"]).toBe(image.manifest.digest);
    await clock.advance(31_000);
    tap.take();
    expect((await mirror.send(tagPath)).body.equals(moved.manifest.bytes)).toBe(true);
    expect(tap.take()).toEqual([`HEAD ${tagPath}`, `GET /v2/library/app/manifests/${moved.manifest.digest}`]);
    expect((await mirror.send(`/v2/library/app/manifests/${image.manifest.digest}`)).status).toBe(200);
    expect(tap.take()).toEqual([]);
  });

  it("RM F3: serves a known tag while the upstream is away, and does not try it for each request", async () => {
    await pull();
    await clock.advance(70_000);
    const comeBack = await tap.goDown();
    const stale = await mirror.send(tagPath);
    expect([stale.status, stale.headers["x-cache"], stale.body.equals(image.manifest.bytes)]).toEqual([
      200,
      "stale",
      true,
    ]);
    expect(stale.headers["warning"]).toMatch(/^299 - "hub /);
    expect(mirror.metric("stale_answers_total")).toBe(1);
    await comeBack();
    expect((await mirror.send(tagPath)).headers["x-cache"]).toBe("stale");
    expect(tap.take()).toEqual([]);
    await clock.advance(10_000);
    expect((await mirror.send(tagPath)).headers["x-cache"]).toBe("revalidated");
  });

  it.each([
    { what: "a login page", headers: { "content-type": "text/html; charset=utf-8" }, body: "<html>Sign in</html>" },
    { what: "a page that says nothing of its type", headers: {}, body: "<html>Sign in</html>" },
    { what: "a note in JSON", headers: { "content-type": "application/json" }, body: '{"error":"sign in"}' },
    { what: "a list", headers: { "content-type": "application/json" }, body: "[]" },
    {
      what: "a page with the type of a manifest",
      headers: { "content-type": "application/vnd.oci.image.manifest.v1+json" },
      body: "<html>Sign in</html>",
    },
  ])("keeps a known tag when the upstream answers with $what, and believes none for another", async (page) => {
    await pull();
    await clock.advance(70_000);
    tap.fault = () => ({ kind: "answer", status: 200, headers: page.headers, body: page.body });
    const stale = await mirror.send(tagPath);
    expect([stale.status, stale.headers["x-cache"], stale.body.equals(image.manifest.bytes)]).toEqual([
      200,
      "stale",
      true,
    ]);
    const other = await mirror.send("/v2/library/app/manifests/v2");
    expect([other.status, other.body.includes("Sign in")]).toEqual([502, false]);
    expect(mirror.mirror.entries({ reference: "v2" })).toEqual([]);
    tap.fault = () => undefined;
    await clock.advance(70_000);
    expect((await mirror.send(tagPath)).headers["x-cache"]).toBe("revalidated");
  });

  it("RM F4: serves a known tag in 12 seconds when the upstream is silent, and at once after that", async () => {
    await pull();
    await clock.advance(70_000);
    tap.fault = () => ({ kind: "hang" });
    const { answer, tookMs } = await sendWhileTimePasses(tagPath, 12_000);
    expect([answer.status, answer.headers["x-cache"]]).toEqual([200, "stale"]);
    expect(tookMs).toBeLessThanOrEqual(12_000);
    tap.take();
    expect((await mirror.send(tagPath)).headers["x-cache"]).toBe("stale");
    expect(tap.take()).toEqual([]);
  });

  it("RM F5, RM F6: gives up an unknown tag in 12 seconds, and works as soon as the upstream does", async () => {
    tap.fault = () => ({ kind: "hang" });
    const { answer, tookMs } = await sendWhileTimePasses(tagPath, 12_000);
    expect([answer.status, answer.code]).toEqual([504, "UNAVAILABLE"]);
    expect(tookMs).toBeLessThanOrEqual(12_000);
    tap.fault = () => undefined;
    await clock.advance(2000);
    expect((await mirror.send(tagPath)).status).toBe(200);
    expect(mirror.metric("breaker_open")).toBe(0);
  });

  it("RM F7: believes an upstream that says that a tag is gone", async () => {
    await pull();
    await clock.advance(61_000);
    tap.fault = () => ({ kind: "answer", status: 404 });
    expect(await mirror.send(tagPath)).toMatchObject({ status: 404, code: "MANIFEST_UNKNOWN" });
    expect(mirror.mirror.entries({ reference: "v1" })).toEqual([]);
    expect((await mirror.send(`/v2/library/app/manifests/${image.manifest.digest}`)).status).toBe(200);
  });

  it("keeps tags that are gone when it was told to", async () => {
    await mirror[Symbol.asyncDispose]();
    mirror = await start({}, { keepDeletedTags: true });
    await pull();
    await clock.advance(61_000);
    tap.fault = () => ({ kind: "answer", status: 404 });
    expect((await mirror.send(tagPath)).headers["x-cache"]).toBe("stale");
  });

  it("RM F8: leaves an upstream alone for as long as it asks, and serves what is cached", async () => {
    await pull();
    await pushImage(registry().endpoint, "library/new", "v1");
    tap.fault = ({ method }) =>
      method === "GET" ? { kind: "answer", status: 429, headers: { "retry-after": "30" } } : undefined;
    for (const path of ["/v2/library/new/manifests/v1", "/v2/library/other/manifests/v1"]) {
      const answer = await mirror.send(path);
      expect([answer.status, answer.code]).toEqual([429, "TOOMANYREQUESTS"]);
      expect(Number(answer.headers["retry-after"])).toBeLessThanOrEqual(30);
    }
    expect(tap.take()).toEqual(["GET /v2/library/new/manifests/v1"]);
    expect((await mirror.send(`/v2/library/app/manifests/${image.manifest.digest}`)).status).toBe(200);
    tap.fault = () => undefined;
    await clock.advance(31_000);
    expect((await mirror.send("/v2/library/new/manifests/v1")).status).toBe(200);
  });

  it("RM F9: serves a known tag when the upstream wants fewer requests", async () => {
    await pull();
    await clock.advance(61_000);
    tap.fault = () => ({ kind: "answer", status: 429 });
    expect((await mirror.send(tagPath)).headers["x-cache"]).toBe("stale");
  });

  it("RM F10: asks once for a tag that is not there, and finds it half a minute after it was pushed", async () => {
    for (let count = 0; count < 100; count += 1)
      expect((await mirror.send("/v2/library/late/manifests/v1")).status).toBe(404);
    expect(tap.take()).toHaveLength(1);
    await pushImage(registry().endpoint, "library/late", "v1");
    await clock.advance(30_000);
    expect((await mirror.send("/v2/library/late/manifests/v1")).status).toBe(200);
  });

  it("RM F11: tells how many pulls are left", async () => {
    tap.fault = () => ({
      kind: "headers",
      change: (headers) => {
        headers["ratelimit-limit"] = "100;w=21600";
        headers["ratelimit-remaining"] = "76;w=21600";
      },
    });
    await mirror.send(tagPath, { method: "HEAD" });
    expect(mirror.metric("rate_limit_remaining", { upstream: "hub" })).toBe(76);
    expect(mirror.metric("rate_limit", { upstream: "hub" })).toBe(100);
    expect(mirror.metric("rate_limit_window_seconds", { upstream: "hub" })).toBe(21_600);
  });

  it("RM F12: starts without the upstream, and serves what an earlier process has stored", async () => {
    const directory = await mkdtemp(join(tmpdir(), "mirror-"));
    await mirror[Symbol.asyncDispose]();
    mirror = await start({}, { directory });
    await pull();
    await mirror[Symbol.asyncDispose]();
    await tap.goDown();
    mirror = await start({}, { directory });
    try {
      expect((await mirror.send(tagPath)).headers["x-cache"]).toBe("hit");
      await clock.advance(61_000);
      expect((await mirror.send(tagPath)).headers["x-cache"]).toBe("stale");
      expect(mirror.mirror.status().upstreams).toMatchObject([{ id: "hub", state: "down" }]);
      const layer = await mirror.send(`/v2/library/app/blobs/${image.layers[0]?.digest}`);
      expect(layer.body.equals(image.layers[0]?.bytes ?? Buffer.alloc(0))).toBe(true);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("RM F13: computes a digest that the upstream does not tell", async () => {
    tap.fault = () => ({ kind: "headers", change: (headers) => delete headers["docker-content-digest"] });
    const head = await mirror.send(tagPath, { method: "HEAD" });
    expect([head.status, head.headers["docker-content-digest"]]).toEqual([200, image.manifest.digest]);
    expect(tap.take()).toEqual([`HEAD ${tagPath}`, `GET ${tagPath}`]);
  });

  it("RM F14: says of a blob that cannot be had what makes the client leave at once", async () => {
    await mirror.send(tagPath);
    const path = `blobs/${image.layers[0]?.digest}`;
    tap.fault = () => ({ kind: "answer", status: 503 });
    expect(await mirror.send(`/v2/library/app/${path}`)).toMatchObject({ status: 404, code: "BLOB_UNKNOWN" });
    expect(await mirror.send(`/v2/docker.io/library/app/${path}`)).toMatchObject({ status: 502, code: "UNAVAILABLE" });
  });

  it("RM C3: refuses the manifest of an image that it could not give whole", async () => {
    await mirror.send(tagPath);
    await tap.goDown();
    await mirror.send(`/v2/library/app/blobs/${image.layers[0]?.digest}`);
    expect((await mirror.send(tagPath)).status).toBe(504);
    await clock.advance(61_000);
    expect((await mirror.send(tagPath)).status).toBe(504);
  });

  it("RM A3: adds library to names of Docker Hub, and to no others", async () => {
    await pushImage(registry().endpoint, "app", "v1");
    expect((await mirror.send("/v2/app/manifests/v1", { method: "HEAD" })).status).toBe(200);
    await mirror[Symbol.asyncDispose]();
    mirror = await serveMirror({ upstreams: { quay: { url: tap.url, hosts: ["quay.io"] } }, clock });
    expect((await mirror.send("/v2/app/manifests/v1", { method: "HEAD" })).status).toBe(200);
    expect(tap.take()).toEqual([`HEAD ${tagPath}`, "HEAD /v2/app/manifests/v1"]);
  });

  it("RM A1: keeps upstreams that have the same names apart", async () => {
    await using other = await startTap(registry().endpoint);
    const two = await pushImage(registry().endpoint, "org/app", "2");
    const one = await pushImage(registry().endpoint, "org/app", "1");
    other.fault = () => ({
      kind: "answer",
      status: 200,
      headers: { "docker-content-digest": two.manifest.digest, "content-type": "x/y", "content-length": "5" },
    });
    await mirror[Symbol.asyncDispose]();
    mirror = await serveMirror({
      upstreams: { quay: { url: tap.url, hosts: ["quay.io"] }, ghcr: { url: other.url, hosts: ["ghcr.io"] } },
      clock,
    });
    const ask = async (ns: string): Promise<readonly unknown[]> => {
      const { headers } = await mirror.send(`/v2/org/app/manifests/1?ns=${ns}`, { method: "HEAD" });
      return [headers["docker-content-digest"], headers["oci-namespace"]];
    };
    for (let round = 0; round < 2; round += 1) {
      expect(await ask("quay.io")).toEqual([one.manifest.digest, "quay.io"]);
      expect(await ask("ghcr.io")).toEqual([two.manifest.digest, "ghcr.io"]);
    }
  });

  it("RM A2: connects to nobody who is not configured", async () => {
    let connections = 0;
    const trap = createServer((_, response) => {
      connections += 1;
      response.end();
    }).listen(0, "127.0.0.1");
    await once(trap, "listening");
    const { port } = trap.address() as AddressInfo;
    for (const ns of [
      "169.254.169.254",
      "localhost:1",
      "",
      `127.0.0.1:${port}`,
      "evil.example",
      "docker.io.evil.example",
    ]) {
      expect(await mirror.send(`${tagPath}?ns=${encodeURIComponent(ns)}`)).toMatchObject({
        status: 404,
        code: "NAME_UNKNOWN",
      });
    }
    expect(await mirror.send(`/v2/127.0.0.1:${port}/library/app/manifests/v1`)).toMatchObject({
      status: 404,
      code: "NAME_UNKNOWN",
    });
    expect([connections, tap.take()]).toEqual([0, []]);
    trap.close();
  });
});
