import { randomUUID } from "node:crypto";
import { bodyFrom, canPutConditionally, createMemoryStore, readChunks } from "@fleetfoot/cache-backend";
import type {
  CacheStore,
  DeletesObjects,
  ListsObjects,
  MemoryStore,
  PutsConditionally,
  StoredObject,
} from "@fleetfoot/cache-backend";
import { createAzureStore } from "@fleetfoot/cache-backend-azure";
import { createGcsStore } from "@fleetfoot/cache-backend-gcs";
import { createS3Store } from "@fleetfoot/cache-backend-s3";
import { startRegistry } from "@fleetfoot-tooling/systems";
import type { Registry } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "./clock.ts";
import type { MirrorOptions } from "./options.ts";
import { blobName } from "./storage/layout.ts";
import { pushImage, randomContent } from "./testing/images.ts";
import type { Content, PushedImage } from "./testing/images.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Tap } from "./testing/tap.ts";

type Bucket = CacheStore & DeletesObjects & ListsObjects;

interface Replicas {
  readonly tap: () => Tap;
  readonly image: () => PushedImage;
  readonly layer: () => Content;
  readonly layerPath: () => string;
  /** Another mirror with the bucket of this test. */
  add(options?: Partial<MirrorOptions>): Promise<ServedMirror>;
  /** Ends all of them; what was on its way to the bucket is in it then. */
  end(): Promise<readonly ServedMirror[]>;
  pull(mirror: ServedMirror): Promise<void>;
}

/** Prepares an image, and mirrors with one new bucket, for each test of a group. */
function useReplicas(bucket: () => Promise<CacheStore>): Replicas {
  let registry: Registry;
  let tap: Tap;
  let store: CacheStore;
  let image: PushedImage;
  let layer: Content;
  const mirrors: ServedMirror[] = [];
  const layerPath = (): string => `/v2/library/app/blobs/${layer.digest}`;

  beforeAll(async () => {
    registry = await startRegistry();
  });

  afterAll(() => registry.stop());

  beforeEach(async () => {
    tap = await startTap(registry.endpoint);
    store = await bucket();
    layer = randomContent(20_000_000);
    image = await pushImage(registry.endpoint, "library/app", "v1", { layers: [layer] });
  });

  afterEach(async () => {
    await end();
    await tap[Symbol.asyncDispose]();
  });

  async function end(): Promise<readonly ServedMirror[]> {
    const ended = mirrors.splice(0);
    for (const mirror of ended) await mirror[Symbol.asyncDispose]();
    return ended;
  }

  return {
    tap: () => tap,
    image: () => image,
    layer: () => layer,
    layerPath,
    end,
    async add(options = {}) {
      const upstreams = { hub: { url: tap.url, hosts: ["docker.io"] } };
      const mirror = await serveMirror({ upstreams, store, ...options });
      mirrors.push(mirror);
      return mirror;
    },
    async pull(mirror) {
      expect((await mirror.send("/v2/library/app/manifests/v1", { method: "HEAD" })).status).toBe(200);
      const manifest = await mirror.send(`/v2/library/app/manifests/${image.manifest.digest}`);
      expect(manifest.body.equals(image.manifest.bytes)).toBe(true);
      for (const { bytes, digest } of [image.config, layer]) {
        expect((await mirror.send(`/v2/library/app/blobs/${digest}`)).body.equals(bytes)).toBe(true);
      }
    },
  };
}

