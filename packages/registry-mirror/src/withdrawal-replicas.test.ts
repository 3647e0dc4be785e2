import { randomUUID } from "node:crypto";
import { createMemoryStore } from "@fleetfoot/cache-backend";
import type { CacheStore } from "@fleetfoot/cache-backend";
import { createS3Store } from "@fleetfoot/cache-backend-s3";
import { startRegistry } from "@fleetfoot-tooling/systems";
import type { Registry } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { Secret } from "./secret.ts";
import { pushImage } from "./testing/images.ts";
import type { PushedImage } from "./testing/images.ts";
import { createManualClock } from "./testing/manual-clock.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Tap } from "./testing/tap.ts";

const credentials = { username: "robot", password: new Secret("hunter2-secret") };

let registry: Registry;
let tap: Tap;
/** Ahead of the time of this machine. What is on its way to the store takes the time that it takes. */
let aheadMs: number;
let image: PushedImage;
let isOpen: boolean;
let mirrors: ServedMirror[];

beforeAll(async () => {
  registry = await startRegistry();
});

afterAll(() => registry.stop());

beforeEach(async () => {
  tap = await startTap(registry.endpoint);
  isOpen = true;
  tap.fault = ({ headers }) =>
    isOpen && headers.authorization !== undefined
      ? undefined
      : { kind: "answer", status: 401, headers: { "www-authenticate": 'Basic realm="r"' } };
  aheadMs = 0;
  mirrors = [];
  image = await pushImage(registry.endpoint, "org/app", "v1");
});

afterEach(async () => {
  for (const mirror of mirrors) await mirror[Symbol.asyncDispose]();
  await tap[Symbol.asyncDispose]();
});

const aheadClock: Clock = { ...systemClock, now: () => Date.now() + aheadMs };

/** Another mirror with its own directory. */
async function add(store: CacheStore, clock: Clock = aheadClock): Promise<ServedMirror> {
  const upstream = { url: tap.url, access: "shared", sharedNames: ["^org/"], credentials } as const;
  const mirror = await serveMirror({ upstreams: { upstream }, clock, store });
  mirrors.push(mirror);
  return mirror;
}

/** Status of everything there is of the name. */
async function statuses(mirror: ServedMirror): Promise<readonly number[]> {
  const { config, layers, manifest } = image;
  const blobs = [config, ...layers].map(({ digest }) => `blobs/${digest}`);
  const found = new Set<number>();
  for (const path of ["manifests/v1", `manifests/${manifest.digest}`, ...blobs])
    found.add((await mirror.send(`/v2/org/app/${path}`)).status);
  return [...found];
}

async function givesNothing(mirror: ServedMirror): Promise<void> {
  expect((await statuses(mirror)).filter((status) => status < 400)).toEqual([]);
}

/** An upstream's refusal of one tag is a refusal of the name. */
async function isRefused(mirror: ServedMirror): Promise<void> {
  expect((await mirror.send("/v2/org/app/manifests/v9", { method: "HEAD" })).status).toBe(403);
}

/** Two mirrors that know the name. The first one was refused, and may be let in again. */
async function twoOfWhichOneWasRefused(store: CacheStore): Promise<readonly [ServedMirror, ServedMirror]> {
  const [one, two] = [await add(store), await add(store)];
  for (const mirror of [one, two]) expect(await statuses(mirror)).toEqual([200]);
  isOpen = false;
  await isRefused(one);
  isOpen = true;
  aheadMs += 61_000;
  return [one, two];
}

