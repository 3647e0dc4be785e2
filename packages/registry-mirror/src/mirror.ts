import { isAbsolute } from "node:path";
import { canPresign } from "@fleetfoot/cache-backend";
import { systemClock } from "./clock.ts";
import { MirrorOptionsError } from "./errors.ts";
import { noopLogger } from "./logger.ts";
import { metricDescriptions, Metrics } from "./metrics.ts";
import type { Sample } from "./metrics.ts";
import { defaultLimits } from "./options.ts";
import type { MirrorOptions } from "./options.ts";
import type { Digest } from "./reference/grammar.ts";
import { parseRelayTarget } from "./reference/path.ts";
import { freshUntil, tagLifetime } from "./routing/freshness.ts";
import { readRegistries } from "./routing/registries.ts";
import type { Registries, Upstream } from "./routing/registries.ts";
import { canonicalHost } from "./routing/registry-host.ts";
import { selectRegistry } from "./routing/select.ts";
import type { UpstreamImage } from "./routing/select.ts";
import { Access } from "./serving/access.ts";
import { Blobs } from "./serving/blobs.ts";
import { answerFetch } from "./serving/fetch-answer.ts";
import { Handler } from "./serving/handler.ts";
import { Images } from "./serving/images.ts";
import { Lists } from "./serving/lists.ts";
import { failureResponse } from "./serving/failures.ts";
import { ManifestStore } from "./serving/manifest-store.ts";
import type { MirrorRequest, MirrorResponse } from "./serving/messages.ts";
import { errorResponse } from "./serving/messages.ts";
import { Pings } from "./serving/pings.ts";
import { relayedResponse } from "./serving/relay.ts";
import { Walk } from "./serving/walk.ts";
import { Slots } from "./slots.ts";
import { Disk } from "./storage/disk.ts";
import { Fills } from "./storage/fill/fills.ts";
import type { RecordPlace } from "./storage/purge-store.ts";
import { Records } from "./storage/records.ts";
import { scrub } from "./storage/scrub.ts";
import { createSharedStore, noSharedStore } from "./storage/shared-store.ts";
import type { SharedStore } from "./storage/shared-store.ts";
import { classOfAddress, parseRanges } from "./upstream/address.ts";
import { UpstreamClient } from "./upstream/client.ts";
import type { RelayedRequest } from "./upstream/client.ts";

/** One thing that is cached. */
export interface CachedEntry {
  readonly upstream: string;
  readonly name: string;
  /** Tag or digest. */
  readonly reference: string;
  readonly digest: Digest;
  readonly mediaType: string | undefined;
  readonly bytes: number;
  /** Epoch milliseconds; undefined for a digest, which never changes. */
  readonly fetchedAtMs: number | undefined;
  readonly checkedAtMs: number | undefined;
  /** Epoch milliseconds until which a tag is believed; undefined for ever. */
  readonly freshUntilMs: number | undefined;
  /** Epoch milliseconds; undefined when its bytes are not on this disk. */
  readonly lastUsedAtMs: number | undefined;
  /** Virtual registries in which this upstream is asked first for the name. */
  readonly winnerOf: readonly string[];
}

/** What is meant by a list or a purge. */
export interface EntryFilter {
  /** Id of an upstream. @default all */
  readonly upstream?: string;
  /** The whole name. @default all */
  readonly name?: string;
  /** A tag or a digest. @default all */
  readonly reference?: string;
  /** A part of the name. @default all */
  readonly search?: string;
}

/** A registry that is asked, as far as others may know it. */
export interface KnownRegistry {
  /** Id in the options. */
  readonly id: string;
  readonly access: "pass-through" | "public" | "shared";
}

/** A token server to which a registry sends its clients. */
export interface TokenServer {
  /** Host and port. */
  readonly host: string;
  /** Whether an address may be connected to for it: never further inside than where the registry itself lies. */
  mayBeAt(address: string): boolean;
}

