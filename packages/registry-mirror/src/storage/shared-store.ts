import {
  canDelete,
  canList,
  canPresign,
  canPutConditionally,
  canReadRanges,
  readChunks,
} from "@fleetfoot/cache-backend";
import type { CacheStore, PutBody } from "@fleetfoot/cache-backend";
import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import { ExpiringMap } from "../expiring-map.ts";
import { OncePerMinute } from "../logger.ts";
import type { Logger } from "../logger.ts";
import type { Metrics } from "../metrics.ts";
import type { RedirectOptions } from "../options.ts";
import type { Digest } from "../reference/grammar.ts";
import { hashFor, isDigestOf } from "../reference/hash.ts";
import { canBeWithdrawn } from "../routing/opening.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { SingleFlight } from "../single-flight.ts";
import type { Disk } from "./disk.ts";
import { takeEach } from "./fill/source.ts";
import type { OpenedSource } from "./fill/source.ts";
import { readEra } from "./era.ts";
import type { Era } from "./era.ts";
import {
  blobName,
  digestName,
  maxRecordBytes,
  openingName,
  recordFolders,
  repositoryName,
  tagName,
  withdrawalName,
} from "./layout.ts";
import type { ImagePlace } from "./layout.ts";
import { Leases } from "./leases.ts";
import { limitWaits } from "./limited-store.ts";
import { purgeStore } from "./purge-store.ts";
import type { RecordPlace } from "./purge-store.ts";
import type { Records } from "./records.ts";
import { SharedRecords } from "./shared-records.ts";
import { readWhole } from "./whole-object.ts";
import type { WholeObject } from "./whole-object.ts";

/** A blob of the store that is being read. */
interface SharedBlob extends OpenedSource {
  readonly totalBytes: number;
  readonly version: string;
}

/** What a store says of an object. */
interface Answer {
  /** Undefined when there is none. */
  readonly object: WholeObject | undefined;
}