describeWithSystem("minio", (minio) => {
  async function createBucket(): Promise<CacheStore> {
    const { accessKeyId, endpoint, region, secretAccessKey } = minio();
    const bucket = `withdrawal-${randomUUID()}`;
    await minio().createBucket(bucket);
    const serverAddress = new URL(endpoint).host;
    return createS3Store({
      bucket,
      serverAddress,
      accessKeyId,
      secretAccessKey,
      region,
      insecure: true,
      maxAttempts: 1,
    });
  }

  it("withdraws a name in every replica within a minute, and at once in a new one, without the upstream", async () => {
    const store = await createBucket();
    const [one, two] = [await add(store), await add(store)];
    for (const mirror of [one, two]) expect(await statuses(mirror)).toEqual([200]);
    // What was on its way to the bucket is in it then.
    await one.mirror.close();
    isOpen = false;
    const three = await add(store);
    expect(await statuses(three)).toEqual([200]);
    await isRefused(three);
    const comeBack = await tap.goDown();
    await givesNothing(three);
    await givesNothing(await add(store));
    aheadMs += 60_000;
    await givesNothing(two);

    isOpen = true;
    await comeBack();
    aheadMs += 61_000;
    tap.take();
    for (const mirror of [two, three, await add(store)]) expect(await statuses(mirror)).toEqual([200]);
    // The bytes of blobs were there all the time.
    expect(tap.take().filter((line) => line.startsWith("GET") && line.includes("/blobs/"))).toEqual([]);
  });

  it("withdraws a name, too, when the replica that is refused has nothing of it", async () => {
    const store = await createBucket();
    const one = await add(store);
    expect(await statuses(one)).toEqual([200]);
    await one.mirror.close();
    isOpen = false;
    const two = await add(store);
    await isRefused(two);
    await tap.goDown();
    await givesNothing(two);
    await givesNothing(await add(store));
  });

  it("agrees about a name that several replicas find withdrawn at the same time", async () => {
    const store = await createBucket();
    const replicas = [await add(store), await add(store), await add(store)];
    for (const mirror of replicas) expect(await statuses(mirror)).toEqual([200]);
    isOpen = false;
    await Promise.all(replicas.map((mirror) => isRefused(mirror)));
    for (const mirror of replicas) await givesNothing(mirror);
    isOpen = true;
    aheadMs += 61_000;
    for (const mirror of replicas) expect(await statuses(mirror)).toEqual([200]);
    aheadMs += 61_000;
    for (const mirror of replicas) expect(await statuses(mirror)).toEqual([200]);
    for (const mirror of replicas) await mirror.mirror.close();
    // What they have learnt since counts for each other.
    await tap.goDown();
    expect(await statuses(await add(store))).toEqual([200]);
    for (const mirror of replicas) expect(mirror.metric("shared_store_failures_total")).toBe(0);
  });
});

describe("with several mirrors that know a name", () => {
  it("lets all give what one of them was given after a withdrawal, without the upstream", async () => {
    const store = createMemoryStore();
    const [one, two] = await twoOfWhichOneWasRefused(store);
    expect(await statuses(one)).toEqual([200]);
    // What was on its way to the store is in it then.
    await one.mirror.close();
    await tap.goDown();
    expect(await statuses(two)).toEqual([200]);
    // The tag is to be checked again then, which cannot be done.
    aheadMs += 3_600_000;
    for (const mirror of [two, await add(store)]) expect(await statuses(mirror)).toEqual([200]);
  });

  it("asks the upstream no more than once for what all of them need after a withdrawal", async () => {
    const store = createMemoryStore();
    const [one, two] = await twoOfWhichOneWasRefused(store);
    expect(await statuses(one)).toEqual([200]);
    await one.mirror.close();
    tap.take();
    expect((await two.send(`/v2/org/app/manifests/${image.manifest.digest}`)).status).toBe(200);
    for (const { digest } of [image.config, ...image.layers])
      expect((await two.send(`/v2/org/app/blobs/${digest}`)).status).toBe(200);
    expect(tap.take()).toEqual([]);
  });
});

