import { readFile, readdir, rm, stat, truncate, writeFile } from "node:fs/promises";
import { createServer, get } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterEach, beforeEach, expect, it } from "vitest";
import { blobName } from "./storage/layout.ts";
import { pushImage, randomContent } from "./testing/images.ts";
import type { Content, PushedImage } from "./testing/images.ts";
import { createManualClock } from "./testing/manual-clock.ts";
import type { ManualClock } from "./testing/manual-clock.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Tap } from "./testing/tap.ts";

const layerBytes = 20_000_000;

describeWithSystem("docker-registry", (registry) => {
  let tap: Tap;
  let clock: ManualClock;
  let mirror: ServedMirror;
  let image: PushedImage;
  let layer: Content;

  beforeEach(async () => {
    tap = await startTap(registry().endpoint);
    clock = createManualClock();
    mirror = await serveMirror({ upstreams: { hub: { url: tap.url, hosts: ["docker.io"] } }, clock });
    layer = randomContent(layerBytes);
    image = await pushImage(registry().endpoint, "library/app", "v1", { layers: [layer] });
  });

  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
  });

  const layerPath = (): string => `/v2/library/app/blobs/${layer.digest}`;
  const storedFile = (): string => join(mirror.directory, blobName(layer.digest));
  const isBlob = ({ target }: { readonly target: string }): boolean => target === layerPath();

  async function stored(): Promise<void> {
    while (mirror.metric("fills_running") > 0) await new Promise((resolve) => setImmediate(resolve));
  }

  async function received(bytes: number): Promise<void> {
    while ((mirror.mirror.status().fills[0]?.receivedBytes ?? 0) < bytes)
      await new Promise((resolve) => setImmediate(resolve));
  }

  it("RM B1: fetches a blob once for eight clients that come at once, and gives each its first bytes while the rest is on its way", async () => {
    const gate = Promise.withResolvers<void>();
    tap.fault = (request) =>
      isBlob(request) ? { kind: "gate", afterBytes: layerBytes / 2, opened: gate.promise } : undefined;
    const clients = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const { body, status } = await mirror.mirror.answer({ method: "GET", target: layerPath(), headers: {} });
        if (body === undefined || body instanceof Uint8Array) throw new Error("there is no body");
        const { value } = await body.next();
        return { body, status, parts: value === undefined ? [] : [Buffer.from(value)] };
      }),
    );
    // All have their first bytes, although the upstream has sent no more than half.
    for (const { parts } of clients) expect(parts[0]?.byteLength).toBeGreaterThan(0);
    expect(mirror.mirror.status().fills).toMatchObject([{ readers: 8 }]);
    expect(mirror.mirror.status().fills[0]?.receivedBytes).toBeLessThanOrEqual(layerBytes / 2);
    gate.resolve();
    for (const { body, parts, status } of clients) {
      for await (const chunk of body) parts.push(Buffer.from(chunk));
      expect([status, Buffer.concat(parts).equals(layer.bytes)]).toEqual([200, true]);
    }
    expect(tap.take()).toEqual([`GET ${layerPath()}`]);
    expect(tap.bytes).toBe(layerBytes);
    expect(mirror.metric("fill_readers")).toBe(0);
  });

  it("RM B2: asks for everything once, with one token, when fifty engines pull at once", async () => {
    let tokens = 0;
    const tokenServer = createServer((_request, response) => {
      tokens += 1;
      response.end(JSON.stringify({ token: "good", expires_in: 300 }));
    }).listen(0, "127.0.0.1");
    await once(tokenServer, "listening");
    const realm = `http://127.0.0.1:${(tokenServer.address() as AddressInfo).port}/token`;
    const challenge = `Bearer realm="${realm}",service="registry",scope="repository:library/app:pull"`;
    tap.fault = ({ headers }) =>
      headers.authorization === "Bearer good"
        ? { kind: "without", headers: ["authorization"] }
        : { kind: "answer", status: 401, headers: { "www-authenticate": challenge } };
    const layers = [randomContent(1_000_000), randomContent(300_000)];
    const small = await pushImage(registry().endpoint, "library/app", "v2", { layers });
    const engine = async (): Promise<void> => {
      await mirror.send("/v2/");
      const { headers } = await mirror.send("/v2/library/app/manifests/v2", { method: "HEAD" });
      const manifest = await mirror.send(`/v2/library/app/manifests/${headers["docker-content-digest"]}`);
      expect(manifest.body.equals(small.manifest.bytes)).toBe(true);
      await Promise.all(
        [small.config, ...layers].map(async ({ bytes, digest }) => {
          const { body } = await mirror.send(`/v2/library/app/blobs/${digest}`);
          expect(body.equals(bytes)).toBe(true);
        }),
      );
    };
    await Promise.all(Array.from({ length: 50 }, engine));
    const letIn = tap.requests.filter(({ headers }) => headers.authorization === "Bearer good");
    expect(letIn.map(({ method, target }) => `${method} ${target}`).toSorted()).toEqual(
      [
        "HEAD /v2/library/app/manifests/v2",
        `GET /v2/library/app/manifests/${small.manifest.digest}`,
        ...[small.config, ...layers].map(({ digest }) => `GET /v2/library/app/blobs/${digest}`),
      ].toSorted(),
    );
    // The first one is refused, and learns what is wanted.
    expect([tap.requests.length - letIn.length, tokens]).toEqual([1, 1]);
    tokenServer.close();
  });

  it("sends the first bytes while the upstream has not sent the last ones, and never the last one before", async () => {
    const gate = Promise.withResolvers<void>();
    tap.fault = (request) =>
      isBlob(request) ? { kind: "gate", afterBytes: layerBytes - 1, opened: gate.promise } : undefined;
    const received: Buffer[] = [];
    const ended = new Promise<void>((resolve, reject) => {
      get(`${mirror.url}${layerPath()}`, (response) => {
        response.on("data", (chunk: Buffer) => {
          received.push(chunk);
          // All that the upstream has sent; the last byte of a whole blob would be held back.
          if (Buffer.concat(received).byteLength === layerBytes - 1) gate.resolve();
        });
        response.on("end", resolve);
      }).on("error", reject);
    });
    await ended;
    expect(Buffer.concat(received).equals(layer.bytes)).toBe(true);
  });

  it("gives clients of any pace the right bytes of a blob that arrives", async () => {
    const fast = Promise.withResolvers<void>();
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    const slow = [
      mirror.send(layerPath(), { onData: turn }),
      mirror.send(layerPath(), { onData: () => fast.promise }),
      mirror.send(layerPath(), { headers: { range: "bytes=3000000-" }, onData: () => fast.promise }),
      mirror.send(layerPath(), { headers: { range: "bytes=262143-15000000" }, onData: turn }),
    ];
    const others = await Promise.all(Array.from({ length: 4 }, () => mirror.send(layerPath())));
    fast.resolve();
    const [one, two, rest, middle] = await Promise.all(slow);
    for (const answer of [...others, one, two]) expect(answer?.body.equals(layer.bytes)).toBe(true);
    expect(rest?.body.equals(layer.bytes.subarray(3_000_000))).toBe(true);
    expect(middle?.body.equals(layer.bytes.subarray(262_143, 15_000_001))).toBe(true);
    expect(tap.take()).toEqual([`GET ${layerPath()}`]);
  });

  it("does not take the wait for a free slot for the upstream's silence", async () => {
    await using busy = await serveMirror({
      upstreams: { hub: { url: tap.url, hosts: ["docker.io"], maxFills: 1 } },
      limits: { blobMs: 1000, tokenMs: 500, fillStallMs: 60_000, idleMs: 60_000 },
      clock,
    });
    const gate = Promise.withResolvers<void>();
    tap.fault = (request) =>
      isBlob(request) ? { kind: "gate", afterBytes: 1_000_000, opened: gate.promise } : undefined;
    const first = busy.send(layerPath());
    while ((busy.mirror.status().fills[0]?.receivedBytes ?? 0) < 1_000_000)
      await new Promise((resolve) => setImmediate(resolve));
    const second = busy.send(`/v2/library/app/blobs/${image.config.digest}`);
    while (busy.mirror.status().fills.length < 2) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(4000);
    gate.resolve();
    expect((await first).body.equals(layer.bytes)).toBe(true);
    expect(await second).toMatchObject({ status: 200, isCut: false });
    expect(tap.take()).toEqual([`GET ${layerPath()}`, `GET /v2/library/app/blobs/${image.config.digest}`]);
  });

  it("lets nobody wait without end for blobs that others want", async () => {
    await using busy = await serveMirror({
      upstreams: { hub: { url: tap.url, hosts: ["docker.io"], maxFills: 1 } },
      limits: { fillStallMs: 600_000, idleMs: 600_000 },
      clock,
    });
    const other = await pushImage(registry().endpoint, "library/other", "v1", { layers: [randomContent(1000)] });
    const gate = Promise.withResolvers<void>();
    tap.fault = (request) =>
      request.target.includes("/blobs/")
        ? { kind: "gate", afterBytes: isBlob(request) ? 1_000_000 : 10, opened: gate.promise }
        : undefined;
    const first = busy.send(layerPath());
    while ((busy.mirror.status().fills[0]?.receivedBytes ?? 0) < 1_000_000)
      await new Promise((resolve) => setImmediate(resolve));
    const second = busy.send(`/v2/library/app/blobs/${image.config.digest}`);
    while (busy.mirror.status().fills.length < 2) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(5000);
    while ((busy.mirror.status().fills[1]?.receivedBytes ?? 0) < 10)
      await new Promise((resolve) => setImmediate(resolve));
    // There are twice as many as there should be by now.
    const third = busy.send(`/v2/library/other/blobs/${other.layers[0]?.digest}`);
    while (busy.mirror.status().fills.length < 3) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(5000);
    expect(await third).toMatchObject({ status: 404, code: "BLOB_UNKNOWN" });
    gate.resolve();
    expect((await first).body.equals(layer.bytes)).toBe(true);
    expect((await second).body.equals(image.config.bytes)).toBe(true);
    const again = await busy.send(`/v2/library/other/blobs/${other.layers[0]?.digest}`);
    expect(again.body.equals(other.layers[0]?.bytes ?? Buffer.alloc(0))).toBe(true);
  });

  it("does not wait for a silent answer to another name's client when its own name has the blob", async () => {
    await pushImage(registry().endpoint, "library/other", "v1", { layers: [layer] });
    const asked = Promise.withResolvers<void>();
    tap.fault = (request) => {
      if (!isBlob(request)) return undefined;
      asked.resolve();
      return { kind: "hang" };
    };
    const leaver = new AbortController();
    const first = mirror.mirror.answer({ method: "GET", target: layerPath(), headers: {}, signal: leaver.signal });
    const left = expect(first).rejects.toThrow("enough");
    await asked.promise;
    const target = layerPath().replace("/app/", "/other/");
    const others = Array.from({ length: 3 }, () => mirror.mirror.answer({ method: "GET", target, headers: {} }));
    await clock.waitsFor(5000);
    await clock.advance(5000);
    for (const { body, status } of await Promise.all(others)) {
      if (body === undefined || body instanceof Uint8Array) throw new Error("there is no body");
      const parts: Buffer[] = [];
      for await (const chunk of body) parts.push(Buffer.from(chunk));
      expect([status, Buffer.concat(parts).equals(layer.bytes)]).toEqual([200, true]);
    }
    const gets = tap.take().filter((line) => line.startsWith("GET"));
    expect(gets).toEqual([`GET ${layerPath()}`, `GET ${target}`]);
    leaver.abort(new Error("enough"));
    await left;
  });

  it("lets further clients of a name wait for what is fetched under it, although another name has begun a fetch meanwhile", async () => {
    const leaver = new AbortController();
    const left: Promise<void>[] = [];
    const ask = (target: string): void => {
      const answer = mirror.mirror.answer({ method: "GET", target, headers: {}, signal: leaver.signal });
      left.push(expect(answer).rejects.toThrow("enough"));
    };
    const readers = async (...counts: readonly number[]): Promise<void> => {
      while (String(mirror.mirror.status().fills.map((fill) => fill.readers)) !== String(counts))
        await new Promise((resolve) => setImmediate(resolve));
    };
    tap.fault = ({ method }) => (method === "GET" ? { kind: "hang" } : undefined);
    ask(layerPath());
    await readers(1);
    await pushImage(registry().endpoint, "library/other", "v1", { layers: [layer] });
    ask(layerPath().replace("/app/", "/other/"));
    await clock.waitsFor(5000);
    await clock.advance(5000);
    await readers(1, 1);
    ask(layerPath());
    await readers(2, 1);
    leaver.abort(new Error("enough"));
    await Promise.all(left);
  });

  it("RM B3: goes on where the upstream broke off, in one response to the client", async () => {
    let cuts = 0;
    tap.fault = (request) => (isBlob(request) && cuts++ < 2 ? { kind: "cut", afterBytes: 5_000_000 } : undefined);
    const pulled = mirror.send(layerPath());
    for (const pauseMs of [500, 1000]) {
      await clock.waitsFor(pauseMs);
      await clock.advance(pauseMs);
    }
    const { body, isCut, status } = await pulled;
    expect([status, isCut, body.equals(layer.bytes)]).toEqual([200, false, true]);
    const ranges = tap.requests.map(({ headers }) => headers.range);
    expect(ranges).toHaveLength(3);
    expect(ranges[0]).toBeUndefined();
    for (const range of ranges.slice(1)) expect(range).toMatch(/^bytes=[1-9]\d*-$/);
    await stored();
    expect((await readFile(storedFile())).equals(layer.bytes)).toBe(true);
  });

  it("RM B8: gets the right bytes from an upstream that begins anew", async () => {
    let cuts = 0;
    tap.fault = (request) => {
      if (!isBlob(request)) return undefined;
      return cuts++ < 1 ? { kind: "cut", afterBytes: 5_000_000 } : { kind: "without", headers: ["range"] };
    };
    const pulled = mirror.send(layerPath());
    await clock.waitsFor(500);
    await clock.advance(500);
    expect((await pulled).body.equals(layer.bytes)).toBe(true);
    expect(tap.requests.at(-1)?.headers.range).toBeDefined();
  });

  it("RM B4: cuts the client off when the upstream always breaks off, with nothing but its bytes", async () => {
    tap.fault = (request) => (isBlob(request) ? { kind: "cut", afterBytes: 1_000_000 } : undefined);
    const pulled = mirror.send(layerPath());
    for (const pauseMs of [500, 1000, 2000]) {
      await clock.waitsFor(pauseMs);
      await clock.advance(pauseMs);
    }
    const { body, isCut } = await pulled;
    expect(isCut).toBe(true);
    expect(body.byteLength).toBeGreaterThan(0);
    expect(body.equals(layer.bytes.subarray(0, body.byteLength))).toBe(true);
    await expect(stat(storedFile())).rejects.toThrow("ENOENT");
    // An engine that comes back for the rest is sent to the upstream, since it would come back for minutes.
    const rest = { headers: { range: `bytes=${body.byteLength}-` } };
    expect(await mirror.send(layerPath(), rest)).toMatchObject({ status: 404, code: "BLOB_UNKNOWN" });
    await clock.advance(15_000);
    tap.fault = () => undefined;
    tap.requests.length = 0;
    expect((await mirror.send(layerPath())).body.equals(layer.bytes)).toBe(true);
    expect(tap.requests[0]?.headers.range).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it("RM B5: never completes wrong bytes, and asks again the next time", async () => {
    tap.fault = (request) => (isBlob(request) ? { kind: "flip", atByte: 12_345_678 } : undefined);
    const wrong = await mirror.send(layerPath());
    expect(wrong.isCut).toBe(true);
    expect(wrong.body.byteLength).toBeLessThan(layerBytes);
    await expect(stat(storedFile())).rejects.toThrow("ENOENT");
    while ((await readdir(join(mirror.directory, "tmp"))).length > 0)
      await new Promise((resolve) => setImmediate(resolve));
    expect(mirror.metric("verification_failures_total", { origin: "upstream" })).toBe(1);
    tap.fault = () => undefined;
    expect((await mirror.send(layerPath())).body.equals(layer.bytes)).toBe(true);
  });

  it("RM B6: sends no byte of a manifest that does not fit its digest", async () => {
    tap.fault = ({ method }) => (method === "GET" ? { kind: "flip", atByte: 20 } : undefined);
    const answer = await mirror.send(`/v2/library/app/manifests/${image.manifest.digest}`);
    expect([answer.status, answer.code]).toEqual([502, "UNAVAILABLE"]);
  });

  it("RM B7: manages without a length from the upstream", async () => {
    tap.fault = () => ({ kind: "headers", change: (headers) => delete headers["content-length"] });
    const chunked = await mirror.send(layerPath());
    expect([chunked.headers["content-length"], chunked.body.equals(layer.bytes)]).toEqual([undefined, true]);
    await mirror.send(`/v2/library/app/manifests/${image.manifest.digest}`);
    const config = await mirror.send(`/v2/library/app/blobs/${image.config.digest}`);
    expect(config.headers["content-length"]).toBe(String(image.config.bytes.byteLength));
    await stored();
    expect((await readFile(storedFile())).equals(layer.bytes)).toBe(true);
  });

  it("RM B9, RM A7: follows a redirect without the login, and starts anew once when its URL has expired", async () => {
    const seen: (string | undefined)[] = [];
    const storage = createServer((request, response) => {
      seen.push(request.headers.authorization);
      if (seen.length === 1) response.writeHead(403).end();
      else response.writeHead(200, { "content-length": String(layerBytes) }).end(layer.bytes);
    }).listen(0, "127.0.0.1");
    await once(storage, "listening");
    const location = `http://127.0.0.1:${(storage.address() as AddressInfo).port}/signed?secret=1`;
    tap.fault = (request) => (isBlob(request) ? { kind: "answer", status: 307, headers: { location } } : undefined);
    const { body, headers, status } = await mirror.send(layerPath());
    expect([status, headers["location"], body.equals(layer.bytes)]).toEqual([200, undefined, true]);
    expect(seen).toEqual([undefined, undefined]);
    expect(tap.take()).toHaveLength(2);
    expect(mirror.log.join("\n")).not.toContain("secret");
    storage.close();
  });

  it("RM B10: completes no stored blob that was damaged, and repairs it", async () => {
    await mirror.send(layerPath());
    await stored();
    const bytes = await readFile(storedFile());
    bytes.writeUInt8(bytes.readUInt8(7_000_000) ^ 1, 7_000_000);
    await writeFile(storedFile(), bytes);
    const damaged = await mirror.send(layerPath());
    expect([damaged.isCut, damaged.body.byteLength < layerBytes]).toEqual([true, true]);
    expect(mirror.metric("verification_failures_total", { origin: "disk" })).toBe(1);
    expect((await mirror.send(layerPath())).body.equals(layer.bytes)).toBe(true);
    await stored();
    await writeFile(storedFile(), bytes);
    const part = await mirror.send(layerPath(), { headers: { range: "bytes=7000000-7000000" } });
    expect([part.status, part.body.equals(layer.bytes.subarray(7_000_000, 7_000_001))]).toEqual([206, true]);
  });

  it("RM B11: fetches again what was truncated or deleted", async () => {
    for (const damage of [() => truncate(storedFile(), 0), () => rm(storedFile())]) {
      await mirror.send(layerPath());
      await stored();
      await damage();
      const answer = await mirror.send(layerPath());
      expect([answer.status, answer.headers["content-length"], answer.body.equals(layer.bytes)]).toEqual([
        200,
        String(layerBytes),
        true,
      ]);
      await stored();
    }
  });

  it("knows the true empty blob", async () => {
    const empty = randomContent(0);
    await pushImage(registry().endpoint, "library/empty", "v1", { layers: [empty] });
    for (let round = 0; round < 2; round += 1) {
      const answer = await mirror.send(`/v2/library/empty/blobs/${empty.digest}`);
      expect([answer.status, answer.headers["content-length"], answer.body.byteLength]).toEqual([200, "0", 0]);
    }
  });

  it("RM B12: finishes what is nearly done when the client leaves, and keeps a part of what is not", async () => {
    const gate = Promise.withResolvers<void>();
    tap.fault = (request) =>
      isBlob(request) ? { kind: "gate", afterBytes: 12_000_000, opened: gate.promise } : undefined;
    await leaveAfter(`${mirror.url}${layerPath()}`, 10_000_000);
    gate.resolve();
    await stored();
    expect((await mirror.send(layerPath())).headers["x-cache"]).toBe("hit");
    expect(tap.take()).toHaveLength(1);

    const large = randomContent(70_000_000);
    await pushImage(registry().endpoint, "library/large", "v1", { layers: [large] });
    const largePath = `/v2/library/large/blobs/${large.digest}`;
    tap.fault = ({ target }) => (target === largePath ? { kind: "slow", bytesPerSecond: 1_000_000 } : undefined);
    await leaveAfter(`${mirror.url}${largePath}`, 100_000);
    while (mirror.metric("fill_readers") > 0) await new Promise((resolve) => setImmediate(resolve));
    for (let second = 0; second < 30; second += 5) {
      await received((mirror.mirror.status().fills[0]?.receivedBytes ?? 0) + 20_000);
      await clock.advance(5000);
    }
    await stored();
    tap.fault = () => undefined;
    expect((await mirror.send(largePath)).body.equals(large.bytes)).toBe(true);
    expect(tap.requests.at(-1)?.headers.range).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it("treats a silent body like one that broke off", async () => {
    let stalls = 0;
    tap.fault = (request) => (isBlob(request) && stalls++ === 0 ? { kind: "stall", afterBytes: 3_000_000 } : undefined);
    const pulled = mirror.send(layerPath());
    await received(3_000_000);
    await clock.advance(6000);
    await clock.waitsFor(500);
    await clock.advance(500);
    expect((await pulled).body.equals(layer.bytes)).toBe(true);
  });

  it("cuts the client off when all tries stay silent, sends nobody there for a while, and goes on later", async () => {
    tap.fault = (request) => (isBlob(request) ? { kind: "stall", afterBytes: 3_000_000 } : undefined);
    const pulled = mirror.send(layerPath());
    await received(3_000_000);
    tap.fault = (request) => (isBlob(request) ? { kind: "hang" } : undefined);
    await clock.advance(13_000);
    const { body, isCut } = await pulled;
    expect([isCut, body.equals(layer.bytes.subarray(0, body.byteLength))]).toEqual([true, true]);
    const tries = tap.requests.length;
    expect(tries).toBe(2);
    expect(await mirror.send(layerPath())).toMatchObject({ status: 404, code: "BLOB_UNKNOWN" });
    // As an engine does it.
    await clock.advance(5000);
    expect(await mirror.send(layerPath(), { headers: { range: "bytes=2999999-" } })).toMatchObject({ status: 404 });
    await clock.advance(10_000);
    expect(await mirror.send(layerPath())).toMatchObject({ status: 404, code: "BLOB_UNKNOWN" });
    expect(tap.requests.length).toBe(tries);
    await clock.advance(5000);
    tap.fault = () => undefined;
    expect((await mirror.send(layerPath())).body.equals(layer.bytes)).toBe(true);
    expect(tap.requests.at(-1)?.headers.range).toBe("bytes=3000000-");
  });

  it("takes a byte now and then for silence", async () => {
    tap.fault = (request) => (isBlob(request) ? { kind: "drip", afterBytes: 3_000_000 } : undefined);
    const pulled = mirror.send(layerPath());
    await received(3_000_100);
    await clock.advance(13_000);
    expect((await pulled).isCut).toBe(true);
  });

  it("sends who comes back for the rest of wrong bytes elsewhere, or gives him everything anew", async () => {
    for (const [host, rest] of [
      ["", { status: 404, code: "BLOB_UNKNOWN" }],
      ["docker.io/", { status: 200, isCut: false }],
    ] as const) {
      const other = randomContent(1_000_000);
      await pushImage(registry().endpoint, "library/other", "v1", { layers: [other] });
      const path = `/v2/${host}library/other/blobs/${other.digest}`;
      const gate = Promise.withResolvers<void>();
      tap.fault = () => ({ kind: "gate", afterBytes: 500_000, opened: gate.promise, atByte: 5 });
      // Whoever got nothing has nothing to come back for.
      const { body, isCut } = await mirror.send(path, { onData: () => gate.resolve() });
      expect(isCut).toBe(true);
      tap.fault = () => undefined;
      const again = await mirror.send(path, { headers: { range: `bytes=${body.byteLength}-` } });
      expect(again).toMatchObject(rest);
      if (again.status === 200) expect(again.body.equals(other.bytes)).toBe(true);
    }
  });

  it("gives a blob only under a name that was seen to hold it", async () => {
    await mirror.send(layerPath());
    await pushImage(registry().endpoint, "library/public", "v1");
    tap.take();
    const other = await mirror.send(`/v2/library/public/blobs/${layer.digest}`);
    expect([other.status, other.code]).toEqual([404, "BLOB_UNKNOWN"]);
    expect(tap.take()).toEqual([`HEAD /v2/library/public/blobs/${layer.digest}`]);
  });

  it("RM B16: still has a layer of one image when another one that shares it is purged", async () => {
    const sharing = await pushImage(registry().endpoint, "library/sharing", "v1", { layers: [layer] });
    await mirror.send("/v2/library/app/manifests/v1");
    await mirror.send("/v2/library/sharing/manifests/v1");
    await mirror.send(layerPath());
    await stored();
    await mirror.mirror.purge({ name: "library/app" });
    tap.take();
    const answer = await mirror.send(`/v2/library/sharing/blobs/${layer.digest}`);
    expect([answer.headers["x-cache"], answer.body.equals(layer.bytes), tap.take()]).toEqual(["hit", true, []]);
    expect((await mirror.send(`/v2/library/sharing/manifests/${sharing.manifest.digest}`)).headers["x-cache"]).toBe(
      "hit",
    );
    expect(mirror.mirror.entries({ name: "library/app" })).toEqual([]);
  });
});

/** Reads so many bytes and then closes the connection; resolves when the other side must have noticed. */
async function leaveAfter(url: string, bytes: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let received = 0;
    const request = get(url, (response) => {
      response.on("data", (chunk: Buffer) => {
        received += chunk.byteLength;
        if (received >= bytes) request.destroy();
      });
      response.on("close", resolve);
      response.on("error", () => {});
    });
    request.on("error", reject);
  });
}
