import { createMemoryStore } from "@fleetfoot/cache-backend";
import { beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../clock.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import type { ManualClock } from "../testing/manual-clock.ts";
import { Leases } from "./leases.ts";
import type { LeaseStore } from "./leases.ts";

const digest = `sha256:${"a".repeat(64)}` as const;
const name = `leases/sha256-${"a".repeat(64)}`;
const { signal } = new AbortController();

describe("a lease", () => {
  let clock: ManualClock;
  let store: LeaseStore;
  let isThere: boolean;

  beforeEach(() => {
    clock = createManualClock();
    store = createMemoryStore({ now: () => clock.now() });
    isThere = false;
  });

  const mirror = (own: Clock = clock): Leases => new Leases({ store, clock: own, isThere: async () => isThere });

  async function write(record: { readonly owner: string; readonly expiresAtMs: number }): Promise<void> {
    const content = Buffer.from(JSON.stringify(record));
    await store.put(name, { bytes: content.byteLength, open: () => new Blob([content]).stream() });
  }

  async function written(): Promise<{ readonly owner: string; readonly expiresAtMs: number }> {
    return (await new Response((await store.get(name))?.body).json()) as Awaited<ReturnType<typeof written>>;
  }

  it("makes a second mirror wait until the first has brought the blob", async () => {
    expect(await mirror().take(digest, signal)).toBe(false);
    const second = mirror().take(digest, signal);
    await clock.advance(2000);
    isThere = true;
    await clock.advance(500);
    expect(await second).toBe(true);
  });

  it("holds nobody up for longer than five seconds", async () => {
    await mirror().take(digest, signal);
    const second = mirror().take(digest, signal);
    await clock.advance(5000);
    expect(await second).toBe(false);
  });

  it("goes to the next one when it is given back, and when its owner was killed", async () => {
    const first = mirror();
    await first.take(digest, signal);
    // Renewed as long as its owner lives.
    await clock.advance(300_000);
    const second = mirror();
    const waiting = second.take(digest, signal);
    await clock.advance(500);
    await first.release(digest);
    await clock.advance(500);
    expect(await waiting).toBe(false);
    await second.release(digest);
    expect(await store.head(name)).toBeUndefined();

    await write({ owner: "killed", expiresAtMs: clock.now() - 10 * 60_000 });
    const third = mirror();
    expect(await third.take(digest, signal)).toBe(false);
    expect((await written()).owner).not.toBe("killed");
  });

  it.each([
    ["ahead", 60_000],
    ["behind", -60_000],
  ])("is held against a host whose clock is %s, as long as it is renewed", async (_word, differenceMs) => {
    await mirror().take(digest, signal);
    const { owner } = await written();
    const other = mirror({ ...clock, now: () => clock.now() + differenceMs });
    for (let minute = 0; minute < 3; minute += 1) {
      const waiting = other.take(digest, signal);
      await clock.advance(60_000);
      expect(await waiting).toBe(false);
      expect((await written()).owner).toBe(owner);
    }
  });

  it("goes on from a dead owner whose clock was far ahead, once nobody has renewed it for long enough", async () => {
    await write({ owner: "killed", expiresAtMs: clock.now() + 24 * 60 * 60_000 });
    const other = mirror();
    const waiting = other.take(digest, signal);
    await clock.advance(30_000);
    await waiting;
    expect((await written()).owner).toBe("killed");
    await other.take(digest, signal);
    expect((await written()).owner).not.toBe("killed");
  });

  it("is neither renewed nor removed by an owner who has lost it", async () => {
    const first = mirror();
    await first.take(digest, signal);
    await write({ owner: "other", expiresAtMs: clock.now() + 30_000 });
    await clock.advance(10_000);
    expect((await written()).owner).toBe("other");
    await first.release(digest);
    expect((await written()).owner).toBe("other");
  });

  it("is removed by nobody who has not noticed yet that he has lost it", async () => {
    const first = mirror();
    await first.take(digest, signal);
    await write({ owner: "other", expiresAtMs: clock.now() + 30_000 });
    await first.release(digest);
    expect((await written()).owner).toBe("other");
  });

  it("is kept when the answer to a renewal is lost, and while the store fails for a moment", async () => {
    const { putIf } = store;
    const failures: ("after" | "before")[] = ["after", "before"];
    store = {
      ...store,
      async putIf(name, body, condition, options) {
        const failure = "version" in condition ? failures.shift() : undefined;
        if (failure === "before") throw new Error("the store is away");
        const facts = await putIf(name, body, condition, options);
        if (failure === "after") throw new Error("the answer is lost");
        return facts;
      },
    };
    const first = mirror();
    await first.take(digest, signal);
    const { owner } = await written();
    await clock.advance(120_000);
    expect(failures).toEqual([]);
    const record = await written();
    expect([record.owner, record.expiresAtMs > clock.now()]).toEqual([owner, true]);
    await first.release(digest);
    expect(await store.head(name)).toBeUndefined();
  });

  it("is its own when the answer to its taking is lost, and is given back", async () => {
    const { putIf } = store;
    let isLost = true;
    store = {
      ...store,
      async putIf(...call) {
        const facts = await putIf(...call);
        if (!isLost) return facts;
        isLost = false;
        throw new Error("the answer is lost");
      },
    };
    const first = mirror();
    await expect(first.take(digest, signal)).rejects.toThrow("the answer is lost");
    await first.release(digest);
    expect(await store.head(name)).toBeUndefined();

    isLost = true;
    await expect(first.take(digest, signal)).rejects.toThrow("the answer is lost");
    const { owner } = await written();
    // Without a wait for itself.
    expect(await first.take(digest, signal)).toBe(false);
    await clock.advance(120_000);
    const record = await written();
    expect([record.owner, record.expiresAtMs > clock.now()]).toEqual([owner, true]);
    await first.release(digest);
    expect(await store.head(name)).toBeUndefined();
  });

  it("is given back when it was written after its taking was aborted", async () => {
    const { putIf } = store;
    const gate = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    let writing: Promise<unknown> | undefined;
    store = {
      ...store,
      async putIf(name, body, condition, { signal: within } = {}) {
        writing = gate.promise.then(() => putIf(name, body, condition));
        asked.resolve();
        await new Promise((_, reject) => within?.addEventListener("abort", () => reject(within.reason)));
        return undefined;
      },
    };
    const first = mirror();
    const stop = new AbortController();
    const taking = first.take(digest, stop.signal);
    await asked.promise;
    stop.abort(new Error("enough"));
    await expect(taking).rejects.toThrow("enough");
    gate.resolve();
    await writing;
    expect(await store.head(name)).toBeDefined();
    await first.release(digest);
    expect(await store.head(name)).toBeUndefined();
  });

  it("ends a wait with the signal's reason", async () => {
    await mirror().take(digest, signal);
    const stop = new AbortController();
    const waiting = mirror().take(digest, stop.signal);
    waiting.catch(() => {});
    await clock.waitsFor(500);
    stop.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });
});