describe("with a mirror that is refused again after another one was let in again", () => {
  it("withdraws the name from the other one, too, and from a new one", async () => {
    const store = createMemoryStore();
    const [one, two] = await twoOfWhichOneWasRefused(store);
    const three = await add(store);
    expect(await statuses(three)).toEqual([200]);
    // What was on its way to the store is in it then.
    await three.mirror.close();
    expect(await statuses(two)).toEqual([200]);
    isOpen = false;
    aheadMs += 61_000;
    await isRefused(one);
    await tap.goDown();
    await givesNothing(await add(store));
    aheadMs += 61_000;
    for (const mirror of [one, two]) await givesNothing(mirror);
  });

  it("looks in the store only once for a name that is refused all the time and that nobody has", async () => {
    const memory = createMemoryStore();
    let lists = 0;
    const list: typeof memory.list = (...args) => {
      lists += 1;
      return memory.list(...args);
    };
    const store = { ...memory, list };
    const mirror = await add(store);
    isOpen = false;
    for (let round = 0; round < 20; round += 1)
      expect((await mirror.send(`/v2/org/never/manifests/t${round}`, { method: "HEAD" })).status).toBe(403);
    expect(lists).toBe(2);
  });
});

describe("with a store that does not take a withdrawal", () => {
  it("refuses in time, and lets others know as soon as it takes it", async () => {
    const memory = createMemoryStore();
    let hangs = true;
    const putIf: typeof memory.putIf = (name, ...rest) =>
      hangs && name.endsWith("/_withdrawn") ? new Promise(() => {}) : memory.putIf(name, ...rest);
    const store = { ...memory, putIf };
    const clock = createManualClock();
    const one = await add(store, clock);
    expect(await statuses(one)).toEqual([200]);
    isOpen = false;
    const refused = isRefused(one);
    await clock.waitsFor(2000);
    await clock.advance(2000);
    await refused;
    await givesNothing(one);
    hangs = false;
    await clock.advance(120_000);
    await givesNothing(one);
    await one.mirror.close();
    await tap.goDown();
    await givesNothing(await add(store, clock));
  });
});

describe("with a store that cannot be read for a while", () => {
  /** Mirrors that use it, each of which may be told that reads of withdrawals fail. */
  function failing(): { readonly store: CacheStore; readonly memory: CacheStore; left: number } {
    const memory = createMemoryStore();
    const get: typeof memory.get = (name, ...rest) => {
      if (!name.endsWith("/_withdrawn") || failures.left === 0) return memory.get(name, ...rest);
      failures.left -= 1;
      return Promise.reject(new Error("503 SlowDown"));
    };
    const failures = { store: { ...memory, get }, memory, left: 0 };
    return failures;
  }

  it("takes over nothing of a name of which it cannot tell whether it was withdrawn", async () => {
    const failures = failing();
    const one = await add(failures.memory);
    expect(await statuses(one)).toEqual([200]);
    isOpen = false;
    await isRefused(one);
    await one.mirror.close();
    await tap.goDown();
    const two = await add(failures.store);
    failures.left = Infinity;
    await givesNothing(two);
    failures.left = 0;
    await givesNothing(two);
  });

  it("withdraws nothing because of that", async () => {
    const failures = failing();
    const [one, two] = [await add(failures.store), await add(failures.memory)];
    for (const mirror of [one, two]) expect(await statuses(mirror)).toEqual([200]);
    isOpen = false;
    await isRefused(one);
    isOpen = true;
    aheadMs += 61_000;
    for (const mirror of [one, two]) expect(await statuses(mirror)).toEqual([200]);
    isOpen = false;
    await isRefused(two);
    isOpen = true;
    aheadMs += 31_000;
    expect(await statuses(two)).toEqual([200]);
    aheadMs += 61_000;
    failures.left = 1;
    await one.send(`/v2/org/app/manifests/${image.manifest.digest}`, { method: "HEAD" });
    expect(failures.left).toBe(0);
    await one.mirror.close();
    await tap.goDown();
    aheadMs += 61_000;
    expect(await statuses(two)).toEqual([200]);
  });
});