/** What holds for a bucket of every kind. */
function describeReplicas(createBucket: () => Promise<Bucket>): void {
  let store: Bucket;
  const replicas = useReplicas(async () => {
    store = await createBucket();
    return store;
  });
  const { add, end, image, layer, layerPath, pull, tap } = replicas;

  it("RM C7: two replicas with one bucket fetch each blob at most twice for sixteen pulls at once, and a third one not at all", async () => {
    const [one, two] = [await add(), await add()];
    await Promise.all(Array.from({ length: 16 }, (_, index) => pull(index % 2 === 0 ? one : two)));
    const { config, manifest } = image();
    const gets = tap()
      .take()
      .filter((line) => line.startsWith("GET"));
    for (const { digest } of [config, layer(), manifest]) {
      expect(gets.filter((line) => line.endsWith(digest)).length).toBeLessThanOrEqual(2);
    }
    const once = [config, layer(), manifest].reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    expect(tap().bytes).toBeLessThanOrEqual(2 * once);
    for (const mirror of await end()) expect(mirror.metric("shared_store_failures_total")).toBe(0);
    expect(await namesIn("blobs/")).toEqual(
      [config, layer(), manifest].map(({ digest }) => blobName(digest)).toSorted(),
    );
    // Every lease was given back.
    expect(await namesIn("leases/")).toEqual([]);
    await tap().goDown();
    await pull(await add());
    expect(tap().take()).toEqual([]);
  });

  it("fetches anew, inside of the same request, what has vanished from the bucket", async () => {
    await pull(await add());
    await end();
    // No blob of this length stays on its disk.
    const mirror = await add({ maxBytes: 1_000_000 });
    await pull(mirror);
    await store.delete(blobName(layer().digest));
    tap().take();
    expect((await mirror.send(layerPath())).body.equals(layer().bytes)).toBe(true);
    expect(tap().take()).toEqual([`GET ${layerPath()}`]);
  });

  async function namesIn(prefix: string): Promise<readonly string[]> {
    const names: string[] = [];
    for await (const { name } of store.list(prefix)) names.push(name);
    return names.toSorted();
  }
}

describe("with a store that answers one question late", () => {
  const isLate = Promise.withResolvers<void>();
  const late = Promise.withResolvers<void>();
  const { add, image, tap } = useReplicas(async () => {
    const store = createMemoryStore();
    let questions = 0;
    return {
      ...store,
      async get(name, options) {
        const found = await store.get(name, options);
        if (name.includes("/_digests/") && (questions += 1) === 2) {
          isLate.resolve();
          await late.promise;
        }
        return found;
      },
    };
  });

  it("does not fetch a manifest again that another client's request has brought meanwhile", async () => {
    const mirror = await add();
    const { manifest } = image();
    const path = `/v2/library/app/manifests/${manifest.digest}`;
    const both = [mirror.send(path), mirror.send(path)];
    await isLate.promise;
    await Promise.race(both);
    late.resolve();
    for (const answer of await Promise.all(both)) expect(answer.body.equals(manifest.bytes)).toBe(true);
    expect(tap().take()).toEqual([`GET ${path}`]);
  });
});

describe("with a store that has fallen silent", () => {
  let isSilent: boolean;
  let breaksOff: boolean;
  const { add, end, image, layer, pull, tap } = useReplicas(async () => {
    isSilent = breaksOff = false;
    return silenced(
      createMemoryStore(),
      () => isSilent,
      () => breaksOff,
    );
  });

  it("pulls from the upstream, and ends", async () => {
    await pull(await add());
    await end();
    isSilent = true;
    const mirror = await add({ limits: { storeMs: 50 } });
    tap().take();
    await pull(mirror);
    expect(mirror.mirror.status().sharedStore).toBe("failing");
    const { config, manifest } = image();
    const gets = tap()
      .take()
      .filter((line) => line.startsWith("GET"));
    expect(gets.map((line) => line.split("/").at(-1))).toEqual([manifest, config, layer()].map(({ digest }) => digest));
    await end();
  });

  it("goes on with the upstream when it falls silent in the middle of a blob", async () => {
    await pull(await add());
    await end();
    const mirror = await add({ limits: { storeMs: 500 } });
    await mirror.send(`/v2/library/app/manifests/${image().manifest.digest}`);
    tap().take();
    breaksOff = true;
    const path = `/v2/library/app/blobs/${layer().digest}`;
    const { body } = await mirror.mirror.answer({ method: "GET", target: path, headers: {} });
    if (body === undefined || body instanceof Uint8Array) throw new Error("there is no body");
    const parts: Buffer[] = [];
    for await (const chunk of body) parts.push(Buffer.from(chunk));
    expect(Buffer.concat(parts).equals(layer().bytes)).toBe(true);
    expect(tap().take()).toEqual([`GET ${path}`]);
  });
});

