import { randomUUID } from "node:crypto";
import { bodyFrom } from "@fleetfoot/cache-backend";
import type { CacheStore, DeletesObjects, PutBody, PutsConditionally } from "@fleetfoot/cache-backend";
import type { Clock } from "../clock.ts";
import type { Digest } from "../reference/grammar.ts";
import { leaseName } from "./layout.ts";

/** What a store must be able to do so that mirrors can agree in it. */
export type LeaseStore = CacheStore & DeletesObjects & PutsConditionally;

export interface LeasesOptions {
  readonly store: LeaseStore;
  readonly clock: Clock;
  /** Whether the blob lies in the store by now; looks anew each time. */
  readonly isThere: (digest: Digest) => Promise<boolean>;
}

interface Holding {
  readonly renewal: AbortController;
  readonly ended: Promise<void>;
}

/**
 * Lets one of several mirrors fetch a blob while the others wait a moment for it. A lease only saves traffic: who cannot
 * have it, or loses it, fetches the blob himself.
 */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #owner = randomUUID();
  readonly #held = new Map<Digest, Holding>();

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /**
   * Takes the lease of a blob, or waits for who has it.
   *
   * @returns whether the blob lies in the store now; otherwise the caller fetches it, and calls `release` in the end
   */
  async take(digest: Digest, signal: AbortSignal): Promise<boolean> {
    if (this.#held.has(digest)) return false;
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
  async release(digest: Digest): Promise<void> {
    const holding = this.#held.get(digest);
    if (holding === undefined) return;
    this.#held.delete(digest);
    holding.renewal.abort(new Error("the lease is given back"));
    await holding.ended;
    await this.#options.store.delete(leaseName(digest));
  }

  async #tryToTake(digest: Digest, signal: AbortSignal): Promise<boolean> {
    const { clock, store } = this.#options;
    const name = leaseName(digest);
    let taken = await store.putIf(name, this.#record(), { absent: true }, { signal });
    if (taken === undefined) {
      const current = await store.get(name, { signal });
      // Given back just now.
      if (current === undefined) return false;
      const expiresAtMs = await readExpiry(current.body);
      if (expiresAtMs > clock.now()) return false;
      taken = await store.putIf(name, this.#record(), { version: current.facts.version }, { signal });
    }
    if (taken === undefined) return false;
    const renewal = new AbortController();
    this.#held.set(digest, { renewal, ended: this.#renew(name, renewal.signal) });
    return true;
  }

  async #renew(name: string, signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        await this.#options.clock.sleep(leaseMs / 3, signal);
        await this.#options.store.put(name, this.#record(), { signal });
      }
    } catch {
      // Given back, or the store fails: it expires, and somebody else may fetch the blob, too.
    }
  }

  #record(): PutBody {
    const record = { owner: this.#owner, expiresAtMs: this.#options.clock.now() + leaseMs };
    const content = new TextEncoder().encode(JSON.stringify(record));
    return { bytes: content.byteLength, open: () => bodyFrom(single(content)) };
  }
}

/** How long a mirror that was killed keeps others waiting, at most. */
const leaseMs = 30_000;
/** Clients wait meanwhile. */
const waitMs = 5000;
const pollMs = 500;

async function readExpiry(body: ReadableStream<Uint8Array>): Promise<number> {
  try {
    const { expiresAtMs } = (await new Response(body).json()) as { readonly expiresAtMs?: unknown };
    return typeof expiresAtMs === "number" ? expiresAtMs : 0;
  } catch {
    // Whoever wrote it, it holds nobody up.
    return 0;
  }
}

async function* single(content: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield content;
}
