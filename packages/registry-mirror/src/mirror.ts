import { isAbsolute } from "node:path";
import { canPresign } from "@fleetfoot/cache-backend";
import { systemClock, withDeadline } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { MirrorOptionsError } from "./errors.ts";
import { Inventory } from "./keeping/inventory.ts";
import type { CachedEntry, EntryFilter } from "./keeping/inventory.ts";
import { Upkeep } from "./keeping/upkeep.ts";
import { noopLogger } from "./logger.ts";
import type { Logger } from "./logger.ts";
import { newMirrorName, viaHeader } from "./loops.ts";
import { metricDescriptions } from "./metrics.ts";
import type { Sample } from "./metrics.ts";
import { defaultLimits } from "./options.ts";
import type { MirrorOptions } from "./options.ts";
import type { Digest } from "./reference/grammar.ts";
import type { KnownRegistry, MirrorStatus, RegistryMirror, TokenServer } from "./registry-mirror.ts";
import { readRegistries } from "./routing/registries.ts";
import type { Registries } from "./routing/registries.ts";
import { canonicalHost } from "./routing/registry-host.ts";
import type { UpstreamImage } from "./routing/select.ts";
import { Access } from "./serving/permission/access.ts";
import { BlobConsent } from "./serving/permission/blob-consent.ts";
import { Blobs } from "./serving/blobs.ts";
import { answerFetch } from "./serving/fetch-answer.ts";
import { Handler } from "./serving/handler.ts";
import { ImageEndpoints } from "./serving/image-endpoints.ts";
import { Images } from "./serving/images.ts";
import { Lists } from "./serving/lists.ts";
import { ManifestSource } from "./serving/manifest-source.ts";
import { errorResponse } from "./serving/messages.ts";
import type { MirrorRequest, MirrorResponse } from "./serving/messages.ts";
import { Openings } from "./serving/permission/openings.ts";
import { Withdrawals } from "./serving/permission/withdrawals.ts";
import { Pings } from "./serving/pings.ts";
import { Relaying } from "./serving/relaying.ts";
import type { RelayRequest } from "./serving/relaying.ts";
import { Walk } from "./serving/walk.ts";
import type { Slots } from "./slots.ts";
import { Fills } from "./storage/fill/fills.ts";
import { ManifestStore } from "./storage/manifest-store.ts";
import { openStorage } from "./storage/open-storage.ts";
import type { Storage } from "./storage/open-storage.ts";
import { parseRanges } from "./upstream/address.ts";
import type { AllowedRanges } from "./upstream/address.ts";
import type { UpstreamClient } from "./upstream/client.ts";
import { Upstreams } from "./upstream/upstreams.ts";

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
  const resolved = { ...options, clock, logger };
  return new Mirror(resolved, registries, await openStorage(resolved, registries), allowed);
}

const noUpstreams: Pick<MirrorOptions, "upstreams"> = { upstreams: {} };

type ResolvedOptions = MirrorOptions & { readonly clock: Clock; readonly logger: Logger };

/** Puts the parts together. */
class Mirror implements RegistryMirror {
  readonly warnings: readonly string[];
  readonly #options: ResolvedOptions;
  readonly #registries: Registries;
  readonly #storage: Storage;
  readonly #upstreams: Upstreams;
  readonly #fills: Fills;
  readonly #manifests: ManifestStore;
  readonly #handler: Handler;
  readonly #pings: Pings;
  readonly #relaying: Relaying;
  readonly #inventory: Inventory;
  readonly #upkeep: Upkeep;
  readonly #name = newMirrorName();
  #closed: Promise<void> | undefined;