/** A request that is passed on as it is, and the registry that it is for. */
export interface RelayRequest extends Omit<RelayedRequest, "authorization"> {
  /** Host, with a port unless it is the usual one. */
  readonly registry: string;
  /** The client's own; used when the registry's access is `pass-through`. */
  readonly authorization: string | undefined;
}

/** How a mirror is doing. */
export interface MirrorStatus {
  readonly storedBytes: number;
  readonly storedBlobs: number;
  readonly maxBytes: number | undefined;
  readonly repositories: number;
  readonly sharedStore: "failing" | "none" | "ok";
  readonly upstreams: readonly {
    readonly id: string;
    readonly url: string;
    readonly state: "credentials rejected" | "down" | "up";
  }[];
  readonly fills: readonly {
    readonly digest: Digest;
    readonly receivedBytes: number;
    readonly totalBytes: number | undefined;
    readonly readers: number;
  }[];
}

/** A pull-through cache of container registries. */
export interface RegistryMirror {
  /** What works, but probably not as meant. */
  readonly warnings: readonly string[];
  /** Answers one request, given as it came over the wire. Rejects only when the request's signal is aborted. */
  answer(request: MirrorRequest): Promise<MirrorResponse>;
  /**
   * The same for servers that speak in terms of `fetch`. An aborted signal also ends a body that is on its way; one that is neither read
   * nor cancelled is let go after `limits.clientIdleMs`.
   */
  handle(request: Request): Promise<Response>;
  /** The upstream that a host belongs to; undefined when none is configured for it. */
  registryAt(host: string): KnownRegistry | undefined;
  /**
   * Passes a request on to a registry: nothing of it is cached, and no login of the mirror's own is used. Answers of any status
   * come back; an upstream that gives none makes an error response.
   *
   * @throws {TypeError} no upstream is configured for the host
   */
  relay(request: RelayRequest): Promise<MirrorResponse>;
  /** Token servers to which clients were sent so far. */
  tokenServers(): readonly TokenServer[];
  status(): MirrorStatus;
  metrics(): readonly Sample[];
  /** Everything that is cached, sorted by name. */
  entries(filter?: EntryFilter): readonly CachedEntry[];
  /**
   * Forgets what fits the filter, also in the shared store; blobs that something else refers to stay. Other mirrors keep what they have on
   * their own disks. Resolves to the number of entries; rejects with what the shared store fails with; the directory is as it was then.
   */
  purge(filter: EntryFilter): Promise<number>;
  /** Removes what is too old or belongs to nothing, again and again until the signal is aborted. */
  maintain(signal: AbortSignal): Promise<void>;
  /** Does what {@link RegistryMirror.maintain} does, once. */
  tidy(): Promise<void>;
  /**
   * Reads everything that is stored once, at 10 MB a second, and removes what is damaged; {@link RegistryMirror.maintain}
   * does it every day. Rejects with the signal's reason when it is aborted.
   */
  scrub(signal: AbortSignal): Promise<void>;
  /** Ends every fill, and waits until everything is on the disk. Requests are answered with 503 from then on. */
  close(): Promise<void>;
}

/**
 * Creates a mirror. No upstream is asked before a client wants something, so that it starts while they are away.
 *
 * @throws {MirrorOptionsError} with everything that is wrong with the options
 * @throws {DirectoryInUseError} another mirror has the directory
 */
