import { createMemoryStore } from "@fleetfoot/cache-backend";
import { beforeEach, describe, expect, it } from "vitest";
import { createManualClock } from "../testing/manual-clock.ts";
import type { ManualClock } from "../testing/manual-clock.ts";
import { Leases } from "./leases.ts";
import type { LeaseStore } from "./leases.ts";

const digest = `sha256:${"a".repeat(64)}` as const;
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

  const mirror = (): Leases => new Leases({ store, clock, isThere: async () => isThere });

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
    expect(await store.head(`leases/sha256-${"a".repeat(64)}`)).toBeUndefined();

    const expired = Buffer.from(JSON.stringify({ owner: "killed", expiresAtMs: clock.now() - 1 }));
    await store.put(`leases/sha256-${"a".repeat(64)}`, {
      bytes: expired.byteLength,
      open: () => new Blob([expired]).stream(),
    });
    expect(await mirror().take(digest, signal)).toBe(false);
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