  constructor(options: ResolvedOptions, registries: Registries, storage: Storage, allowed: AllowedRanges) {
    const { clock, dispatcher, logger, maxUnusedMs } = options;
    const { disk, metrics, records, shared } = storage;
    const limits = { ...defaultLimits, ...options.limits };
    const now = (): number => clock.now();
    const upstreams = new Upstreams({
      upstreams: registries.upstreams.values(),
      clock,
      logger,
      metrics,
      limits,
      allowed,
      dispatcher,
      mirrorName: this.#name,
    });
    const clientOf = (image: UpstreamImage): UpstreamClient => upstreams.clientOf(image.upstream);
    const slotsOf = (image: UpstreamImage): Slots => upstreams.slotsOf(image.upstream);
    const openings = new Openings(records, shared);
    const withdrawals = new Withdrawals({
      records,
      shared: options.store === undefined ? undefined : shared,
      clock,
      logger,
      onRefused: (image) => access.forgetPublic(image),
    });
    const access = new Access({ clientOf, openings, withdrawals, clock, limits });
    const manifests = new ManifestStore(disk);
    const { staleIfErrorMs = 7 * 24 * 60 * 60_000, keepDeletedTags = false, catalog = true } = options;
    const common = { records, disk, shared, openings, withdrawals, access, clientOf, clock, metrics, limits };
    const { idleMs, fillStallMs: stallMs, abandonedFillMs } = limits;
    // A head that does not come counts against the upstream, so its own limit is over first.
    const headMs = limits.blobMs + limits.tokenMs;
    const onStored = (digest: Digest): void => shared.upload(digest);
    const fills = new Fills({ disk, clock, metrics, logger, headMs, idleMs, stallMs, abandonedFillMs, onStored });
    const hasBlob = (digest: Digest): boolean => disk.has(digest) || fills.find(digest)?.isVerified === true;
    const source = new ManifestSource(common);
    const isDown = (image: UpstreamImage): boolean => clientOf(image).isDown;
    const images = new Images({ ...common, hasBlob, isDown, source, manifests, staleIfErrorMs, keepDeletedTags });
    const onUpstreamBytes = (image: UpstreamImage, bytes: number): void =>
      metrics.add("upstream_bytes_total", { upstream: image.upstream.id }, bytes);
    const blobs = new Blobs({ ...common, consent: new BlobConsent(common), fills, slotsOf, now, onUpstreamBytes });
    const lists = new Lists({ access, clientOf, openings, withdrawals, clock, totalMs: limits.manifestTotalMs });
    const walk = new Walk({ images, records, metrics, limits, clock });
    const pings = new Pings((upstream) => upstreams.clientOf(upstream), clock, limits);
    const endpoints = new ImageEndpoints({ ...common, images, blobs, lists, walk });
    this.warnings = registries.warnings;
    this.#options = options;
    this.#registries = registries;
    this.#storage = storage;
    this.#upstreams = upstreams;
    this.#fills = fills;
    this.#manifests = manifests;
    this.#pings = pings;
    this.#handler = new Handler({ ...common, pings, registries, endpoints, walk, logger, catalog });
    this.#relaying = new Relaying(registries, (upstream) => upstreams.clientOf(upstream));
    this.#inventory = new Inventory({
      ...common,
      registries,
      registriesWonBy: (image) => walk.registriesWonBy(image, registries.virtual.values()),
      onForgotten: (image) => images.forgetNegative(image),
      remove: (digest) => manifests.remove(digest),
    });
    this.#upkeep = new Upkeep({ disk, records, fills, clock, logger, maxUnusedMs });
  }

  async answer(request: MirrorRequest): Promise<MirrorResponse> {
    if (this.#closed !== undefined) return closedResponse();
    return this.#isOwn(request) ? loopResponse(this.#name) : this.#handler.answer(request);
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

  async relay(request: RelayRequest): Promise<MirrorResponse> {
    if (this.#closed !== undefined) return closedResponse();
    return this.#isOwn(request) ? loopResponse(this.#name) : this.#relaying.relay(request);
  }

  /** Whether this mirror sent the request itself: an answer to it would be waited for by the one who gives it. */
  #isOwn({ headers }: Pick<MirrorRequest, "headers">): boolean {
    return headers[viaHeader] === this.#name;
  }

  tokenServers(): readonly TokenServer[] {
    return [...this.#registries.upstreams.values()].flatMap((upstream) => {
      const host = upstream.options.access === "pass-through" ? this.#pings.tokenHost(upstream) : undefined;
      if (host === undefined) return [];
      return [{ host, mayBeAt: (address: string) => this.#upstreams.mayLeadTo(upstream, address) }];
    });
  }

  status(): MirrorStatus {
    const { disk, records, shared } = this.#storage;
    return {
      storedBytes: disk.storedBytes,
      storedBlobs: disk.storedBlobs,
      maxBytes: this.#options.maxBytes,
      diskProblem: disk.problem,
      repositories: [...records.repositories()].length,
      sharedStore: this.#options.store === undefined ? "none" : shared.isHealthy ? "ok" : "failing",
      upstreams: this.#upstreams.states(),
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
    return this.#inventory.entries(filter);
  }

  purge(filter: EntryFilter): Promise<number> {
    return this.#inventory.purge(filter);
  }

  maintain(signal: AbortSignal): Promise<void> {
    return this.#upkeep.maintain(signal);
  }

  tidy(): Promise<void> {
    return this.#upkeep.tidy();
  }

  scrub(signal: AbortSignal): Promise<void> {
    return this.#upkeep.scrub(signal);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    try {
      await this.#settle();
      await this.#storage.shared.close();
      await this.#upstreams.close();
    } finally {
      await this.#storage.disk.close();
    }
  }

  /** Waits until the disk has what it is to have. A disk that takes longer than that is left alone: all of it can be had again. */
  async #settle(): Promise<void> {
    const { clock, logger } = this.#options;
    const late = new Error("the disk took too long");
    const settle = async (): Promise<void> => {
      await this.#fills.close(new Error("the mirror is closed"));
      await this.#manifests.close();
      await this.#storage.records.flush();
    };
    try {
      await withDeadline(clock, settleMs, () => late, settle);
    } catch (error) {
      if (error !== late) throw error;
      logger.warn("not everything was stored when the mirror was closed", { why: late.message });
    }
  }
}

/** Usual stops give a process 30 seconds in all. */
const settleMs = 10_000;

/** @see https://www.rfc-editor.org/rfc/rfc5842#section-7.2 */
function loopResponse(name: string): MirrorResponse {
  return errorResponse(508, "UNAVAILABLE", "this request of the mirror came back to it", { [viaHeader]: name });
}

function closedResponse(): MirrorResponse {
  return errorResponse(503, "UNAVAILABLE", "the mirror is closed");
}