/** What several mirrors have in common. A failure of it is nobody's problem but its own: the upstream has everything. */
export interface SharedStore {
  /** Whether the last operation worked. */
  readonly isHealthy: boolean;
  has(digest: Digest): Promise<boolean>;
  /** A small blob as a whole, found to be right; undefined when there is none, it is longer, or the store fails. */
  read(digest: Digest, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** Opens a blob from an offset on; undefined when there is none or the store fails. */
  open(digest: Digest, offset: number, signal: AbortSignal): Promise<SharedBlob | undefined>;
  /** A URL at which a client gets the blob by itself; undefined when it is to be relayed. */
  redirectFor(digest: Digest): Promise<string | undefined>;
  /**
   * Agrees with other mirrors about who fetches a blob; waits a moment for one that is at it.
   *
   * @returns whether the blob lies there now; otherwise the caller fetches it, and calls `release` in the end
   */
  lease(digest: Digest, signal: AbortSignal): Promise<boolean>;
  /** Lets others fetch a blob, once it was uploaded or given up. */
  release(digest: Digest): void;
  /** Puts a blob that lies on the disk there, in the background. */
  upload(digest: Digest): void;
  /**
   * Forgets a blob whose bytes do not fit its digest, and removes it, in the background, where that can be done.
   *
   * @param version - of the object that was read; what another mirror has put in place of it stays
   */
  discardDamaged(digest: Digest, version: string): void;
  /** Writes a record, in the background; `undefined` changes nothing there. */
  save(name: string, text: string | undefined): void;
  /**
   * Lets other mirrors know that access to a name was withdrawn. Resolves when it is there, or cannot be.
   *
   * @param isNew - whether this mirror has noticed it just now, so that what others have learnt before counts for nothing
   */
  saveWithdrawal(place: ImagePlace, era: Era, isNew: boolean): Promise<void>;
  /** Lets other mirrors know, in the background, that something of a name was opened after access to it was withdrawn. */
  saveOpening(place: ImagePlace, era: Era): void;
  /**
   * Whether something of a name was opened to other mirrors in an era; without an era, whether they know anything of it, which cannot be
   * told where the store cannot list what is in it. Undefined when the store fails.
   */
  isOpenToOthers(place: ImagePlace, era: Era | undefined): Promise<boolean | undefined>;
  /** Takes over what another mirror knows of withdrawals of a name; whether the store could be asked. */
  adoptWithdrawal(place: ImagePlace): Promise<boolean>;
  /** Takes over what another mirror knows of a tag, and of withdrawals of its name. */
  adoptTag(image: UpstreamImage, tag: string): Promise<void>;
  /** Takes over what another mirror knows of a digest under a name, and of withdrawals of that; whether it knows the digest. */
  adoptDigest(image: UpstreamImage, digest: Digest): Promise<boolean>;
  /**
   * Removes every record that fits, and the blobs that nothing else there leads to.
   *
   * @returns what was removed; nothing where the store cannot list or remove
   * @throws whatever the store fails with
   */
  purge(fits: (record: RecordPlace) => boolean): Promise<readonly RecordPlace[]>;
  /** Waits for what goes on in the background, and ends it when that takes too long. */
  close(): Promise<void>;
}

/** For a mirror that stands alone. */
export const noSharedStore: SharedStore = {
  isHealthy: true,
  has: async () => false,
  read: async () => undefined,
  open: async () => undefined,
  redirectFor: async () => undefined,
  lease: async () => false,
  release: () => {},
  upload: () => {},
  discardDamaged: () => {},
  save: () => {},
  saveWithdrawal: async () => {},
  saveOpening: () => {},
  isOpenToOthers: async () => false,
  adoptWithdrawal: async () => true,
  adoptTag: async () => {},
  adoptDigest: async () => false,
  purge: async () => [],
  close: async () => {},
};

export interface SharedStoreOptions {
  readonly store: CacheStore;
  readonly redirect: RedirectOptions | undefined;
  readonly disk: Disk;
  readonly records: () => Records;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** For one answer of the store, and for the next piece of what it sends. */
  readonly answerMs: number;
}

/**
 * Keeps blobs and records in a cache store. A blob's name is the hash of its content, so several mirrors may write it
 * without any agreement; a tag's record only ever gives way to one that was checked later.
 */
export function createSharedStore(options: SharedStoreOptions): SharedStore {
  const { answerMs, clock, disk, logger, metrics, records, redirect } = options;
  const store = limitWaits(options.store, { clock, answerMs, uploadMs });
  const now = (): number => clock.now();
  const present = new ExpiringMap<number>(100_000, now);
  const absent = new ExpiringMap<true>(10_000, now);
  /** What lies there with wrong bytes, and is as good as absent. */
  const damaged = new ExpiringMap<true>(10_000, now);
  const heads = new SingleFlight<number | undefined>();
  const seldom = new OncePerMinute(now);
  const background = new Set<Promise<void>>();
  const uploading = new Set<Digest>();
  const removals = new Map<Digest, Promise<void>>();
  const stop = new AbortController();
  const written = new SharedRecords({ store, run: (action) => void run(action), signal: stop.signal });
  const isThere = async (digest: Digest): Promise<boolean> => {
    absent.delete(digest);
    return (await bytesOf(digest)) !== undefined;
  };
  // Its records are small, and clients wait for them; one that cannot be written says nothing about what can be read.
  const agreeing = limitWaits(options.store, { clock, answerMs, uploadMs: answerMs });
  const leases =
    canPutConditionally(agreeing) && canDelete(agreeing) ? new Leases({ store: agreeing, clock, isThere }) : undefined;
  let isHealthy = true;

  /** Runs an operation; what fails is counted and told, never thrown. */
  async function attempt<Result>(action: () => Promise<Result>, signal?: AbortSignal): Promise<Result | undefined> {
    try {
      const result = await action();
      isHealthy = true;
      return result;
    } catch (error) {
      signal?.throwIfAborted();
      isHealthy = false;
      metrics.add("shared_store_failures_total");
      const why = error instanceof Error ? error.message : String(error);
      seldom.run("failure", () => logger.warn("the shared store fails", { store: store.kind, why }));
      return undefined;
    }
  }

  /** @returns a promise that resolves when it has ended, well or not */
  function run(action: () => Promise<void>): Promise<void> {
    const task = attempt(action).then(() => void background.delete(task));
    background.add(task);
    return task;
  }

  async function settle(): Promise<void> {
    while (background.size > 0) await Promise.all(background);
  }

  async function bytesOf(digest: Digest): Promise<number | undefined> {
    if (damaged.get(digest) === true) return undefined;
    const known = present.get(digest);
    if (known !== undefined || absent.get(digest) === true) return known;
    return heads.run(digest, async () => {
      const facts = await attempt(() => store.head(blobName(digest)));
      if (facts === undefined) absent.set(digest, true, absentMs);
      else present.set(digest, facts.bytes, presentMs);
      return facts?.bytes;
    }).result;
  }

  /** @returns undefined when the store fails, which does not mean that there is none */
  async function tryToRead(name: string, maxBytes: number, signal?: AbortSignal): Promise<Answer | undefined> {
    const late = (): Error => new Error("it sends too slowly");
    const read = async (within: AbortSignal): Promise<Answer> => ({
      object: await readWhole(store, name, maxBytes, within),
    });
    return attempt(() => withDeadline(clock, readMs, late, read, signal), signal);
  }

  /** Reads a record, and whether it still counts: who has written it may have been refused since. */
  async function readRecord(image: UpstreamImage, name: string): Promise<string | undefined> {
    const looked = canBeWithdrawn(image) ? adoptWithdrawal(image) : true;
    const [answer, isCertain] = await Promise.all([tryToRead(name, maxRecordBytes), looked]);
    return isCertain ? answer?.object?.content?.toString() : undefined;
  }

  async function adoptWithdrawal(place: ImagePlace): Promise<boolean> {
    const answer = await tryToRead(withdrawalName(place), maxRecordBytes);
    if (answer === undefined) return false;
    records().adoptEra(place, readEra(answer.object?.content?.toString() ?? ""));
    return true;
  }

  async function put(name: string, body: PutBody): Promise<void> {
    // That somebody else was faster is as good.
    const { signal } = stop;
    if (canPutConditionally(store)) await store.putIf(name, body, { absent: true }, { signal });
    else await store.put(name, body, { signal });
  }

  function discardDamaged(digest: Digest, version: string): void {
    present.delete(digest);
    damaged.set(digest, true, presentMs);
    logger.warn("the shared store holds a blob whose bytes do not fit its digest", { store: store.kind, digest });
    if (!canDelete(store)) return;
    const removing = store.delete(blobName(digest), { ifVersion: version, signal: stop.signal });
    const removal = removing.then(() => damaged.delete(digest));
    removals.set(digest, removal);
    void run(async () => {
      try {
        await removal;
      } finally {
        removals.delete(digest);
      }
    });
  }

  async function uploadBlob(digest: Digest): Promise<void> {
    // What is right must not be removed in place of what is wrong.
    await removals.get(digest)?.catch(() => {});
    if ((await bytesOf(digest)) !== undefined) return;
    const opened = await disk.openBlob(digest);
    if (opened === undefined) return;
    try {
      const { bytes, handle } = opened;
      await put(blobName(digest), { bytes, open: () => handle.stream() });
      present.set(digest, bytes, presentMs);
      absent.delete(digest);
    } finally {
      await opened.handle.close();
    }
  }

  return {
    get isHealthy() {
      return isHealthy;
    },
    has: async (digest) => (await bytesOf(digest)) !== undefined,
    async read(digest, maxBytes, signal) {
      const known = await bytesOf(digest);
      if (known === undefined || known > maxBytes) return undefined;
      const { content, facts } = (await tryToRead(blobName(digest), maxBytes, signal))?.object ?? {};
      if (content === undefined || facts === undefined || isDigestOf(digest, hashFor(digest).update(content)))
        return content;
      metrics.add("verification_failures_total", { origin: "shared-store" });
      discardDamaged(digest, facts.version);
      return undefined;
    },
    async open(digest, offset, signal) {
      const bytes = await bytesOf(digest);
      if (bytes === undefined) return undefined;
      const start = canReadRanges(store) && offset > 0 && offset < bytes ? offset : 0;
      const object = await attempt(() =>
        start > 0 && canReadRanges(store)
          ? store.getRange(blobName(digest), { start, end: bytes }, { signal })
          : store.get(blobName(digest), { signal }),
      );
      // Gone since it was last looked for.
      if (object === undefined) present.delete(digest);
      if (object === undefined) return undefined;
      const chunks = readChunks(object.body, signal);
      return {
        offset: start,
        totalBytes: object.facts.bytes,
        version: object.facts.version,
        read: (take) => takeEach(chunks, take),
        discard: () => void object.body.cancel().catch(() => {}),
      };
    },
    async redirectFor(digest) {
      if (redirect === undefined || !canPresign(store)) return undefined;
      const { minBytes = 1024 * 1024, lifetimeMs = 20 * 60_000 } = redirect;
      const bytes = await bytesOf(digest);
      if (bytes === undefined || bytes < minBytes) return undefined;
      const signed = await attempt(() => store.presign({ method: "GET", name: blobName(digest), lifetimeMs }));
      // A client sends no headers of our choice.
      return signed === undefined || Object.keys(signed.headers).length > 0 ? undefined : signed.url;
    },
    lease: async (digest, signal) => {
      // Nobody waits once more for a store that has just failed.
      if (leases === undefined || !isHealthy) return false;
      const late = (): Error => new Error("no agreement about who fetches a blob was found in time");
      const take = (within: AbortSignal): Promise<boolean> => leases.take(digest, within);
      return (await attempt(() => withDeadline(clock, leaseMs, late, take, signal), signal)) ?? false;
    },
    release(digest) {
      if (leases !== undefined && !uploading.has(digest)) void run(() => leases.release(digest, stop.signal));
    },
    upload(digest) {
      uploading.add(digest);
      void run(async () => {
        try {
          await uploadBlob(digest);
        } finally {
          uploading.delete(digest);
          await leases?.release(digest, stop.signal);
        }
      });
    },
    discardDamaged,
    save(name, text) {
      if (text !== undefined) written.save(name, text);
    },
    saveWithdrawal: (place, era, isNew) =>
      run(async () => {
        const later = await written.withdraw(place, era);
        if (later === undefined || records().eraOf(place) !== era) return;
        // Whoever wrote that may have been let in again before this mirror was refused.
        if (isNew) records().overtake(place, later);
        else records().adoptEra(place, later);
      }),
    saveOpening: (place, era) => void run(() => written.open(place, era)),
    async isOpenToOthers(place, era) {
      if (era !== undefined) {
        const answer = await tryToRead(openingName(place), maxRecordBytes);
        return answer && readEra(answer.object?.content?.toString() ?? "") === era;
      }
      if (!canList(store)) return false;
      const look = async (folder: string): Promise<boolean> => {
        for await (const _first of store.list(`${repositoryName(place)}/${folder}/`, { signal: stop.signal }))
          return true;
        return false;
      };
      return attempt(async () => (await Promise.all(recordFolders.map(look))).includes(true));
    },
    adoptWithdrawal,
    async adoptTag(image, tag) {
      const text = await readRecord(image, tagName(image, tag));
      if (text !== undefined) records().adopt(image, { tag }, text);
    },
    async adoptDigest(image, digest) {
      const text = await readRecord(image, digestName(image, digest));
      if (text === undefined) return false;
      records().adopt(image, { digest }, text);
      return records().knows(image, digest);
    },
    async purge(fits) {
      if (!canDelete(store) || !canList(store)) {
        logger.warn("the shared store cannot list or remove what is in it, so it keeps it", { store: store.kind });
        return [];
      }
      written.forget(fits);
      const { blobs, records: removed } = await purgeStore(store, fits, stop.signal);
      for (const digest of blobs) present.delete(digest);
      return removed;
    },
    async close() {
      const late = new Error("the mirror is closed");
      try {
        await withDeadline(clock, closeMs, () => late, settle);
      } catch {
        stop.abort(late);
        await settle();
      }
    },
  };
}

const presentMs = 60 * 60_000;
/** For some progress of an upload: as long as a slow connection needs for one part of it. */
const uploadMs = 60_000;
/** What is on its way to the store when the mirror ends may still arrive. */
const closeMs = 20_000;
/** Another mirror may be writing it just now. */
const absentMs = 1000;
/** For all of what is read as a whole; clients wait meanwhile. */
const readMs = 10_000;
/** For an agreement about who fetches a blob, with the wait for who is at it; clients wait meanwhile. */
const leaseMs = 8000;
