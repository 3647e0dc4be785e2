import { randomUUID } from "node:crypto";
import type { CacheStore, DeletesObjects, PutBody, PutsConditionally } from "@fleetfoot/cache-backend";
import type { Clock } from "../clock.ts";
import { ExpiringMap } from "../expiring-map.ts";
import type { Digest } from "../reference/grammar.ts";
import { orAbort } from "../single-flight.ts";
import { leaseName } from "./layout.ts";
import { bodyOfBytes } from "./whole-object.ts";

/** What a store must be able to do so that mirrors can agree in it. */
export type LeaseStore = CacheStore & DeletesObjects & PutsConditionally;

export interface LeasesOptions {
  readonly store: LeaseStore;
  readonly clock: Clock;
  /** Whether the blob lies in the store by now; looks anew each time. */
  readonly isThere: (digest: Digest) => Promise<boolean>;
}

interface Holding {
  readonly digest: Digest;
  /** Of the record that was written last. */
  version: string;
  /** When it counts as lost unless it is renewed; epoch milliseconds of this host. */
  expiresAtMs: number;
  readonly renewal: AbortController;
}

/**
 * Lets one of several mirrors fetch a blob while the others wait a moment for it. A lease only saves traffic: who cannot
 * have it, or loses it, fetches the blob himself.
 *
 * A record is replaced only by who has seen it as it is, so that nobody renews a lease that has gone to another owner.
 */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #owner = randomUUID();
  readonly #held = new Map<Digest, Holding>();
  /** What was to be taken when no answer came: the record may be there all the same, or come yet. */
  readonly #doubtful = new Set<Digest>();
  readonly #releases = new Map<Digest, Promise<void>>();
  readonly #renewals = new Map<Holding, Promise<void>>();
  /** Records of others: since when each is as it is, by this host's clock. */
  readonly #seen: ExpiringMap<{ readonly version: string; readonly sinceMs: number }>;

  constructor(options: LeasesOptions) {
    this.#options = options;
    this.#seen = new ExpiringMap(1000, () => options.clock.now());
  }

  /**
   * Takes the lease of a blob, or waits for who has it.
   *
   * @returns whether the blob lies in the store now; otherwise the caller fetches it, and calls `release` in the end
   */
  async take(digest: Digest, signal: AbortSignal): Promise<boolean> {
    if (this.#held.has(digest)) return false;
    // What is being given back must not take what is written anew with it.
    const releasing = this.#releases.get(digest)?.catch(() => {});
    if (releasing !== undefined) await orAbort(releasing, signal);
    const { clock, isThere } = this.#options;
    const endsAtMs = clock.now() + waitMs;
    for (;;) {
      if (await this.#tryToTake(digest, signal)) return false;
      if (clock.now() >= endsAtMs) return false;
      await clock.sleep(pollMs, signal);
      if (await isThere(digest)) return true;
    }
  }

  /** Lets others have it; does nothing without a lease. */
  async release(digest: Digest, signal?: AbortSignal): Promise<void> {
    const holding = this.#held.get(digest);
    if (holding === undefined && !this.#doubtful.has(digest)) return;
    this.#held.delete(digest);
    const releasing = this.#remove(digest, holding, signal);
    this.#releases.set(digest, releasing);
    try {
      await releasing;
    } finally {
      if (this.#releases.get(digest) === releasing) this.#releases.delete(digest);
    }
  }

  async #remove(digest: Digest, holding: Holding | undefined, signal: AbortSignal | undefined): Promise<void> {
    if (holding !== undefined) {
      holding.renewal.abort(new Error("the lease is given back"));
      await this.#renewals.get(holding);
    }
    const name = leaseName(digest);
    // Nobody else takes it between this look and the removal unless it was about to expire.
    const current = await this.#options.store.get(name, { signal });
    if (current !== undefined && (await readRecord(current.body)).owner === this.#owner)
      await this.#options.store.delete(name, { signal });
    this.#doubtful.delete(digest);
  }

  async #tryToTake(digest: Digest, signal: AbortSignal): Promise<boolean> {
    const { clock, store } = this.#options;
    const name = leaseName(digest);
    const expiresAtMs = clock.now() + leaseMs;
    const wasDoubtful = this.#doubtful.has(digest);
    this.#doubtful.add(digest);
    let taken = await store.putIf(name, this.#record(expiresAtMs), { absent: true }, { signal });
    if (taken === undefined) {
      if (!wasDoubtful) this.#doubtful.delete(digest);
      const current = await store.get(name, { signal });
      // Given back just now.
      if (current === undefined) return false;
      const { version } = current.facts;
      const record = await readRecord(current.body);
      // One of our own is from an earlier try, whose answer was lost.
      if (record.owner !== this.#owner && !this.#isOver(digest, version, record)) return false;
      this.#doubtful.add(digest);
      taken = await store.putIf(name, this.#record(expiresAtMs), { version }, { signal });
    }
    this.#doubtful.delete(digest);
    if (taken === undefined) return false;
    const holding = { digest, version: taken.version, expiresAtMs, renewal: new AbortController() };
    this.#held.set(digest, holding);
    const renewing = this.#renew(holding).finally(() => this.#renewals.delete(holding));
    this.#renewals.set(holding, renewing);
    return true;
  }

  /** Clocks of hosts differ, so a record is over when it is so by any clock, or was seen without a renewal for long enough. */
  #isOver(digest: Digest, version: string, { expiresAtMs }: LeaseRecord): boolean {
    const now = this.#options.clock.now();
    if (expiresAtMs + mostClockDifferenceMs <= now) return true;
    const seen = this.#seen.get(digest);
    const sinceMs = seen?.version === version ? seen.sinceMs : now;
    this.#seen.set(digest, { version, sinceMs }, seenMs);
    return now - sinceMs >= leaseMs;
  }

  async #renew(holding: Holding): Promise<void> {
    const { clock } = this.#options;
    const { signal } = holding.renewal;
    try {
      while (clock.now() < holding.expiresAtMs) {
        await clock.sleep(leaseMs / 3, signal);
        if (!(await this.#renewOnce(holding))) break;
      }
      // Somebody else may fetch the blob now, too, and has the record.
      if (this.#held.get(holding.digest) === holding) this.#held.delete(holding.digest);
    } catch {
      // Given back.
    }
  }

  /** @returns whether it is still ours */
  async #renewOnce(holding: Holding): Promise<boolean> {
    const { clock, store } = this.#options;
    const { signal } = holding.renewal;
    const name = leaseName(holding.digest);
    try {
      for (;;) {
        const expiresAtMs = clock.now() + leaseMs;
        const facts = await store.putIf(name, this.#record(expiresAtMs), { version: holding.version }, { signal });
        if (facts !== undefined) {
          holding.version = facts.version;
          holding.expiresAtMs = expiresAtMs;
          return true;
        }
        const current = await store.get(name, { signal });
        if (current === undefined || (await readRecord(current.body)).owner !== this.#owner) return false;
        // One of our own, whose answer was lost.
        holding.version = current.facts.version;
      }
    } catch {
      signal.throwIfAborted();
      // The store fails, and may work again before the lease is over.
      return true;
    }
  }

  #record(expiresAtMs: number): PutBody {
    const record: LeaseRecord = { owner: this.#owner, expiresAtMs };
    return bodyOfBytes(new TextEncoder().encode(JSON.stringify(record)));
  }
}

interface LeaseRecord {
  readonly owner: string | undefined;
  /** Epoch milliseconds of the owner's host. */
  readonly expiresAtMs: number;
}

/** How long a mirror that was killed keeps others waiting, at most. */
const leaseMs = 30_000;
/** Clients wait meanwhile. */
const waitMs = 5000;
const pollMs = 500;
/** Between two hosts that are set about right. */
const mostClockDifferenceMs = 5 * 60_000;
const seenMs = 10 * 60_000;

async function readRecord(body: ReadableStream<Uint8Array>): Promise<LeaseRecord> {
  const text = await new Response(body).text();
  try {
    const { expiresAtMs, owner } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    return {
      owner: typeof owner === "string" ? owner : undefined,
      expiresAtMs: typeof expiresAtMs === "number" ? expiresAtMs : 0,
    };
  } catch {
    // Whoever wrote it, it holds nobody up.
    return { owner: undefined, expiresAtMs: 0 };
  }
}