export async function createMirror(options: MirrorOptions): Promise<RegistryMirror> {
  const { clock = systemClock, directory, logger = noopLogger } = options;
  const problems: string[] = [];
  const allowed = parseRanges(options.allowPrivate ?? [], "allowPrivate", problems);
  if (typeof directory !== "string" || !isAbsolute(directory))
    problems.push(`directory: ${JSON.stringify(directory)} is no absolute path`);
  if (options.redirect !== undefined && (options.store === undefined || !canPresign(options.store))) {
    problems.push("redirect: needs a store that can sign URLs");
  }
  const { maxBytes = 1, reserveBytes = 0 } = options;
  if (!Number.isSafeInteger(maxBytes) || maxBytes <= 0) problems.push("maxBytes: must be a whole number above 0");
  if (!Number.isSafeInteger(reserveBytes) || reserveBytes < 0) problems.push("reserveBytes: must be a whole number");
  let registries: Registries | undefined;
  try {
    // Callers without types may leave them out.
    registries = readRegistries({ ...noUpstreams, ...options });
  } catch (error) {
    if (!(error instanceof MirrorOptionsError)) throw error;
    problems.push(...error.problems);
  }
  if (registries === undefined || problems.length > 0) throw new MirrorOptionsError(problems);
  for (const warning of registries.warnings) logger.warn(warning);
  return new Mirror(
    { ...options, clock, logger },
    registries,
    await openStorage({ ...options, clock, logger }, registries),
    allowed,
  );
}

const noUpstreams: Pick<MirrorOptions, "upstreams"> = { upstreams: {} };

type ResolvedOptions = MirrorOptions & Required<Pick<MirrorOptions, "clock" | "logger">>;

interface Storage {
  readonly disk: Disk;
  readonly records: Records;
  readonly shared: SharedStore;
  readonly metrics: Metrics;
}

async function openStorage(options: ResolvedOptions, registries: Registries): Promise<Storage> {
  const { clock, directory, logger, store } = options;
  const metrics = new Metrics();
  const now = (): number => clock.now();
  const late: { records?: Records; shared: SharedStore } = { shared: noSharedStore };
  const upstreams = [...registries.upstreams.values()];
  const pins = upstreams.flatMap((upstream) => pinnedImages(upstream));
  const disk = await Disk.open({
    directory,
    maxBytes: options.maxBytes,
    reserveBytes: options.reserveBytes ?? 256 * 1024 * 1024,
    clock,
    metrics,
    parentsOf: (digest) => late.records?.parentsOf(digest) ?? [],
    pinned: () => new Set(pins.flatMap(({ image, tag }) => [...(late.records?.reachableFrom(image, [tag]) ?? [])])),
  });
  const onChange = (name: string, text: string | undefined): void => late.shared.save(name, text);
  const records = await Records.open({ directory, logger, now, upstreams, onChange }).catch(async (error: unknown) => {
    await disk.close();
    throw error;
  });
  late.records = records;
  if (store !== undefined) {
    late.shared = createSharedStore({
      store,
      redirect: options.redirect,
      disk,
      records: () => records,
      logger,
      metrics,
      clock,
      answerMs: options.limits?.storeMs ?? defaultLimits.storeMs,
    });
  }
  return { disk, records, shared: late.shared, metrics };
}

class Mirror implements RegistryMirror {
  readonly warnings: readonly string[];
  readonly #options: ResolvedOptions;
  readonly #registries: Registries;
  readonly #storage: Storage;
  readonly #clients = new Map<string, UpstreamClient>();
  readonly #slots = new Map<string, Slots>();
  readonly #manifests: ManifestStore;
  readonly #images: Images;
  readonly #fills: Fills;
  readonly #walk: Walk;
  readonly #handler: Handler;
  readonly #pings: Pings;
  #closed: Promise<void> | undefined;
  readonly #allowed: ReturnType<typeof parseRanges>;

