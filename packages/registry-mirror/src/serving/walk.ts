import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import { ExpiringMap } from "../expiring-map.ts";
import type { Metrics } from "../metrics.ts";
import type { TimeLimits } from "../options.ts";
import type { VirtualRegistry } from "../routing/registries.ts";
import { candidatesOf } from "../routing/select.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { orAbort, SingleFlight } from "../single-flight.ts";
import type { Records } from "../storage/records.ts";
import type { Asker } from "../upstream/asker.ts";
import { lateAnswerOf } from "../upstream/failure.ts";
import { isRefusal, WalkFailure } from "./failures.ts";
import type { StepFailure } from "./failures.ts";
import type { Images, ResolvedTag } from "./images.ts";

export interface WalkOptions {
  readonly images: Images;
  readonly records: Records;
  readonly metrics: Metrics;
  readonly limits: Required<TimeLimits>;
  readonly clock: Clock;
}

/** A tag, and the upstream that had it. */
export interface WalkedTag extends ResolvedTag {
  readonly image: UpstreamImage;
}

/** How a tag of a virtual registry is asked for. */
export interface WalkInquiry {
  readonly registry: VirtualRegistry;
  readonly name: string;
  readonly tag: string;
  readonly wantsBody: boolean;
  /** Tells clients apart whose logins may get other answers. */
  readonly askerKey: string;
  readonly askerFor: (image: UpstreamImage, signal: AbortSignal) => Promise<Asker>;
  readonly signal: AbortSignal;
}

/**
 * Asks the upstreams of a virtual registry one after the other; the first that has the image wins, and is asked first from
 * then on. That one could not be asked is never taken for its "no".
 */
export class Walk {
  readonly #options: WalkOptions;
  readonly #winners: ExpiringMap<string>;
  /** Makeshift answers, while a better upstream could not be asked. */
  readonly #makeshifts: ExpiringMap<string>;
  readonly #walks = new SingleFlight<WalkedTag>();

  constructor(options: WalkOptions) {
    this.#options = options;
    const now = (): number => options.clock.now();
    this.#winners = new ExpiringMap(100_000, now);
    this.#makeshifts = new ExpiringMap(10_000, now);
  }

  /** The upstreams that may be asked for a name, the one that had it the last time first. */
  candidates(registry: VirtualRegistry, name: string): readonly UpstreamImage[] {
    const candidates = candidatesOf(registry, name);
    const winner = this.#winners.get(`${registry.id} ${name}`);
    const first = candidates.find(({ upstream }) => upstream.id === winner);
    return first === undefined ? candidates : [first, ...candidates.filter((candidate) => candidate !== first)];
  }

  /** Ids of the virtual registries in which an upstream is asked first for a name. */
  registriesWonBy({ upstream, name }: UpstreamImage, registries: Iterable<VirtualRegistry>): readonly string[] {
    return [...registries]
      .filter((registry) => this.#winners.get(`${registry.id} ${name}`) === upstream.id)
      .map(({ id }) => id);
  }

  /**
   * @throws {WalkFailure} nobody has it, or it cannot be found out
   */
  async resolve(inquiry: WalkInquiry): Promise<WalkedTag> {
    const { askerKey, name, registry, signal, tag, wantsBody } = inquiry;
    const key = `${registry.id} ${name} ${tag} ${wantsBody} ${askerKey}`;
    // Others may wait for it, too, so it does not end with this client.
    const shared = { ...inquiry, signal: new AbortController().signal };
    return orAbort(this.#walks.run(key, () => this.#walk(shared)).result, signal);
  }

  async #walk(inquiry: WalkInquiry): Promise<WalkedTag> {
    const { clock, limits } = this.#options;
    const { name, registry, tag } = inquiry;
    const makeshift = this.#makeshifts.get(`${registry.id} ${name} ${tag}`);
    const usual = this.candidates(registry, name);
    const first = usual.find(({ upstream }) => upstream.id === makeshift);
    const candidates = first === undefined ? usual : [first];
    const steps: StepFailure[] = [];
    const endsAtMs = clock.now() + limits.manifestTotalMs;
    for (const [index, image] of candidates.entries()) {
      const isLast = index === candidates.length - 1;
      try {
        const withinMs = Math.max(0, Math.min(endsAtMs - clock.now(), isLast ? Infinity : limits.walkStepMs));
        const resolved = await this.#step(image, inquiry, withinMs);
        return this.#won(inquiry, image, resolved, steps);
      } catch (error) {
        if (!(error instanceof UpstreamError)) throw error;
        steps.push({ upstream: image.upstream.id, error });
        if (image.upstream.options.onFailure === "stop" && !isRefusal(error)) break;
      }
    }
    throw new WalkFailure(steps);
  }

  async #step(image: UpstreamImage, inquiry: WalkInquiry, withinMs: number): Promise<ResolvedTag> {
    const { askerFor, signal, tag, wantsBody } = inquiry;
    const { clock, images } = this.#options;
    const endsAtMs = clock.now() + withinMs;
    const late = (): Error => lateAnswerOf(image.upstream);
    const asker = await withDeadline(clock, withinMs, late, (within) => askerFor(image, within), signal);
    const leftMs = Math.max(0, endsAtMs - clock.now());
    return images.resolveTag(image, tag, {
      asker,
      wantsBody,
      isInVirtualRegistry: true,
      withinMs: leftMs,
      signal,
    });
  }

  #won(
    { name, registry, tag }: WalkInquiry,
    image: UpstreamImage,
    resolved: ResolvedTag,
    steps: readonly StepFailure[],
  ): WalkedTag {
    const { clock, metrics, records } = this.#options;
    const failed = steps.find(({ error }) => !isRefusal(error));
    if (failed === undefined) {
      if (resolved.result !== "stale" && resolved.record.validForMs === undefined) {
        this.#winners.set(`${registry.id} ${name}`, image.upstream.id, registry.winnerTtlMs);
      }
      return { ...resolved, image };
    }
    metrics.add("failovers_total", { upstream: failed.upstream });
    const record = { ...resolved.record, checkedAtMs: clock.now(), validForMs: makeshiftMs };
    records.setTag(image, tag, record);
    this.#makeshifts.set(`${registry.id} ${name} ${tag}`, image.upstream.id, makeshiftMs);
    const warning = `${failed.upstream} could not be asked: ${failed.error.reason}`;
    return { ...resolved, record, warning, image };
  }
}

const makeshiftMs = 60_000;
