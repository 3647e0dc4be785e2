import { createS3Store } from "@fleetfoot/cache-backend-s3";
import type { S3Store } from "@fleetfoot/cache-backend-s3";
import { startRegistry } from "@fleetfoot-tooling/systems";
import type { Registry } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import type { MirrorOptions } from "./options.ts";
import { blobName } from "./storage/layout.ts";
import { pushImage, randomContent } from "./testing/images.ts";
import type { Content, PushedImage } from "./testing/images.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Tap } from "./testing/tap.ts";

describeWithSystem("minio", (minio) => {
  let registry: Registry;
  let tap: Tap;
  let store: S3Store;
  let image: PushedImage;
  let layer: Content;
  let buckets = 0;
  const mirrors: ServedMirror[] = [];

  beforeAll(async () => {
    registry = await startRegistry();
  });

  afterAll(() => registry.stop());

  beforeEach(async () => {
    tap = await startTap(registry.endpoint);
    buckets += 1;
    await minio().createBucket(`mirror-${buckets}`);
    store = storeWith({});
    layer = randomContent(20_000_000);
    image = await pushImage(registry.endpoint, "library/app", "v1", { layers: [layer] });
  });

  afterEach(async () => {
    for (const mirror of mirrors.splice(0)) await mirror[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
  });

  function storeWith(change: { readonly secretAccessKey?: string }): S3Store {
    const { accessKeyId, endpoint, region, secretAccessKey } = minio();
    return createS3Store({
      bucket: `mirror-${buckets}`,
      serverAddress: new URL(endpoint).host,
      accessKeyId,
      secretAccessKey,
      region,
      insecure: true,
      maxAttempts: 1,
      ...change,
    });
  }

  async function replica(options: Partial<MirrorOptions> = {}): Promise<ServedMirror> {
    const mirror = await serveMirror({ upstreams: { hub: { url: tap.url, hosts: ["docker.io"] } }, store, ...options });
    mirrors.push(mirror);
    return mirror;
  }

  const layerPath = (): string => `/v2/library/app/blobs/${layer.digest}`;

  async function pull(mirror: ServedMirror): Promise<void> {
    expect((await mirror.send("/v2/library/app/manifests/v1", { method: "HEAD" })).status).toBe(200);
    expect(
      (await mirror.send(`/v2/library/app/manifests/${image.manifest.digest}`)).body.equals(image.manifest.bytes),
    ).toBe(true);
    for (const { bytes, digest } of [image.config, layer]) {
      expect((await mirror.send(`/v2/library/app/blobs/${digest}`)).body.equals(bytes)).toBe(true);
    }
  }

  it("RM C7: two replicas with one bucket fetch each blob at most twice for sixteen pulls at once, and a third one not at all", async () => {
    const [one, two] = [await replica(), await replica()];
    await Promise.all(Array.from({ length: 16 }, (_, index) => pull(index % 2 === 0 ? one : two)));
    const gets = tap.take().filter((line) => line.startsWith("GET") && line.includes("/blobs/"));
    for (const { digest } of [image.config, layer]) {
      expect(gets.filter((line) => line.endsWith(digest)).length).toBeLessThanOrEqual(2);
    }
    // Closing waits until everything is in the bucket.
    for (const mirror of mirrors.splice(0)) {
      await mirror[Symbol.asyncDispose]();
      expect(mirror.metric("shared_store_failures_total")).toBe(0);
    }
    const objects: string[] = [];
    for await (const { name } of store.list("blobs/")) objects.push(name);
    expect(objects.toSorted()).toEqual(
      [image.config, layer, image.manifest].map(({ digest }) => blobName(digest)).toSorted(),
    );
    await tap.goDown();
    await pull(await replica());
    expect(tap.take()).toEqual([]);
  });

  it("RM C8: serves as if there were no bucket when it refuses, and says so", async () => {
    store = storeWith({ secretAccessKey: "wrong" });
    const mirror = await replica();
    await pull(mirror);
    expect(mirror.mirror.status().sharedStore).toBe("failing");
    expect(mirror.metric("shared_store_failures_total")).toBeGreaterThan(0);
    expect(mirror.log.filter((line) => line.includes("shared store fails"))).toHaveLength(1);
  });

  it("RM C9: sends clients to the bucket for large blobs when it is told to, and answers the rest itself", async () => {
    await pull(await replica());
    for (const mirror of mirrors.splice(0)) await mirror[Symbol.asyncDispose]();
    const mirror = await replica({ redirect: { minBytes: 1_000_000 } });
    await mirror.send(`/v2/library/app/manifests/${image.manifest.digest}`);
    const { headers, status } = await mirror.send(layerPath());
    expect(status).toBe(307);
    const location = headers["location"] ?? "";
    expect(new URL(location).origin).toBe(minio().endpoint);
    expect(Buffer.from(await (await fetch(location)).arrayBuffer()).equals(layer.bytes)).toBe(true);
    expect((await mirror.send(layerPath(), { method: "HEAD" })).headers["content-length"]).toBe(
      String(layer.bytes.byteLength),
    );
    expect((await mirror.send(layerPath(), { headers: { range: "bytes=0-9" } })).status).toBe(206);
    const small = await mirror.send(`/v2/library/app/blobs/${image.config.digest}`);
    expect([small.status, small.body.equals(image.config.bytes)]).toEqual([200, true]);
  });

  it("fetches anew, inside of the same request, what has vanished from the bucket", async () => {
    await pull(await replica());
    for (const mirror of mirrors.splice(0)) await mirror[Symbol.asyncDispose]();
    const mirror = await replica();
    await mirror.send(`/v2/library/app/manifests/${image.manifest.digest}`);
    expect((await mirror.send(layerPath(), { headers: { range: "bytes=0-0" } })).status).toBe(206);
    while (mirror.metric("fills_running") > 0) await new Promise((resolve) => setImmediate(resolve));
    await mirror.mirror.purge({ reference: layer.digest });
    await store.delete(blobName(layer.digest));
    expect((await mirror.send(layerPath())).body.equals(layer.bytes)).toBe(true);
  });
});