describe("with a store that reads, and says nothing when a lease is written", () => {
  const { add, layerPath, pull, tap } = useReplicas(async () => {
    const store = createMemoryStore();
    const putIf: typeof store.putIf = (name, ...rest) =>
      name.startsWith("leases/") ? new Promise(() => {}) : store.putIf(name, ...rest);
    return { ...store, putIf };
  });

  it("pulls from the upstream", async () => {
    const mirror = await add({ limits: { storeMs: 50 } });
    await pull(mirror);
    expect(tap().take()).toContain(`GET ${layerPath()}`);
  });
});

describeWithSystem("fake-gcs-server", (gcs) => {
  describeReplicas(async () => {
    const bucket = `mirror-${randomUUID()}`;
    await gcs().createBucket(bucket);
    return createGcsStore({ bucket, endpoint: gcs().endpoint });
  });
});

describeWithSystem("azurite", (azurite) => {
  describeReplicas(async () => {
    const { accountKey, accountName, blobEndpoint, createContainer } = azurite();
    const containerName = `mirror-${randomUUID()}`;
    await createContainer(containerName);
    return createAzureStore({ accountName, accountKey, endpoint: blobEndpoint, containerName });
  });
});

describeWithSystem("minio", (minio) => {
  describe("like every bucket", () => describeReplicas(() => createBucket()));

  describe("with its own abilities", () => {
    const { add, end, image, layer, layerPath, pull } = useReplicas(() => createBucket());

    it("RM C8: serves as if there were no bucket when it refuses, and says so", async () => {
      const mirror = await add({ store: await createBucket({ secretAccessKey: "wrong" }) });
      await pull(mirror);
      expect(mirror.mirror.status().sharedStore).toBe("failing");
      expect(mirror.metric("shared_store_failures_total")).toBeGreaterThan(0);
      expect(mirror.log.filter((line) => line.includes("shared store fails"))).toHaveLength(1);
    });

    it("leaves no lease behind when the answers to its taking are lost", async () => {
      const bucket = await createBucket();
      const mirror = await add({ store: losingLeases(bucket) });
      await pull(mirror);
      await end();
      const names: string[] = [];
      for await (const { name } of bucket.list("leases/")) names.push(name);
      expect(names).toEqual([]);
    });

    it("keeps what was learnt of a tag last, when an older answer is written after it", async () => {
      const bucket = await createBucket();
      const isLate = Promise.withResolvers<void>();
      const gate = Promise.withResolvers<void>();
      const path = "/v2/team/app/manifests/v1";
      const registry = await startRegistry();
      const first = await pushImage(registry.endpoint, "team/app", "v1", { layers: [] });
      const upstreams = { hub: { url: registry.endpoint, hosts: ["docker.io"] } };
      const slow = await add({ upstreams, store: delayingTags(bucket, isLate.resolve, gate.promise) });
      expect((await slow.send(path, { method: "HEAD" })).headers["docker-content-digest"]).toBe(first.manifest.digest);
      await isLate.promise;

      const second = await pushImage(registry.endpoint, "team/app", "v1", { layers: [layer()] });
      const clock = { ...systemClock, now: () => Date.now() + 120_000 };
      const other = await add({ upstreams, store: bucket, clock });
      expect((await other.send(path, { method: "HEAD" })).headers["docker-content-digest"]).toBe(
        second.manifest.digest,
      );
      await other.mirror.close();
      gate.resolve();
      await end();
      const record = await bucket.get("meta/hub/team/app/_tags/v1");
      expect(await new Response(record?.body).json()).toMatchObject({ digest: second.manifest.digest });
      await registry.stop();
    });

    it("fetches no more blobs at once from the bucket than from the upstream", async () => {
      const layers = Array.from({ length: 4 }, () => randomContent(10_000_000));
      const bucket = await createBucket();
      for (const { bytes, digest } of layers)
        await bucket.put(blobName(digest), { bytes: bytes.byteLength, open: () => bodyFrom(pieces(bytes)) });
      const registry = await startRegistry();
      await pushImage(registry.endpoint, "team/app", "v1", { layers });
      const opened = { now: 0, most: 0 };
      const upstreams = { hub: { url: registry.endpoint, hosts: ["docker.io"], maxFills: 2 } };
      const mirror = await add({ upstreams, store: counting(bucket, opened) });
      await Promise.all(
        layers.map(async ({ bytes, digest }) => {
          expect((await mirror.send(`/v2/team/app/blobs/${digest}`)).body.equals(bytes)).toBe(true);
        }),
      );
      expect(mirror.metric("upstream_bytes_total")).toBe(0);
      expect(opened.most).toBeLessThanOrEqual(2);
      await registry.stop();
    });

    it("RM C9: sends clients to the bucket for large blobs when it is told to, and answers the rest itself", async () => {
      await pull(await add());
      await end();
      const mirror = await add({ redirect: { minBytes: 1_000_000 } });
      await mirror.send(`/v2/library/app/manifests/${image().manifest.digest}`);
      const { headers, status } = await mirror.send(layerPath());
      expect(status).toBe(307);
      const location = headers["location"] ?? "";
      expect(new URL(location).origin).toBe(minio().endpoint);
      expect(Buffer.from(await (await fetch(location)).arrayBuffer()).equals(layer().bytes)).toBe(true);
      expect((await mirror.send(layerPath(), { method: "HEAD" })).headers["content-length"]).toBe(
        String(layer().bytes.byteLength),
      );
      expect((await mirror.send(layerPath(), { headers: { range: "bytes=0-9" } })).status).toBe(206);
      const small = await mirror.send(`/v2/library/app/blobs/${image().config.digest}`);
      expect([small.status, small.body.equals(image().config.bytes)]).toEqual([200, true]);
    });
  });

  describe("with two images that share a layer", () => {
    let bucket: Bucket;
    const { add, end, image, layer, pull, tap } = useReplicas(async () => {
      bucket = await createBucket();
      return bucket;
    });

    async function names(prefix: string): Promise<readonly string[]> {
      const found: string[] = [];
      for await (const { name } of bucket.list(prefix)) found.push(name);
      return found.toSorted();
    }

    it("purges the bucket, too, of what nothing else there leads to, also by a mirror that has nothing of it", async () => {
      const registry = await startRegistry();
      await using other = await startTap(registry.endpoint);
      const upstreams = { hub: { url: tap().url, hosts: ["docker.io"] }, other: { url: other.url } };
      const host = new URL(other.url).host;
      const second = await pushImage(registry.endpoint, "team/app", "v2", { layers: [layer()] });
      const mirror = await add({ upstreams });
      await pull(mirror);
      for (const path of ["manifests/v2", ...[second.config, layer()].map(({ digest }) => `blobs/${digest}`)])
        expect((await mirror.send(`/v2/${host}/team/app/${path}`)).status).toBe(200);
      await end();
      const blobs = [image().manifest, image().config, layer(), second.manifest, second.config];
      expect(await names("blobs/")).toEqual(blobs.map(({ digest }) => blobName(digest)).toSorted());

      const purger = await add({ upstreams });
      // One tag, one manifest.
      expect(await purger.mirror.purge({ upstream: "hub", name: "library/app" })).toBe(2);
      const left = [layer(), second.manifest, second.config].map(({ digest }) => blobName(digest));
      expect(await names("blobs/")).toEqual(left.toSorted());
      expect((await names("meta/")).every((name) => name.startsWith("meta/other/team/app/"))).toBe(true);
      tap().take();
      await pull(purger);
      expect(tap().take().length).toBeGreaterThan(0);
      await end();

      const last = await add({ upstreams });
      await last.mirror.purge({});
      expect([await names("blobs/"), await names("meta/")]).toEqual([[], []]);
      await registry.stop();
    });
  });

  describe("with a damaged object", () => {
    let bucket: Bucket;
    const { add, end, image, layer, layerPath, pull, tap } = useReplicas(async () => {
      bucket = await createBucket();
      return bucket;
    });

    async function damage({ digest }: Content, wrong: Buffer): Promise<void> {
      await bucket.delete(blobName(digest));
      await bucket.put(blobName(digest), { bytes: wrong.byteLength, open: () => bodyFrom(pieces(wrong)) });
    }

    /** Everything is in the bucket again, and right. */
    async function expectRepaired(): Promise<void> {
      await end();
      await tap().goDown();
      await pull(await add());
    }

    beforeEach(async () => {
      await pull(await add());
      await end();
    });

    it("takes a small blob from the upstream in the same request", async () => {
      const { config } = image();
      await damage(config, flipped(config.bytes));
      const mirror = await add();
      await pull(mirror);
      expect(mirror.metric("verification_failures_total", { origin: "shared-store" })).toBe(1);
      expect(mirror.metric("verification_failures_total", { origin: "upstream" })).toBe(0);
      await expectRepaired();
    });

    it("takes one of another length from the upstream in the same request, when a manifest tells its length", async () => {
      await damage(layer(), layer().bytes.subarray(0, 15_000_000));
      await pull(await add());
      await expectRepaired();
    });

    it("completes no large one, and takes it from the upstream the next time", async () => {
      await damage(layer(), flipped(layer().bytes));
      const mirror = await add();
      const first = await mirror.send(layerPath());
      expect([first.isCut, first.body.byteLength < layer().bytes.byteLength]).toEqual([true, true]);
      expect((await mirror.send(layerPath())).body.equals(layer().bytes)).toBe(true);
      expect(mirror.log.filter((line) => line.includes("do not fit its digest"))).toHaveLength(1);
      expect(mirror.metric("verification_failures_total", { origin: "shared-store" })).toBe(1);
      expect(mirror.metric("verification_failures_total", { origin: "upstream" })).toBe(0);
      await expectRepaired();
    });

    it("leaves alone what another mirror has put in place of it meanwhile", async () => {
      await damage(layer(), layer().bytes.subarray(0, 15_000_000));
      await damage(image().config, flipped(image().config.bytes));
      const deleted = new Map<string, boolean>();
      const store: Bucket = {
        ...bucket,
        async delete(name, options) {
          const right = [layer(), image().config].find(({ digest }) => name === blobName(digest));
          if (right !== undefined) await damage(right, right.bytes);
          deleted.set(name, await bucket.delete(name, options));
          return deleted.get(name) === true;
        },
      };
      const mirror = await add({ store });
      await pull(mirror);
      await end();
      for (const { digest } of [layer(), image().config]) expect(deleted.get(blobName(digest))).toBe(false);
      await expectRepaired();
    });

    it("passes over what it cannot remove", async () => {
      const { config } = image();
      await damage(config, flipped(config.bytes));
      const { kind, get, head, put } = bucket;
      const mirror = await add({ store: { kind, get, head, put } });
      await pull(mirror);
      await mirror.mirror.purge({});
      tap().take();
      await pull(mirror);
      expect(
        tap()
          .take()
          .filter((line) => line.startsWith("GET")),
      ).toEqual([`GET /v2/library/app/blobs/${config.digest}`]);
    });
  });

  /** Counts the blobs that are read at the same time. */
  function counting(bucket: Bucket, opened: { now: number; most: number }): CacheStore {
    async function* counted(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
      opened.now += 1;
      opened.most = Math.max(opened.most, opened.now);
      try {
        yield* readChunks(body);
      } finally {
        opened.now -= 1;
      }
    }
    const { head, kind, put } = bucket;
    return {
      kind,
      head,
      put,
      async get(name, options) {
        const object = await bucket.get(name, options);
        if (object === undefined || !name.startsWith("blobs/")) return object;
        return { ...object, body: bodyFrom(counted(object.body)) };
      },
    };
  }

  /** Writes what is about tags only after a gate. */
  function delayingTags(bucket: Bucket, onWait: () => void, gate: Promise<void>): CacheStore & PutsConditionally {
    if (!canPutConditionally(bucket)) throw new Error("MinIO can put conditionally");
    const waited = async (name: string): Promise<void> => {
      if (!name.includes("/_tags/")) return;
      onWait();
      await gate;
    };
    return {
      ...bucket,
      put: async (name, ...rest) => waited(name).then(() => bucket.put(name, ...rest)),
      putIf: async (name, ...rest) => waited(name).then(() => bucket.putIf(name, ...rest)),
    };
  }

  function losingLeases(bucket: Bucket): CacheStore & PutsConditionally {
    if (!canPutConditionally(bucket)) throw new Error("MinIO can put conditionally");
    const putIf: typeof bucket.putIf = async (name, ...rest) => {
      const facts = await bucket.putIf(name, ...rest);
      if (name.startsWith("leases/")) throw new Error("the answer is lost");
      return facts;
    };
    return { ...bucket, putIf };
  }

  async function createBucket(change: { readonly secretAccessKey?: string } = {}): Promise<Bucket> {
    const { accessKeyId, endpoint, region, secretAccessKey } = minio();
    const bucket = `mirror-${randomUUID()}`;
    await minio().createBucket(bucket);
    return createS3Store({
      bucket,
      serverAddress: new URL(endpoint).host,
      accessKeyId,
      secretAccessKey,
      region,
      insecure: true,
      maxAttempts: 1,
      ...change,
    });
  }
});

