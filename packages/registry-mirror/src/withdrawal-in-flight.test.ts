import { createMemoryStore } from "@fleetfoot/cache-backend";
import type { CacheStore } from "@fleetfoot/cache-backend";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import type { MirrorOptions } from "./options.ts";
import { Secret } from "./secret.ts";
import { pushImage } from "./testing/images.ts";
import type { PushedImage } from "./testing/images.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Fault, Tap, TappedRequest } from "./testing/tap.ts";

const credentials = { username: "robot", password: new Secret("hunter2-secret") };

describeWithSystem("docker-registry", (registry) => {
  let tap: Tap;
  let image: PushedImage;
  let isOpen: boolean;
  /** What the upstream does in place of an answer, as long as it gives one. */
  let faultOf: (request: TappedRequest) => Fault | undefined;
  let aheadMs: number;
  let mirrors: ServedMirror[];

  const refusal: Fault = { kind: "answer", status: 401, headers: { "www-authenticate": 'Basic realm="r"' } };
  const aheadClock: Clock = { ...systemClock, now: () => Date.now() + aheadMs };

  beforeEach(async () => {
    tap = await startTap(registry().endpoint);
    isOpen = true;
    faultOf = () => undefined;
    tap.fault = (request) => (isOpen && request.headers.authorization !== undefined ? faultOf(request) : refusal);
    aheadMs = 0;
    mirrors = [];
    image = await pushImage(registry().endpoint, "org/app", "v1");
  });

  afterEach(async () => {
    for (const mirror of mirrors) await mirror[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
  });

  async function start(options: Partial<MirrorOptions> = {}): Promise<ServedMirror> {
    const upstream = { url: tap.url, access: "shared", sharedNames: ["^org/"], credentials } as const;
    const mirror = await serveMirror({ upstreams: { upstream }, clock: aheadClock, ...options });
    mirrors.push(mirror);
    return mirror;
  }

  const byTag = "/v2/org/app/manifests/v1";
  const byDigest = (): string => `/v2/org/app/manifests/${image.manifest.digest}`;
  const ofLayer = (): string => `/v2/org/app/blobs/${image.layers[0]?.digest}`;

  async function statuses(mirror: ServedMirror, paths: readonly string[]): Promise<readonly number[]> {
    const found: number[] = [];
    for (const path of paths) found.push((await mirror.send(path)).status);
    return found;
  }

  /** An upstream's refusal of one tag is a refusal of the name. */
  async function isRefused(mirror: ServedMirror): Promise<void> {
    isOpen = false;
    expect((await mirror.send("/v2/org/app/manifests/v9", { method: "HEAD" })).status).toBe(403);
  }

  it("withdraws a name when the upstream refuses to go on with a blob that broke off", async () => {
    const mirror = await start();
    expect(await statuses(mirror, [byTag, byDigest()])).toEqual([200, 200]);
    faultOf = ({ target }) => {
      if (target !== ofLayer()) return undefined;
      isOpen = false;
      return { kind: "cut", afterBytes: 300 };
    };
    expect((await mirror.send(ofLayer())).isCut).toBe(true);
    expect(await statuses(mirror, [byDigest(), byTag, ofLayer()])).toEqual([403, 403, 403]);
  });

  it("withdraws a name when the client that asked is gone before the upstream refuses a blob", async () => {
    const mirror = await start();
    expect(await statuses(mirror, [byTag, byDigest()])).toEqual([200, 200]);
    const client = new AbortController();
    faultOf = ({ target }) => {
      if (target !== ofLayer()) return undefined;
      isOpen = false;
      client.abort(new Error("gone"));
      return refusal;
    };
    const answer = mirror.mirror.answer({ method: "GET", target: ofLayer(), headers: {}, signal: client.signal });
    await expect(answer).rejects.toThrow("gone");
    await expect.poll(() => mirror.mirror.status().fills).toEqual([]);
    expect(await statuses(mirror, [byDigest(), byTag])).toEqual([403, 403]);
  });

  it.each([
    { what: "tag", target: () => byTag },
    { what: "digest", target: byDigest },
  ])("opens nothing by an answer for a $what that comes after the first refusal of its name", async ({ target }) => {
    const mirror = await start();
    const asked = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    faultOf = (request) => {
      if (request.target !== target()) return undefined;
      asked.resolve();
      return { kind: "gate", afterBytes: 0, opened: gate.promise };
    };
    const early = mirror.send(target());
    await asked.promise;
    await isRefused(mirror);
    gate.resolve();
    await early;
    expect(await statuses(mirror, [byDigest(), ofLayer(), byTag])).toEqual([403, 403, 403]);
    // What was let in again is.
    isOpen = true;
    faultOf = () => undefined;
    aheadMs += 31_000;
    expect(await statuses(mirror, [byTag, byDigest(), ofLayer()])).toEqual([200, 200, 200]);
    await tap.goDown();
    expect(await statuses(mirror, [byTag, byDigest(), ofLayer()])).toEqual([200, 200, 200]);
  });

  it("knows in time what another mirror was refused when the clock was set back", async () => {
    const store = createMemoryStore();
    aheadMs = 3 * 60 * 60_000;
    const [one, two] = [await start({ store }), await start({ store })];
    for (const mirror of [one, two]) expect(await statuses(mirror, [byTag, byDigest()])).toEqual([200, 200]);
    aheadMs = 0;
    await isRefused(one);
    aheadMs = 61_000;
    await tap.goDown();
    expect((await statuses(two, [byDigest(), ofLayer()])).filter((status) => status < 400)).toEqual([]);
  });

  describe("with a shared store that takes its time", () => {
    let store: CacheStore;
    /** What is asked of the store waits, from the time on at which this is set. */
    let held: ReturnType<typeof hold> | undefined;

    beforeEach(async () => {
      held = undefined;
      const memory = createMemoryStore();
      const waiting = async <Result>(name: string, action: () => Promise<Result>): Promise<Result> => {
        if (held !== undefined && name.startsWith("blobs/")) {
          held.arrive();
          await held.released;
        }
        return action();
      };
      const presign = (name: string): Promise<{ url: string; headers: object }> =>
        waiting(name, async () => ({ url: "https://store.example/blob", headers: {} }));
      store = {
        ...memory,
        get: (name, ...more) => waiting(name, () => memory.get(name, ...more)),
        head: (name, ...more) => waiting(name, () => memory.head(name, ...more)),
        presign: ({ name }: { readonly name: string }) => presign(name),
      } as CacheStore;
      const first = await start({ store });
      const ofConfig = `/v2/org/app/blobs/${image.config.digest}`;
      expect(await statuses(first, [byTag, ofConfig, ofLayer()])).toEqual([200, 200, 200]);
      // What was on its way to the store is in it then.
      await first.mirror.close();
    });

    /** Lets the store go on when the name was refused. */
    async function refusedMeanwhile(mirror: ServedMirror, target: string, method = "GET"): Promise<number> {
      held = hold();
      const pending = mirror.send(target, { method });
      await held.arrived;
      await isRefused(mirror);
      held.release();
      return (await pending).status;
    }

    it("gives no manifest that is read while its name is refused", async () => {
      const mirror = await start({ store });
      expect(await refusedMeanwhile(mirror, byDigest())).toBe(403);
    });

    it("gives no blob that is on its disk and in the store while its name is refused", async () => {
      const mirror = await start({ store, redirect: { minBytes: 1 } });
      // A part is not redirected.
      const part = await mirror.send(ofLayer(), { headers: { range: "bytes=0-99" } });
      expect(part.status).toBe(206);
      await expect.poll(() => mirror.mirror.status().fills).toEqual([]);
      expect(await refusedMeanwhile(mirror, ofLayer())).toBe(403);
    });

    it("leads no client to a blob in the store while its name is refused", async () => {
      const mirror = await start({ store, redirect: { minBytes: 1 } });
      expect(await statuses(mirror, [byTag])).toEqual([200]);
      expect(await refusedMeanwhile(mirror, ofLayer())).toBe(403);
    });

    it("takes no tag for one of a complete image while its name is refused", async () => {
      const mirror = await start({ store });
      expect(await statuses(mirror, [byTag, byDigest()])).toEqual([200, 200]);
      aheadMs = 24 * 60 * 60_000;
      faultOf = ({ target }) => (target === byTag ? { kind: "answer", status: 500 } : undefined);
      expect(await refusedMeanwhile(mirror, byTag, "HEAD")).toBe(504);
    });
  });
});

function hold(): {
  readonly arrived: Promise<void>;
  readonly arrive: () => void;
  readonly released: Promise<void>;
  readonly release: () => void;
} {
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  return { arrived, arrive, released, release };
}