  constructor(
    options: ResolvedOptions,
    registries: Registries,
    storage: Storage,
    allowed: ReturnType<typeof parseRanges>,
  ) {
    const { clock, logger } = options;
    const { disk, metrics, records, shared } = storage;
    const limits = { ...defaultLimits, ...options.limits };
    const now = (): number => clock.now();
    this.warnings = registries.warnings;
    this.#options = options;
    this.#registries = registries;
    this.#storage = storage;
    for (const [id, upstream] of registries.upstreams) {
      const { dispatcher } = options;
      this.#clients.set(id, new UpstreamClient({ upstream, clock, logger, metrics, limits, allowed, dispatcher }));
      this.#slots.set(id, new Slots(upstream.options.maxFills ?? 16));
    }
    const clientOf = (image: UpstreamImage): UpstreamClient => this.#of(this.#clients, image.upstream);
    const slotsOf = (image: UpstreamImage): Slots => this.#of(this.#slots, image.upstream);
    const access = new Access(clientOf, clock, limits);
    this.#manifests = new ManifestStore(disk);
    const { staleIfErrorMs = 7 * 24 * 60 * 60_000, keepDeletedTags = false, catalog = true } = options;
    const common = { records, disk, shared, access, clientOf, clock, metrics, limits };
    const { idleMs, fillStallMs: stallMs, abandonedFillMs } = limits;
    // A head that does not come counts against the upstream, so its own limit is over first.
    const headMs = limits.blobMs + limits.tokenMs;
    const onStored = (digest: Digest): void => shared.upload(digest);
    this.#fills = new Fills({ disk, clock, metrics, logger, headMs, idleMs, stallMs, abandonedFillMs, onStored });
    const hasBlob = (digest: Digest): boolean => disk.has(digest) || this.#fills.find(digest)?.isVerified === true;
    this.#images = new Images({ ...common, hasBlob, manifests: this.#manifests, staleIfErrorMs, keepDeletedTags });
    const onUpstreamBytes = (image: UpstreamImage, bytes: number): void =>
      metrics.add("upstream_bytes_total", { upstream: image.upstream.id }, bytes);
    const blobs = new Blobs({ ...common, fills: this.#fills, slotsOf, now, onUpstreamBytes });
    const lists = new Lists({ access, clientOf, records, clock, totalMs: limits.manifestTotalMs });
    this.#walk = new Walk({ images: this.#images, records, metrics, limits, now });
    this.#pings = new Pings((upstream) => this.#of(this.#clients, upstream), clock);
    this.#allowed = allowed;
    this.#handler = new Handler({
      ...common,
      pings: this.#pings,
      registries,
      images: this.#images,
      blobs,
      lists,
      walk: this.#walk,
      logger,
      catalog,
    });
  }

  async answer(request: MirrorRequest): Promise<MirrorResponse> {
    return this.#closed === undefined ? this.#handler.answer(request) : closedResponse();
  }

  handle(request: Request): Promise<Response> {
    const { clock, limits } = this.#options;
    const idleMs = limits?.clientIdleMs ?? defaultLimits.clientIdleMs;
    return answerFetch(request, { answer: (one) => this.answer(one), clock, idleMs });
  }

  registryAt(host: string): KnownRegistry | undefined {
    const upstream = this.#registries.byHost.get(canonicalHost(host));
    return upstream === undefined ? undefined : { id: upstream.id, access: upstream.options.access ?? "public" };
  }