/** Says nothing while it is silent; sends one piece of what it sends, and nothing more, while it breaks off. */
function silenced(
  store: MemoryStore,
  isSilent: () => boolean,
  breaksOff: () => boolean,
): CacheStore & Pick<MemoryStore, "delete" | "getRange" | "putIf"> {
  const never = new Promise<never>(() => {});
  const spoken = async <Result>(action: () => Promise<Result>): Promise<Result> => (isSilent() ? never : action());
  return {
    kind: store.kind,
    head: (name, options) => spoken(() => store.head(name, options)),
    get: async (name, options) => broken(await spoken(() => store.get(name, options)), breaksOff),
    getRange: async (name, range, options) =>
      broken(await spoken(() => store.getRange(name, range, options)), breaksOff),
    put: (name, body, options) => spoken(() => store.put(name, body, options)),
    putIf: (name, body, condition, options) => spoken(() => store.putIf(name, body, condition, options)),
    delete: (name, options) => spoken(() => store.delete(name, options)),
  };
}

function broken(object: StoredObject | undefined, breaksOff: () => boolean): StoredObject | undefined {
  if (object === undefined) return undefined;
  async function* spoken(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    for await (const chunk of body) {
      yield chunk;
      if (breaksOff()) await new Promise<never>(() => {});
    }
  }
  return { ...object, body: bodyFrom(spoken(object.body)) };
}

function flipped(bytes: Buffer): Buffer {
  const wrong = Buffer.from(bytes);
  wrong.writeUInt8(wrong.readUInt8(0) ^ 1, 0);
  return wrong;
}

async function* pieces(bytes: Buffer): AsyncGenerator<Uint8Array, void, void> {
  yield bytes;
}
