import type { Clock } from "../../clock.ts";
import { OncePerMinute } from "../../logger.ts";
import type { Logger } from "../../logger.ts";
import type { Metrics } from "../../metrics.ts";
import type { Digest } from "../../reference/grammar.ts";
import type { Disk } from "../disk.ts";
import { BlockPool } from "./block-pool.ts";
import { Fill } from "./fill.ts";
import type { PartialBlob } from "./fill.ts";
import { Partials } from "./partials.ts";
import type { BlobSource } from "./source.ts";

export interface FillsOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly headMs: number;
  readonly idleMs: number;
  readonly stallMs: number;
  readonly abandonedFillMs: number;
  /** Called with every blob that came from outside and lies on the disk now. */
  readonly onStored: (digest: Digest) => void;
}

/** What is to be fetched. */
export interface FillRequest {
  readonly digest: Digest;
  readonly origin: string;
  readonly source: BlobSource;
  readonly expectedBytes: number | undefined;
  /** Told when it is complete, or why it broke off, before readers are. */
  readonly onSettled: (failure: unknown, receivedBytes: number) => void;
  /** Whether a fill of another origin is joined only when its source has answered. @default false */
  readonly isImpatient?: boolean;
}

/** One fill per blob at a time, whoever asks; another one for an origin that is let have its own while nobody was given anything yet. */
export class Fills {
  readonly #options: FillsOptions;
  readonly #running = new Map<Digest, readonly Fill[]>();
  readonly #all = new Set<Fill>();
  readonly #partials: Partials;
  readonly #pool = new BlockPool();
  readonly #seldom: OncePerMinute;
  #closed: { readonly reason: unknown } | undefined;

  constructor(options: FillsOptions) {
    this.#options = options;
    const { clock, disk } = options;
    const removeFile = (path: string): Promise<void> => disk.removeFile(path);
    this.#partials = new Partials(() => clock.now(), disk.mostBytes * partialShare, removeFile);
    disk.sacrificeFirst(this.#partials);
    this.#seldom = new OncePerMinute(() => options.clock.now());
  }

  /** Every fill that goes on now. */
  get running(): readonly Fill[] {
    return [...this.#all];
  }

  /** The fill of a blob that can be joined: rather one of these origins, and then rather one whose source has answered. */
  find(digest: Digest, origins: readonly string[] = []): Fill | undefined {
    const fills = this.#running.get(digest)?.filter(({ canBeJoined }) => canBeJoined) ?? [];
    return (
      fills.find(({ origin }) => origins.includes(origin)) ?? fills.find(({ hasBegun }) => hasBegun) ?? fills.at(-1)
    );
  }

  /** Joins a fill, or begins one. */
  join(request: FillRequest): { readonly fill: Fill; readonly joined: boolean } {
    const running = this.find(request.digest, [request.origin]);
    const isUseful = running?.origin === request.origin || running?.hasBegun === true || request.isImpatient !== true;
    if (running !== undefined && isUseful) return { fill: running, joined: true };
    return { fill: this.#begin(request), joined: false };
  }

  /** Removes what given-up fills left more than an hour ago. */
  removeOldPartials(): Promise<void> {
    return this.#partials.removeOld();
  }

  /** Ends every fill, also those that are still to be begun. */
  async close(reason: unknown): Promise<void> {
    this.#closed = { reason };
    const fills = [...this.#all];
    for (const fill of fills) fill.abort(reason);
    await Promise.all(fills.map((fill) => fill.ended));
    await this.#partials.removeAll();
  }

  #begin({ digest, expectedBytes, onSettled, origin, source }: FillRequest): Fill {
    const { logger, metrics, onStored } = this.#options;
    const fill = new Fill({
      ...this.#options,
      pool: this.#pool,
      digest,
      origin,
      source,
      expectedBytes,
      onSettled,
      takePartial: this.#partialTaker(digest),
      onPartial: (partial) => this.#partials.keep(digest, partial),
      onPassThrough: (reason) => {
        metrics.add("pass_through_total");
        const why = reason instanceof Error ? reason.message : String(reason);
        this.#seldom.run("pass-through", () => logger.warn("blobs are served without being stored", { why }));
      },
      onStored: () => onStored(digest),
    });
    if (this.#closed !== undefined) fill.abort(this.#closed.reason);
    this.#running.set(digest, [...(this.#running.get(digest) ?? []), fill]);
    this.#all.add(fill);
    void fill.ended.then(() => {
      this.#all.delete(fill);
      const others = this.#running.get(digest)?.filter((other) => other !== fill) ?? [];
      if (others.length > 0) this.#running.set(digest, others);
      else this.#running.delete(digest);
    });
    return fill;
  }

  /** A client often comes back at once, while what was cut off is still being put down. */
  #partialTaker(digest: Digest): () => Promise<PartialBlob | undefined> {
    const ending = [...this.#all].filter((fill) => fill.digest === digest && fill.isBrokenOff);
    return async () => {
      await Promise.all(ending.map((fill) => fill.ended));
      return this.#partials.take(digest);
    };
  }
}

/** What may lie in given-up blobs, of the length that all whole ones may have. */
const partialShare = 0.1;