  async relay({ authorization, registry, ...request }: RelayRequest): Promise<MirrorResponse> {
    const upstream = this.#registries.byHost.get(canonicalHost(registry));
    if (upstream === undefined) throw new TypeError(`no upstream is configured for ${registry}`);
    if (this.#closed !== undefined) return closedResponse();
    const refusal = this.#refusalOf(request.target, registry, upstream);
    if (refusal !== undefined) return refusal;
    const ownLogin = upstream.options.access === "pass-through" ? authorization : undefined;
    try {
      const answer = await this.#of(this.#clients, upstream).relay({ ...request, authorization: ownLogin });
      return relayedResponse(answer, request.method, upstream, registry);
    } catch (error) {
      request.signal.throwIfAborted();
      const response = failureResponse(error, { kind: "manifest", hasSecondChoice: false });
      if (response === undefined) throw error;
      return response;
    }
  }

  /** What the rules for names say of a request that reaches the registry untouched. */
  #refusalOf(target: string, registry: string, upstream: Upstream): MirrorResponse | undefined {
    const relayed = parseRelayTarget(target);
    if (relayed.kind === "ambiguous") return errorResponse(400, "NAME_INVALID", "no path like this is passed on");
    if (relayed.kind === "other") {
      if (!relayed.prefixes.some((prefix) => upstream.deny.matches(prefix))) return undefined;
      return errorResponse(403, "DENIED", "this is not allowed by this mirror's rules");
    }
    for (const image of relayed.images) {
      const hints = { namespace: undefined, entry: undefined, registry };
      const selection = selectRegistry(image, hints, this.#registries);
      if (selection.kind === "refused") return errorResponse(selection.status, selection.code, selection.message);
    }
    return undefined;
  }

  tokenServers(): readonly TokenServer[] {
    return [...this.#registries.upstreams.values()].flatMap((upstream) => {
      const host = upstream.options.access === "pass-through" ? this.#pings.tokenHost(upstream) : undefined;
      if (host === undefined) return [];
      const { reach } = this.#of(this.#clients, upstream);
      const mayBeAt = (address: string): boolean =>
        reach.has(classOfAddress(address)) || this.#allowed.contains(address);
      return [{ host, mayBeAt }];
    });
  }

