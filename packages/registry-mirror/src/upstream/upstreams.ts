import type { Dispatcher } from "undici";
import type { Clock } from "../clock.ts";
import type { Logger } from "../logger.ts";
import type { Metrics } from "../metrics.ts";
import type { TimeLimits } from "../options.ts";
import type { Upstream } from "../routing/registries.ts";
import { Slots } from "../slots.ts";
import { classOfAddress } from "./address.ts";
import type { AllowedRanges } from "./address.ts";
import { UpstreamClient } from "./client.ts";

export interface UpstreamsOptions {
  readonly upstreams: Iterable<Upstream>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly limits: Required<TimeLimits>;
  readonly allowed: AllowedRanges;
  readonly dispatcher: Dispatcher | undefined;
  /** By which this mirror knows its own requests again. */
  readonly mirrorName: string;
}

/** How an upstream is doing. */
export interface UpstreamState {
  readonly id: string;
  readonly url: string;
  readonly state: "credentials rejected" | "down" | "up";
}

/** The client of each upstream, and the places for its fills. */
export class Upstreams {
  readonly #parts = new Map<Upstream, { readonly client: UpstreamClient; readonly slots: Slots }>();
  readonly #allowed: AllowedRanges;

  constructor({ upstreams, ...options }: UpstreamsOptions) {
    this.#allowed = options.allowed;
    for (const upstream of upstreams) {
      const client = new UpstreamClient({ ...options, upstream });
      this.#parts.set(upstream, { client, slots: new Slots(upstream.options.maxFills ?? 16) });
    }
  }

  clientOf(upstream: Upstream): UpstreamClient {
    return this.#partsOf(upstream).client;
  }

  slotsOf(upstream: Upstream): Slots {
    return this.#partsOf(upstream).slots;
  }

  /** Whether an address may be connected to for an upstream. */
  mayLeadTo(upstream: Upstream, address: string): boolean {
    return this.clientOf(upstream).reach.has(classOfAddress(address)) || this.#allowed.contains(address);
  }

  states(): readonly UpstreamState[] {
    return [...this.#parts].map(([{ id, url }, { client }]) => {
      const state = client.credentialsRejected ? "credentials rejected" : client.isDown ? "down" : "up";
      return { id, url: url.origin, state };
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#parts.values()].map(({ client }) => client.close()));
  }

  #partsOf(upstream: Upstream): { readonly client: UpstreamClient; readonly slots: Slots } {
    const parts = this.#parts.get(upstream);
    if (parts === undefined) throw new TypeError(`there is no upstream ${upstream.id}`);
    return parts;
  }
}