  status(): MirrorStatus {
    const { disk, records, shared } = this.#storage;
    return {
      storedBytes: disk.storedBytes,
      storedBlobs: disk.blobs().length,
      maxBytes: this.#options.maxBytes,
      repositories: [...records.repositories()].length,
      sharedStore: this.#options.store === undefined ? "none" : shared.isHealthy ? "ok" : "failing",
      upstreams: [...this.#registries.upstreams.values()].map((upstream) => {
        const client = this.#of(this.#clients, upstream);
        const state = client.credentialsRejected ? "credentials rejected" : client.isDown ? "down" : "up";
        return { id: upstream.id, url: upstream.url.origin, state };
      }),
      fills: this.#fills.running.map(({ digest, readers, receivedBytes, totalBytes }) => ({
        digest,
        receivedBytes,
        totalBytes,
        readers,
      })),
    };
  }

  metrics(): readonly Sample[] {
    return this.#storage.metrics.samples().filter(({ name }) => name in metricDescriptions);
  }

  entries(filter: EntryFilter = {}): readonly CachedEntry[] {
    const { disk, records } = this.#storage;
    const found: CachedEntry[] = [];
    for (const { digests, name, tags, upstream: id } of records.repositories()) {
      const upstream = this.#registries.upstreams.get(id);
      if (upstream === undefined || !fits(filter, id, name)) continue;
      const winnerOf = this.#walk.registriesWonBy({ upstream, name }, this.#registries.virtual.values());
      const isVirtual = winnerOf.length > 0;
      for (const [tag, record] of tags) {
        const until = freshUntil(record, tagLifetime(upstream, tag, isVirtual));
        found.push({
          upstream: id,
          name,
          reference: tag,
          digest: record.digest,
          mediaType: record.mediaType,
          bytes: record.bytes,
          fetchedAtMs: record.fetchedAtMs,
          checkedAtMs: record.checkedAtMs,
          freshUntilMs: Number.isFinite(until) ? until : undefined,
          lastUsedAtMs: disk.lastUsedAtMs(record.digest),
          winnerOf,
        });
      }
      for (const [digest, { bytes, manifest }] of digests) {
        found.push({
          upstream: id,
          name,
          reference: digest,
          digest,
          mediaType: manifest?.mediaType,
          bytes,
          fetchedAtMs: undefined,
          checkedAtMs: undefined,
          freshUntilMs: undefined,
          lastUsedAtMs: disk.lastUsedAtMs(digest),
          winnerOf,
        });
      }
    }
    const wanted = found.filter(({ reference }) => filter.reference === undefined || reference === filter.reference);
    return wanted.sort((one, other) => compare(keyOf(one), keyOf(other)));
  }

  async purge(filter: EntryFilter): Promise<number> {
    const { disk, records, shared } = this.#storage;
    // First, so that nothing comes back from there.
    const gone = await shared.purge(({ name, reference, upstream }) => {
      const isWanted = filter.reference === undefined || reference === filter.reference;
      return isWanted && fits(filter, upstream, name);
    });
    const purged = new Set(gone.map((place) => keyOf(place)));
    const suspects = new Set<Digest>();
    for (const entry of this.entries(filter)) {
      const { digest, name, reference, upstream: id } = entry;
      purged.add(keyOf(entry));
      const upstream = this.#registries.upstreams.get(id);
      if (upstream === undefined) continue;
      const image = { upstream, name };
      suspects.add(digest);
      for (const child of records.digest(image, digest)?.manifest?.children ?? []) suspects.add(child.digest);
      if (reference === digest) records.forget(image, { digest });
      else records.forget(image, { tag: reference });
      this.#images.forgetNegative(image);
    }
    for (const digest of suspects) {
      if (records.isReferredTo(digest)) continue;
      await this.#manifests.remove(digest);
      await disk.remove(digest);
    }
    return purged.size;
  }

  async maintain(signal: AbortSignal): Promise<void> {
    const again = async (everyMs: number, action: () => Promise<void>): Promise<void> => {
      while (!signal.aborted) {
        try {
          await this.#options.clock.sleep(everyMs, signal);
          await action();
        } catch (error) {
          if (signal.aborted) return;
          this.#options.logger.error("the directory could not be looked after", { error });
        }
      }
    };
    await Promise.all([again(tidyEveryMs, () => this.tidy()), again(dayMs, () => this.scrub(signal))]);
  }

  scrub(signal: AbortSignal): Promise<void> {
    return scrub(this.#storage.disk, this.#options.clock, signal);
  }

  async tidy(): Promise<void> {
    const { clock, maxUnusedMs } = this.#options;
    const { disk, records } = this.#storage;
    if (maxUnusedMs !== undefined) await disk.removeUnusedSince(clock.now() - maxUnusedMs);
    for (const { digest, lastUsedAtMs } of disk.blobs()) {
      if (lastUsedAtMs < clock.now() - dayMs && !records.isReferredTo(digest)) await disk.remove(digest);
    }
    await disk.makeRoom(0);
    await this.#fills.removeOldPartials();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    try {
      await this.#fills.close(new Error("the mirror is closed"));
      await this.#storage.records.flush();
      await this.#storage.shared.close();
      await Promise.all([...this.#clients.values()].map((client) => client.close()));
    } finally {
      await this.#storage.disk.close();
    }
  }

  #of<Part>(parts: ReadonlyMap<string, Part>, upstream: Upstream): Part {
    const part = parts.get(upstream.id);
    if (part === undefined) throw new TypeError(`there is no upstream ${upstream.id}`);
    return part;
  }
}

const dayMs = 24 * 60 * 60_000;
const tidyEveryMs = 10 * 60_000;

function closedResponse(): MirrorResponse {
  return errorResponse(503, "UNAVAILABLE", "the mirror is closed");
}

function pinnedImages(upstream: Upstream): readonly { readonly image: UpstreamImage; readonly tag: string }[] {
  return (upstream.options.pins ?? []).map((pin) => {
    const colon = pin.lastIndexOf(":");
    return { image: { upstream, name: pin.slice(0, colon) }, tag: pin.slice(colon + 1) };
  });
}

function fits({ name, search, upstream }: EntryFilter, actualUpstream: string, actualName: string): boolean {
  if (upstream !== undefined && upstream !== actualUpstream) return false;
  if (name !== undefined && name !== actualName) return false;
  return search === undefined || actualName.includes(search);
}

function keyOf({ name, reference, upstream }: RecordPlace): string {
  return `${name}\n${reference}\n${upstream}`;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
